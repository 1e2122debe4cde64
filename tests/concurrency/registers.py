"""The two objects that histories are checked against: the names of a small tree, and the bytes of one file.

A name's state is None, the number of the inode it means, or a token where an inode's number is not known yet (S3 does
not tell it): the first look that tells it binds the token. A file's state is its cells; a cell is four bytes that one
write left, 0 for a hole. Each value is written once, so a read tells by whom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CELL = 4
Names = tuple[Any, ...]
Cells = tuple[int, ...]


# -- names: what each verb may do, given what it answered ("ok" or the error's name; None: no answer) -----------------


def create(at: int, answer: str | None, value: Any) -> Callable[[Names], Iterable[Names]]:
    """Return CREATE GUARDED of name *at*, which made inode *value* (or a token)."""

    def step(names: Names) -> Iterable[Names]:
        if names[at] is None and answer != "AlreadyExists":
            yield _with(names, at, value)
        elif names[at] is not None and answer in (None, "AlreadyExists"):
            yield names

    return step


def put(at: int, token: Any) -> Callable[[Names], Iterable[Names]]:
    """Return PUT of name *at*: a file that is there stays the same inode."""
    return lambda names: [names if names[at] is not None else _with(names, at, token)]


def remove(at: int, answer: str | None) -> Callable[[Names], Iterable[Names]]:
    """Return REMOVE of name *at*."""

    def step(names: Names) -> Iterable[Names]:
        if names[at] is None:
            return [names] if answer in (None, "NotFound") else []
        return [_with(names, at, None)] if answer in (None, "ok") else []

    return step


def delete(at: int) -> Callable[[Names], Iterable[Names]]:
    """Return DELETE of the key *at*: that there is none is no error."""
    return lambda names: [_with(names, at, None)]


def rename(source: int, target: int, answer: str | None) -> Callable[[Names], Iterable[Names]]:
    """Return RENAME."""

    def step(names: Names) -> Iterable[Names]:
        if names[source] is None:
            return [names] if answer in (None, "NotFound") else []
        if answer not in (None, "ok"):
            return []
        return [names if source == target else _with(_with(names, source, None), target, names[source])]

    return step


def show(seen: dict[int, Any]) -> Callable[[Names], Iterable[Names]]:
    """Return a look at some names that found *seen*: an inode's number, None, or True for something."""

    def step(names: Names) -> Iterable[Names]:
        for at, found in seen.items():
            value = names[at]
            if (value is None) != (found is None):
                return
            if value is None or found is True or value == found:
                continue
            if not isinstance(value, tuple) or found in names:
                return
            names = _with(names, at, found)
        yield names

    return step


def alive(ino: int, found: bool) -> Callable[[Names], Iterable[Names]]:
    """Return a look at inode *ino* by its handle, which found it, or that it is gone."""
    return lambda names: [names] if (ino in names) == found else []


def _with(names: Names, at: int, value: Any) -> Names:
    return (*names[:at], value, *names[at + 1 :])


# -- the cells of one file --------------------------------------------------------------------------------------------


def write(cell: int, value: int) -> Callable[[Cells], Iterable[Cells]]:
    """Return a WRITE of one cell."""

    def step(cells: Cells) -> Iterable[Cells]:
        padded = cells + (0,) * (cell + 1 - len(cells))
        return [(*padded[:cell], value, *padded[cell + 1 :])]

    return step


def truncate(count: int) -> Callable[[Cells], Iterable[Cells]]:
    """Return SETATTR of the size to *count* cells."""
    return lambda cells: [(cells + (0,) * count)[:count]]


def replace(value: Cells) -> Callable[[Cells], Iterable[Cells]]:
    """Return a PUT of the whole file."""
    return lambda _: [value]


def read(found: Cells) -> Callable[[Cells], Iterable[Cells]]:
    """Return a read of the whole file."""
    return lambda cells: [cells] if cells == found else []


def to_bytes(cells: Iterable[int]) -> bytes:
    return b"".join(cell.to_bytes(CELL, "big") for cell in cells)


def to_cells(data: bytes) -> Cells:
    assert len(data) % CELL == 0, data
    return tuple(int.from_bytes(data[at : at + CELL], "big") for at in range(0, len(data), CELL))
