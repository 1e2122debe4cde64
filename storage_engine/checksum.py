"""CRC32C over the 64 KiB pages of a blob, and over the whole of it.

The checksum of the whole is put together from those of the pages, so that a body is read once: for CRCs,
crc(a + b) = advance(crc(a), len(b)) ^ crc(b), and advancing by one page is linear in the 32 bits of crc(a).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import google_crc32c

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: What one checksum covers: small enough that a 4 KiB read verifies little more than it needs.
PAGE_BYTES = 64 << 10


def crc32c(data: bytes | memoryview) -> int:
    """Return the CRC32C (RFC 3720, appendix B.4) of *data*."""
    return int(google_crc32c.value(data if type(data) is bytes else bytes(data)))


def page_count(length: int) -> int:
    """Return how many pages *length* bytes have."""
    return (length + PAGE_BYTES - 1) // PAGE_BYTES


def page_checksums(parts: Iterable[bytes | memoryview]) -> tuple[int, ...]:
    """Return the checksum of each page of the joined *parts*."""
    sums: list[int] = []
    crc, filled = 0, 0
    for part in parts:
        view = memoryview(part)
        start, end = 0, len(view)
        while start < end:
            stop = min(end, start + PAGE_BYTES - filled)
            # google_crc32c takes bytes only; the copy stays in the processor's cache.
            crc = google_crc32c.extend(crc, bytes(view[start:stop]))
            filled += stop - start
            start = stop
            if filled == PAGE_BYTES:
                sums.append(crc)
                crc, filled = 0, 0
    if filled:
        sums.append(crc)
    return tuple(sums)


def whole_checksum(pages: Sequence[int], length: int) -> int:
    """Return the checksum of a body of *length* bytes from those of its *pages*."""
    crc = 0
    for page in pages[:-1]:
        crc = _advance_page(crc) ^ page
    last_bytes = length - (len(pages) - 1) * PAGE_BYTES
    return _advance(crc, last_bytes) ^ pages[-1]


def pieces(offset: int, length: int) -> list[tuple[int, int]]:
    """Cut the range [*offset*, *offset* + *length*) at page boundaries: (start, stop) of each piece."""
    end = offset + length
    cuts = [offset, *range((offset // PAGE_BYTES + 1) * PAGE_BYTES, end, PAGE_BYTES), end]
    return list(pairwise(cuts))


def first_unsound(data: memoryview, offset: int, sums: Sequence[int]) -> int | None:
    """Return the index of the first piece of *data*, which lies at *offset*, that differs from *sums*; None if none."""
    for index, (start, stop) in enumerate(pieces(offset, len(data))):
        if google_crc32c.value(bytes(data[start - offset : stop - offset])) != sums[index]:
            return index
    return None


def _advance(crc: int, count: int) -> int:
    """Return what *crc* contributes to the checksum after *count* more bytes."""
    if crc == 0:
        return 0
    zeros = _ZEROS[:count]
    return int(google_crc32c.extend(crc, zeros) ^ google_crc32c.value(zeros))


def _advance_page(crc: int) -> int:
    low, second, third, high = _PAGE_TABLES
    return low[crc & 255] ^ second[crc >> 8 & 255] ^ third[crc >> 16 & 255] ^ high[crc >> 24]


def _page_tables() -> tuple[tuple[int, ...], ...]:
    """Return `_advance(byte << 8 k, PAGE_BYTES)` for each byte, in one table per k."""
    bits = [_advance(1 << bit, PAGE_BYTES) for bit in range(32)]
    tables = []
    for k in range(4):
        table = [0] * 256
        for byte in range(1, 256):
            lowest = byte & -byte
            table[byte] = table[byte ^ lowest] ^ bits[8 * k + lowest.bit_length() - 1]
        tables.append(tuple(table))
    return tuple(tables)


_ZEROS = bytes(PAGE_BYTES)
_PAGE_TABLES = _page_tables()
