"""One child process: started with nothing inherited by accident, watched by its pidfd, its output read line by line.

A child never outlives its parent: the kernel sends it `death_signal` when the parent dies, however that happens. It is
in a session of its own, so Ctrl-C on the terminal reaches the supervisor alone, which stops its children in order.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from foundation.aio import Promise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from twisted.python.failure import Failure

    from appliance.postgres.identity import Identity
    from foundation.clock import Clock

#: Where a child finds the number of the descriptor that it writes to when it is ready (see `report_ready`).
READY_VARIABLE = "GATEFOLD_READY_FD"
_PR_SET_PDEATHSIG = 1
_READ_BYTES = 1 << 16
_MAX_LINE_BYTES = 1 << 16
_LAST_LINES = 5
_libc = ctypes.CDLL(None, use_errno=True)


class ChildFailed(Exception):
    """A child could not be started, or ended before it was ready."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and how."""

    name: str  # the component's name in the log
    argv: tuple[str, ...]
    death_signal: signal.Signals = signal.SIGKILL
    identity: Identity | None = None  # None: as this process
    directory: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)  # on top of this process's own


def report_ready() -> None:
    """Tell the parent, if there is one that asked, that this process now serves."""
    number = os.environ.pop(READY_VARIABLE, None)
    if number is not None:
        descriptor = int(number)
        with contextlib.suppress(BrokenPipeError):  # the parent died: the kernel's signal is on its way
            os.write(descriptor, b"ready\n")
        os.close(descriptor)


class Child:
    """A running child. `ready` and `exited` are promises that anybody may await."""

    def __init__(self, reactor: Any, program: Program, on_line: Callable[[str, str], object]) -> None:
        """Start *program*; hand each line it prints to *on_line* with its name. Raise ChildFailed."""
        self.program = program
        self.ready: Promise[None] = Promise()
        self.exited: Promise[int] = Promise()
        output_read, output_write = os.pipe2(os.O_CLOEXEC)
        ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
        try:
            self._process = _start(program, output_write, ready_write)
        except (OSError, subprocess.SubprocessError) as error:
            os.close(output_read)
            os.close(ready_read)
            raise ChildFailed(f"{program.name}: cannot run {program.argv[0]}: {error}") from error
        finally:
            os.close(output_write)
            os.close(ready_write)
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._lines = _Lines(program.name, on_line)
        self._output = _Watch(reactor, output_read, self._lines.feed)
        self._ready_watch = _Watch(reactor, ready_read, self._on_ready)
        self._exit_watch = _Watch(reactor, self._pidfd, self._on_exit)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; a child that is gone already gets none."""
        if not self.exited.done:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def stop(self, clock: Clock, number: signal.Signals, timeout_seconds: float) -> int:
        """Send *number*, wait *timeout_seconds* for the end, then kill; return the exit status."""
        self.send_signal(number)
        timer = clock.call_later(timeout_seconds, lambda: self.send_signal(signal.SIGKILL))
        try:
            return await self.exited
        finally:
            timer.cancel()

    def _on_ready(self, data: bytes) -> None:
        self._ready_watch.close()
        if data and not self.ready.done:
            self.ready.resolve(None)

    def _on_exit(self, _data: bytes) -> None:
        status = self._process.wait()
        self._output.read_now()
        self._ready_watch.read_now()
        self._exit_watch.close()
        # First: whoever wakes up by the failure below may want to stop what has ended.
        self.exited.resolve(status)
        if not self.ready.done:
            said = "".join(f"\n  {line}" for line in self._lines.last)
            reason = f"{self.program.name} {describe_exit(status)} before it was ready{said}"
            self.ready.fail(ChildFailed(reason))


def describe_exit(status: int) -> str:
    """Return how a process ended, in words; *status* as `Popen.returncode`."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _start(program: Program, output: int, ready: int) -> subprocess.Popen[bytes]:
    """Fork and execute *program* with its two pipes."""
    parent = os.getpid()

    def bind_to_parent() -> None:
        # After the change of user, which would clear it. The parent may have died before the call: look.
        _libc.prctl(_PR_SET_PDEATHSIG, int(program.death_signal))
        if os.getppid() != parent:
            os._exit(1)

    identity: dict[str, Any] = {}
    if program.identity is not None:
        identity = {"user": program.identity.uid, "group": program.identity.gid, "extra_groups": []}
    return subprocess.Popen(  # noqa: S603 - the argument list is ours, no shell
        program.argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=program.directory,
        env={**os.environ, **program.environment, READY_VARIABLE: str(ready)},
        pass_fds=(ready,),
        start_new_session=True,
        preexec_fn=bind_to_parent,  # noqa: PLW1509 - the supervising process has no threads
        umask=0o077,
        **identity,
    )


@implementer(IReadDescriptor)
class _Watch:
    """A descriptor that the reactor reads for us: *on_data* gets bytes, or nothing at its end or for a pidfd."""

    def __init__(self, reactor: Any, descriptor: int, on_data: Callable[[bytes], object]) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._on_data = on_data
        os.set_blocking(descriptor, False)
        reactor.addReader(self)

    def fileno(self) -> int:
        """Return the descriptor, for the reactor."""
        return self._descriptor

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """Return a name, for the reactor."""
        return "child"

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Read what is there, for the reactor."""
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # a pidfd cannot be read; that it wakes the reactor is the message
            data = b""
        self._on_data(data)
        if not data:
            self.close()

    def read_now(self) -> None:
        """Read what a child left behind, without waiting for the reactor."""
        if self._descriptor >= 0:
            self.doRead()

    def connectionLost(self, _reason: Failure) -> None:  # noqa: N802 - Twisted's name
        """Close, for the reactor."""
        self.close()

    def close(self) -> None:
        """Stop watching and close the descriptor."""
        if self._descriptor >= 0:
            self._reactor.removeReader(self)
            os.close(self._descriptor)
            self._descriptor = -1


class _Lines:
    """Output cut into lines of bounded length."""

    def __init__(self, name: str, on_line: Callable[[str, str], object]) -> None:
        self._name = name
        self._on_line = on_line
        self._rest = b""
        self.last: deque[str] = deque(maxlen=_LAST_LINES)  # for the message, should the child fail

    def feed(self, data: bytes) -> None:
        """Take more output; no data means that it has ended."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._rest and (not data or len(self._rest) > _MAX_LINE_BYTES):
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            text = line.decode(errors="backslashreplace")
            self.last.append(text)
            self._on_line(self._name, text)
