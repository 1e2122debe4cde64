"""Binary array parameters for PostgreSQL, made without a round through text.

The wire form of an array (src/backend/utils/adt/arrayfuncs.c, array_recv): number of dimensions, a has-NULL flag,
the element type's OID, then per dimension its length and lower bound, then per element a 4-byte length (-1 = NULL)
and its bytes; all big-endian.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

# OIDs of pg_type.dat: fixed for ever.
BOOL, BYTEA, INT8, TEXT, JSON = 16, 17, 20, 25, 114
BOOL_ARRAY, BYTEA_ARRAY, INT8_ARRAY, TEXT_ARRAY, JSON_ARRAY = 1000, 1001, 1016, 1009, 199
#: Array type -> element type.
ELEMENT = {BOOL_ARRAY: BOOL, BYTEA_ARRAY: BYTEA, INT8_ARRAY: INT8, TEXT_ARRAY: TEXT, JSON_ARRAY: JSON}

_HEADER = struct.Struct(">iiIii")
_LENGTH = struct.Struct(">i")
_EMPTY = {array: struct.pack(">iiI", 0, 0, element) for array, element in ELEMENT.items()}
_NULL = _LENGTH.pack(-1)
_INT8 = struct.Struct(">q")


@lru_cache(maxsize=512)
def _bigint_struct(count: int) -> struct.Struct:
    """Return the form of a whole int8[] of *count* elements; batches repeat their sizes."""
    return struct.Struct(_HEADER.format + "iq" * count)


def bigint_array(values: Sequence[int]) -> bytes:
    """Encode int8[]; raise struct.error for a value outside 64 signed bits."""
    count = len(values)
    if not count:
        return _EMPTY[INT8_ARRAY]
    pairs = [8] * (2 * count)
    pairs[1::2] = values
    return _bigint_struct(count).pack(1, 0, INT8, count, 1, *pairs)


def bool_array(values: Sequence[bool]) -> bytes:
    """Encode bool[]."""
    if not values:
        return _EMPTY[BOOL_ARRAY]
    body = b"".join([b"\x00\x00\x00\x01\x01" if value else b"\x00\x00\x00\x01\x00" for value in values])
    return _HEADER.pack(1, 0, BOOL, len(values), 1) + body


def bytes_array(values: Sequence[bytes | None], array: int = BYTEA_ARRAY) -> bytes:
    """Encode an array of *array* whose elements are sent as their bytes: bytea[], and text[] or json[] in UTF-8."""
    if not values:
        return _EMPTY[array]
    pack = _LENGTH.pack
    body = b"".join([_NULL if value is None else pack(len(value)) + value for value in values])
    return _HEADER.pack(1, 1 if None in values else 0, ELEMENT[array], len(values), 1) + body


def bigint(value: int) -> bytes:
    """Encode int8."""
    return _INT8.pack(value)


#: Array type -> its encoder, for columns of rows.
ENCODERS: dict[int, Any] = {INT8_ARRAY: bigint_array, BOOL_ARRAY: bool_array, BYTEA_ARRAY: bytes_array}
