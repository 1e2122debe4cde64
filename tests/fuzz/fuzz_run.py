"""Fuzz targets with atheris, guided by coverage: `make fuzz`, or `fuzz_run.py --seconds 600 nfs-record`.

Each target runs in a process of its own. What libFuzzer keeps lies in `.fuzz/<target>/corpus`, what broke a target in
`.fuzz/<target>/crash-…`; give such a file back with `--replay`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path[:0] = [str(path) for path in (REPOSITORY, HERE.parent, HERE.parent / "rpc", HERE.parent / "unit/s3", HERE)]

WORK = REPOSITORY / ".fuzz"
INPUT_SECONDS = 10
MEMORY_MIB = 1024


def fuzz_one(name: str, seconds: int) -> None:
    """Run the target *name* in this process, which libFuzzer ends."""
    import atheris  # noqa: PLC0415 - an extra of its own

    with atheris.instrument_imports(include=["protocols", "foundation"]):
        from fuzz_registry import targets  # noqa: PLC0415 - it imports what is instrumented

        target = targets()[name]
    place = WORK / name
    corpus, seeds = place / "corpus", place / "seeds"
    corpus.mkdir(parents=True, exist_ok=True)
    seeds.mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (seeds / f"{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={target.max_bytes}",
        f"-timeout={INPUT_SECONDS}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-artifact_prefix={place}/",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus), str(seeds)], target.run)
    atheris.Fuzz()


def fuzz_all(names: list[str], seconds: int) -> int:
    """Run each target in a process of its own; return how many failed."""
    failed = 0
    for name in names:
        log_path = WORK / name / "log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, __file__, "--one", name, "--seconds", str(seconds)]
        with log_path.open("wb") as log:
            done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
        lines = log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        runs = next((line.split()[-1] for line in lines if "number_of_executed_units" in line), "?")
        print(f"{name}: {runs} runs, {'ok' if done.returncode == 0 else f'FAILED, see {log_path}'}", flush=True)
        failed += done.returncode != 0
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="names, or beginnings of names; all if there are none")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--replay", type=Path, help="run one target on the bytes of this file")
    options = parser.parse_args()
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    if options.one:
        fuzz_one(options.one, options.seconds)
        return
    from fuzz_registry import targets  # noqa: PLC0415 - the child imports it instrumented

    known = targets()
    names = [name for name in known if not options.targets or name.startswith(tuple(options.targets))]
    if not names:
        parser.error(f"no such target; there are {', '.join(known)}")
    if options.replay:
        known[names[0]].run(options.replay.read_bytes())
        return
    sys.exit(1 if fuzz_all(names, options.seconds) else 0)


if __name__ == "__main__":
    main()
