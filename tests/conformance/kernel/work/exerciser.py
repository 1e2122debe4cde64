"""Do random things to a file and to a local one, and compare: `exerciser.py --seed 1 --steps 1000 FILE LOCAL`.

The idea is fsx's: whatever way of reading, writing, mapping or cutting a file comes after which other, both files hold
the same bytes. A failure names the seed, the step and the last operations.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = 4096
#: The file stays below this, so that ranges meet often.
LIMIT_BYTES = 1_500_000
LONGEST_BYTES = 150_000
COMPARE_EVERY = 8


class Exerciser:
    """Two files, the open descriptors of the one on trial, and what was done to them."""

    def __init__(self, path: str, local: str, seed: int) -> None:
        self.path, self.dice = path, random.Random(seed)
        self.local = os.open(local, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        self.first = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        self.second = os.open(path, os.O_RDWR)
        self.done: deque[str] = deque(maxlen=40)
        self.operations: list[tuple[int, Callable[[], None]]] = [
            (20, self.write),
            (16, self.read),
            (8, self.append),
            (10, self.write_mapped),
            (8, self.read_mapped),
            (6, self.cut),
            (4, self.extend),
            (8, self.write_direct),
            (8, self.read_direct),
            (3, self.sync),
            (3, self.reopen),
            (1, self.reopen_empty),
            (2, self.forget),
            (2, self.rename),
            (3, self.scatter),
        ]

    # ------------------------------------------------------------------ dice

    @property
    def size(self) -> int:
        return os.fstat(self.local).st_size

    def descriptor(self) -> int:
        return self.dice.choice((self.first, self.second))

    def span(self, limit: int, *, aligned: bool = False) -> tuple[int, int]:
        """Return an offset and a length, of which some lie on pages, some meet the end of the file."""
        length = self.dice.choice((1, 7, 511, 512, PAGE - 1, PAGE, PAGE + 1, self.dice.randrange(1, LONGEST_BYTES)))
        length = min(length, limit)
        offset = self.dice.choice((0, limit - length, self.dice.randrange(limit - length + 1)))
        if aligned or self.dice.random() < 0.3:
            offset -= offset % PAGE
        return offset, length

    def note(self, what: str, *numbers: int) -> None:
        self.done.append(" ".join((what, *map(str, numbers))))

    # ------------------------------------------------------------------ operations

    def write(self) -> None:
        offset, length = self.span(LIMIT_BYTES)
        self.note("write", offset, length)
        data = self.dice.randbytes(length)
        os.pwrite(self.local, data, offset)
        put(self.descriptor(), data, offset)

    def scatter(self) -> None:
        """Write many small pieces, as a database does."""
        self.note("scatter")
        descriptor = self.descriptor()
        for _ in range(20):
            offset, data = self.dice.randrange(LIMIT_BYTES - 300), self.dice.randbytes(self.dice.randrange(1, 300))
            os.pwrite(self.local, data, offset)
            put(descriptor, data, offset)

    def append(self) -> None:
        length = min(self.dice.randrange(1, 20_000), LIMIT_BYTES - self.size)
        self.note("append", self.size, length)
        data = self.dice.randbytes(length)
        os.pwrite(self.local, data, self.size)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            for start in range(0, length, 7000):
                os.write(descriptor, data[start : start + 7000])
        finally:
            os.close(descriptor)

    def read(self) -> None:
        offset, length = self.span(LIMIT_BYTES)
        self.note("read", offset, length)
        compare(os.pread(self.descriptor(), length, offset), os.pread(self.local, length, offset), offset)

    def write_mapped(self) -> None:
        if not self.size:
            return
        offset, length = self.span(self.size, aligned=True)
        self.note("write mapped", offset, length)
        with mmap.mmap(self.descriptor(), length, offset=offset) as mapped:
            for _ in range(self.dice.randrange(1, 6)):
                start = self.dice.randrange(length)
                data = self.dice.randbytes(self.dice.randrange(1, length - start + 1))
                mapped[start : start + len(data)] = data
                os.pwrite(self.local, data, offset + start)
            if self.dice.random() < 0.6:
                mapped.flush()

    def read_mapped(self) -> None:
        if not self.size:
            return
        offset, length = self.span(self.size, aligned=True)
        self.note("read mapped", offset, length)
        with mmap.mmap(self.descriptor(), length, offset=offset, access=mmap.ACCESS_READ) as mapped:
            compare(mapped[:], os.pread(self.local, length, offset), offset)

    def write_direct(self) -> None:
        offset, length = self.span(LIMIT_BYTES - PAGE, aligned=True)
        length += -length % 512
        self.note("write direct", offset, length)
        data = self.dice.randbytes(length)
        os.pwrite(self.local, data, offset)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_DIRECT)
        try:
            with mmap.mmap(-1, length) as aligned:
                aligned[:] = data
                assert os.pwritev(descriptor, [aligned], offset) == length
        finally:
            os.close(descriptor)

    def read_direct(self) -> None:
        offset, length = self.span(LIMIT_BYTES, aligned=True)
        length += -length % 512
        self.note("read direct", offset, length)
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECT)
        try:
            with mmap.mmap(-1, length) as aligned:
                count = os.preadv(descriptor, [aligned], offset)
                compare(aligned[:count], os.pread(self.local, length, offset), offset)
        finally:
            os.close(descriptor)

    def cut(self) -> None:
        self.resize(self.dice.randrange(self.size + 1))

    def extend(self) -> None:
        self.resize(self.dice.randrange(self.size, LIMIT_BYTES + 1))

    def resize(self, size: int) -> None:
        if self.dice.random() < 0.3:
            size -= size % PAGE
        self.note("resize", self.size, size)
        os.truncate(self.local, size)
        os.truncate(self.dice.choice((self.first, self.second, self.path)), size)

    def sync(self) -> None:
        self.note("sync")
        self.dice.choice((os.fsync, os.fdatasync))(self.descriptor())

    def reopen(self) -> None:
        self.note("reopen")
        os.close(self.first)
        self.first = os.open(self.path, os.O_RDWR | self.dice.choice((0, os.O_SYNC, os.O_DSYNC)))
        os.close(self.second)
        self.second = os.open(self.path, os.O_RDWR)

    def reopen_empty(self) -> None:
        self.note("reopen empty")
        os.truncate(self.local, 0)
        os.close(self.first)
        self.first = os.open(self.path, os.O_RDWR | os.O_TRUNC)

    def forget(self) -> None:
        self.note("forget")
        with open("/proc/sys/vm/drop_caches", "w") as control:
            control.write("3")

    def rename(self) -> None:
        self.note("rename")
        os.rename(self.path, self.path + ".other")
        os.rename(self.path + ".other", self.path)

    # ------------------------------------------------------------------ the whole

    def compare_all(self) -> None:
        """Compare sizes and all bytes, read by the page cache or directly."""
        found = os.stat(self.path).st_size
        assert found == self.size, f"the size is {found}, not {self.size}"
        direct = self.dice.random() < 0.5
        self.note("compare all, direct" if direct else "compare all")
        descriptor = os.open(self.path, os.O_RDONLY | (os.O_DIRECT if direct else 0))
        try:
            with mmap.mmap(-1, LIMIT_BYTES + PAGE) as aligned:
                count = os.preadv(descriptor, [aligned], 0)
                compare(aligned[:count], os.pread(self.local, LIMIT_BYTES + PAGE, 0), 0)
        finally:
            os.close(descriptor)

    def run(self, steps: int) -> None:
        weights, calls = zip(*self.operations, strict=True)
        for step in range(steps):
            try:
                self.dice.choices(calls, weights)[0]()
                if step % COMPARE_EVERY == COMPARE_EVERY - 1:
                    self.compare_all()
            except Exception as error:
                raise AssertionError(f"step {step}: {error!r}; the last were\n  " + "\n  ".join(self.done)) from error
        self.compare_all()
        for descriptor in (self.first, self.second, self.local):
            os.close(descriptor)


def put(descriptor: int, data: bytes, offset: int) -> None:
    written = os.pwrite(descriptor, data, offset)
    assert written == len(data), f"{written} of {len(data)} bytes were written"


def compare(found: bytes, expected: bytes, offset: int) -> None:
    """Raise AssertionError with the first place where they differ."""
    if found == expected:
        return
    assert len(found) == len(expected), f"{len(found)} bytes at {offset}, not {len(expected)}"
    wrong = [place for place in range(len(found)) if found[place] != expected[place]]
    zeros = sum(found[place] == 0 for place in wrong)
    raise AssertionError(
        f"{len(wrong)} bytes are wrong, from {offset + wrong[0]} to {offset + wrong[-1]}; {zeros} of them are 0"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("path")
    parser.add_argument("local")
    wanted = parser.parse_args()
    print(f"seed {wanted.seed}", flush=True)
    Exerciser(wanted.path, wanted.local, wanted.seed).run(wanted.steps)


if __name__ == "__main__":
    main()
