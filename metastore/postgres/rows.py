"""How each kind of row is written and read: SQL made once, at import, from the schema and the records.

A record's fields are the table's columns, in the same order (a test holds them equal), so a row is decoded by
position and a batch is encoded column by column.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from msgspec.structs import astuple
from sqlalchemy import Boolean, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSON

from metastore import records, schema
from metastore.postgres.encoding import (
    BOOL_ARRAY,
    BYTEA_ARRAY,
    INT8_ARRAY,
    JSON_ARRAY,
    TEXT_ARRAY,
    bigint_array,
    bool_array,
    bytes_array,
)
from metastore.postgres.session import Statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Column, Table

    from metastore.records import Row, RowType

_UNSIGNED_HALF = 1 << 63


def _json_array(values: Sequence[dict[str, str]]) -> bytes:
    return bytes_array([msgspec.json.encode(value) for value in values], JSON_ARRAY)


def _text_array(values: Sequence[str]) -> bytes:
    return bytes_array([value.encode() for value in values], TEXT_ARRAY)


def _wrapped_array(values: Sequence[int]) -> bytes:
    """Encode unsigned 64-bit numbers as the signed ones of the same bits."""
    return bigint_array([value - 2 * _UNSIGNED_HALF if value >= _UNSIGNED_HALF else value for value in values])


def _encoder(column: Column[Any]) -> tuple[int, Callable[[Any], bytes]]:
    """Return the array type in which *column* travels, and what encodes it."""
    if isinstance(column.type, JSON):
        return JSON_ARRAY, _json_array
    if isinstance(column.type, LargeBinary):
        return BYTEA_ARRAY, bytes_array
    if isinstance(column.type, Text):
        return TEXT_ARRAY, _text_array
    if isinstance(column.type, Boolean):
        return BOOL_ARRAY, bool_array
    # A client chooses a device's number freely (RFC 1813, specdata3), all 64 bits of it.
    return INT8_ARRAY, _wrapped_array if column.name == "rdev" else bigint_array


class RowTable(Struct, frozen=True):
    """One kind of row: its statements and encoders."""

    kind: RowType
    table: Table
    #: The whole primary key of a row, as a tuple.
    key_of: Callable[[Any], tuple[Any, ...]]
    upsert: Statement
    delete: Statement
    _encoders: tuple[Callable[[Any], bytes], ...]
    _key_encoders: tuple[Callable[[Any], bytes], ...]

    def encode_rows(self, rows: Iterable[Row]) -> list[bytes | None]:
        """Return the parameters of `upsert`."""
        columns = zip(*map(astuple, rows), strict=True)
        return [encode(column) for encode, column in zip(self._encoders, columns, strict=True)]

    def encode_keys(self, keys: Iterable[tuple[Any, ...]]) -> list[bytes | None]:
        """Return the parameters of `delete`."""
        columns = zip(*keys, strict=True)
        return [encode(column) for encode, column in zip(self._key_encoders, columns, strict=True)]


def quoted(columns: Iterable[Column[Any]], prefix: str = "") -> str:
    """Return *columns* as an SQL list."""
    return ", ".join(f'{prefix}"{column.name}"' for column in columns)


def _row_table(kind: RowType, table: Table) -> RowTable:
    columns, keys = list(table.columns), list(table.primary_key.columns)
    encoders = [_encoder(column) for column in columns]
    key_encoders = [_encoder(column) for column in keys]
    return RowTable(
        kind=kind,
        table=table,
        key_of=attrgetter(*(column.name for column in keys)),
        upsert=Statement(f"upsert {table.name}", _upsert(kind, table), tuple(array for array, _ in encoders)),
        delete=Statement(f"delete {table.name}", _delete(table), tuple(array for array, _ in key_encoders)),
        _encoders=tuple(encode for _, encode in encoders),
        _key_encoders=tuple(encode for _, encode in key_encoders),
    )


def _parameters(count: int) -> str:
    return ", ".join(f"${number}" for number in range(1, count + 1))


def _upsert(kind: RowType, table: Table) -> str:
    columns, keys = list(table.columns), list(table.primary_key.columns)
    insert = f"INSERT INTO {table.name} ({quoted(columns)}) SELECT * FROM unnest({_parameters(len(columns))})"
    if kind is records.Blob:
        # Put once, when it is first referenced: its references move by deltas, which a second put would undo.
        return insert
    images = ", ".join(f'"{c.name}" = excluded."{c.name}"' for c in columns if c not in keys)
    return f"{insert} ON CONFLICT ({quoted(keys)}) DO UPDATE SET {images}"


def _delete(table: Table) -> str:
    keys = list(table.primary_key.columns)
    same = " AND ".join(f't."{column.name}" = k."{column.name}"' for column in keys)
    return f"DELETE FROM {table.name} t USING unnest({_parameters(len(keys))}) AS k ({quoted(keys)}) WHERE {same}"


ROW_TABLES: dict[RowType, RowTable] = {
    kind: _row_table(kind, table)
    for kind, table in (
        (records.Inode, schema.inode),
        (records.Edge, schema.edge),
        (records.Extent, schema.extent),
        (records.Blob, schema.blob),
        (records.ObjectMeta, schema.object_meta),
        (records.Reclaim, schema.reclaim),
        (records.Upload, schema.upload),
        (records.Part, schema.part),
        (records.Version, schema.version),
    )
}
