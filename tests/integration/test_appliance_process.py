"""Child processes for real: readiness, output, stopping, and dying with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from appliance_drive import drive, reactor

from appliance.postgres.identity import named_identity
from appliance.process import Child, ChildFailed, Program
from foundation.aio import pause
from foundation.clock import SystemClock

REPOSITORY = Path(__file__).resolve().parents[2]
CLOCK = SystemClock(reactor)


def python(code: str, **options: object) -> tuple[Child, list[str]]:
    lines: list[str] = []
    program = Program("child", (sys.executable, "-c", code), **options)
    return Child(reactor, program, lambda _name, line: lines.append(line)), lines


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_child_is_ready_when_it_says_so_and_its_lines_arrive_whole() -> None:
    child, lines = python(
        "import os,sys; print('before', flush=True); os.write(int(os.environ['GATEFOLD_READY_FD']), b'ready\\n');"
        "sys.stdin.read(); sys.stdout.write('no newline'); sys.stderr.write('x' * 200_000 + '\\nend\\n')"
    )

    async def main() -> int:
        await child.ready
        return await child.exited

    assert drive(main()) == 0
    assert lines[0] == "before"
    assert sum(line.count("x") for line in lines) == 200_000
    assert max(map(len, lines)) <= 2 << 16
    assert "end" in lines


def test_a_child_that_ends_before_it_is_ready_quotes_its_last_words() -> None:
    child, _ = python("print('the disk is full'); raise SystemExit(3)")

    async def main() -> None:
        try:
            await child.ready
        except ChildFailed:
            assert await child.stop(CLOCK, signal.SIGTERM, 1) == 3, "what has ended can be stopped"
            raise

    with pytest.raises(ChildFailed, match=r"ended with status 3 before it was ready\n  the disk is full"):
        drive(main())


def test_a_program_that_does_not_exist_is_named() -> None:
    with pytest.raises(ChildFailed, match="cannot run /no/such/program"):
        Child(reactor, Program("child", ("/no/such/program",)), lambda _name, _line: None)


def test_a_child_that_ignores_the_stop_signal_is_killed() -> None:
    child, lines = python(
        "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('set', flush=True); time.sleep(60)"
    )

    async def main() -> int:
        while not lines:
            await _turn()
        return await child.stop(CLOCK, signal.SIGTERM, 0.2)

    assert drive(main()) == -signal.SIGKILL


def test_a_child_dies_with_its_parent() -> None:
    code = (
        "import sys\n"
        "from twisted.internet import reactor\n"
        "from appliance.process import Child, Program\n"
        "child = Child(reactor, Program('c', (sys.executable, '-c', 'import time; time.sleep(60)')), print)\n"
        "print(child.pid, flush=True)\n"
        "reactor.run()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    deadline = time.monotonic() + 10
    while alive(pid):
        assert time.monotonic() < deadline, "the child outlives its parent"
        time.sleep(0.02)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_child_may_run_as_another_user_with_no_groups_of_ours() -> None:
    nobody = named_identity("nobody")
    lines: list[str] = []
    program = Program("child", ("/usr/bin/id",), identity=nobody, directory=Path("/"))
    child = Child(reactor, program, lambda _name, line: lines.append(line))

    async def main() -> int:
        return await child.exited

    assert drive(main()) == 0
    assert f"uid={nobody.uid}" in lines[0]
    assert "root" not in lines[0]


async def _turn() -> None:
    await pause(CLOCK, 0.01)
