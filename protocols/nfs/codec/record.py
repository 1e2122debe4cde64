"""Record marking over a byte stream (RFC 5531, section 11).

Any cut of the stream gives the same records. A record is joined once; small pieces are merged as they come, so that
a peer who sends single bytes costs neither quadratic time nor a Python object per byte.
"""

from __future__ import annotations

from struct import Struct
from typing import TypeAlias

Buffer: TypeAlias = bytes | memoryview

_MARK = Struct(">I")
LAST_FRAGMENT = 0x80000000
#: Fragments a record may have: ONC-RPC libraries send 4,000 bytes or more in each, so 1 MiB takes 263.
MAX_FRAGMENTS = 1024
#: Pieces shorter than this are merged with their neighbours while the record is incomplete.
_MERGE_BELOW_BYTES = 16384


class RecordError(Exception):
    """The stream breaks the limits; nothing sensible can follow, so the connection must be closed."""


class RecordReader:
    """Joins fragments into records: `feed` it bytes, then take records with `next_record` until there is none."""

    __slots__ = ("_at", "_data", "_fragments", "_header", "_last", "_left", "_longest", "_parts", "_size")

    def __init__(self, longest: int) -> None:
        """Refuse records of more than *longest* bytes."""
        self._longest = longest
        self._data = b""
        self._at = 0  # the next byte of `_data`
        self._header = b""  # the bytes of a fragment header that was cut
        self._left = 0  # bytes of the current fragment still to come
        self._last = False  # the current fragment ends its record
        self._parts: list[Buffer] = []
        self._size = 0  # bytes in `_parts`
        self._fragments = 0

    def feed(self, data: bytes) -> None:
        """Take *data* from the stream; bytes that were not taken as records yet stay in front of it."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def next_record(self) -> bytes | None:
        """Return the next whole record, or None until more is fed; raise RecordError."""
        if not self._fragments and not self._header:
            # Nearly always a small record lies whole in what was fed.
            data, start = self._data, self._at + _MARK.size
            if start <= len(data):
                mark: int = _MARK.unpack_from(data, self._at)[0]
                stop = start + mark - LAST_FRAGMENT
                if start <= stop <= len(data) and stop - start <= self._longest:
                    self._at = stop
                    return data[start:stop]
            elif self._at == len(data):
                return None
        return self._next_in_pieces()

    def _next_in_pieces(self) -> bytes | None:
        while True:
            if not self._left and not self._header_read():
                return None
            data, start = self._data, self._at
            stop = min(start + self._left, len(data))
            self._at = stop
            self._left -= stop - start
            if not self._left and self._last and not self._parts:
                self._fragments = 0
                self._last = False
                return data[start:stop]
            self._keep(data, start, stop)
            if self._left:
                return None
            if self._last:
                return self._joined()

    def missing(self) -> int:
        """Return how many bytes of the current fragment are still to come."""
        return self._left

    def begun(self) -> int:
        """Return how many bytes the record that was begun has, as far as its fragments have told."""
        return self._size + self._left

    def mid_record(self) -> bool:
        """Tell whether a record was begun and is not complete."""
        return bool(self._left or self._fragments or self._header)

    def backlog(self) -> bool:
        """Tell whether bytes were fed that no record has taken yet."""
        return self._at < len(self._data)

    def _header_read(self) -> bool:
        """Read a fragment header that is there whole; else keep its bytes and return False."""
        if not self._header and self._at + 4 <= len(self._data):
            mark: int = _MARK.unpack_from(self._data, self._at)[0]
            self._at += 4
        else:
            piece = self._data[self._at : self._at + 4 - len(self._header)]
            self._at += len(piece)
            self._header += piece
            if len(self._header) < _MARK.size:
                return False
            mark = _MARK.unpack(self._header)[0]
            self._header = b""
        self._left = mark & ~LAST_FRAGMENT
        self._last = mark >= LAST_FRAGMENT
        self._fragments += 1
        if self._size + self._left > self._longest:
            raise RecordError(f"a record of {self._size + self._left} bytes or more, {self._longest} allowed")
        if self._fragments > MAX_FRAGMENTS:
            raise RecordError(f"a record of more than {MAX_FRAGMENTS} fragments")
        return True

    def _keep(self, data: bytes, start: int, stop: int) -> None:
        if start == stop:
            return
        parts = self._parts
        whole = start == 0 and stop == len(data)
        parts.append(data if whole else memoryview(data)[start:stop])
        self._size += stop - start
        while len(parts) > 1 and len(parts[-2]) <= len(parts[-1]) < _MERGE_BELOW_BYTES:
            small = parts.pop()
            parts[-1] = b"".join((parts[-1], small))

    def _joined(self) -> bytes:
        parts, self._parts = self._parts, []
        self._size = self._fragments = 0
        self._last = False
        return b"".join(parts)


def record_mark(length: int) -> bytes:
    """Return the header of a record of *length* bytes in one fragment."""
    return _MARK.pack(LAST_FRAGMENT | length)
