"""Parameters on the wire and the statements made of the schema."""

import struct

import psycopg.types.array  # noqa: F401 - the loaders to compare with
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import pq
from psycopg.adapt import Transformer

from metastore import schema
from metastore.postgres.encoding import (
    BOOL_ARRAY,
    BYTEA_ARRAY,
    INT8_ARRAY,
    TEXT_ARRAY,
    bigint_array,
    bool_array,
    bytes_array,
)
from metastore.postgres.rows import ROW_TABLES


def loaded(oid, data):
    """Decode *data* with psycopg's own loader."""
    return Transformer().get_loader(oid, pq.Format.BINARY).load(data)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_numbers_are_what_psycopg_reads(values):
    assert loaded(INT8_ARRAY, bigint_array(values)) == values


@given(st.lists(st.one_of(st.none(), st.binary(max_size=20)), max_size=20))
def test_bytes_and_nulls_are_what_psycopg_reads(values):
    assert loaded(BYTEA_ARRAY, bytes_array(values)) == values


@given(st.lists(st.booleans(), max_size=20))
def test_truth_values_are_what_psycopg_reads(values):
    assert loaded(BOOL_ARRAY, bool_array(values)) == values


@given(st.lists(st.text(max_size=9), max_size=9))
def test_texts_are_what_psycopg_reads(values):
    assert loaded(TEXT_ARRAY, bytes_array([value.encode() for value in values], TEXT_ARRAY)) == values


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_a_number_that_does_not_fit_is_refused_and_not_cut(value):
    with pytest.raises(struct.error):
        bigint_array([value])


@pytest.mark.parametrize("kind", ROW_TABLES, ids=lambda kind: kind.__name__)
def test_a_record_has_the_columns_of_its_table_in_order(kind):
    table = ROW_TABLES[kind].table
    assert list(kind.__struct_fields__) == [column.name for column in table.columns]


@pytest.mark.parametrize("kind", ROW_TABLES, ids=lambda kind: kind.__name__)
def test_a_records_key_is_the_primary_key_without_the_volume(kind):
    row = kind(*range(1, len(kind.__struct_fields__) + 1))
    assert ROW_TABLES[kind].key_of(row) == (row.vol, *row.key)


PER_VOLUME = (
    "batch reply_cache inode edge object_meta version extent blob blob_range reclaim upload part nlm_lock journal"
)


@pytest.mark.parametrize("name", ["volume", *PER_VOLUME.split()])
def test_the_primary_key_of_what_belongs_to_a_volume_starts_with_it(name):
    assert next(iter(schema.metadata.tables[name].primary_key.columns)).name == "vol"
