"""The migrations lead to the schema that the program describes, and nothing newer is touched."""

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from postgres_server import empty_dsn, migrated_dsn, postgres  # noqa: F401
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateIndex, CreateTable

from metastore import migrate
from metastore.schema import SCHEMA, metadata

SHAPE = """
    SELECT table_name, column_name, data_type, is_nullable, ordinal_position FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name <> 'alembic_version'
    UNION ALL
    SELECT c.conrelid::regclass::text, c.conname, pg_get_constraintdef(c.oid), c.condeferred::text, 0
    FROM pg_constraint c WHERE c.connamespace = 'public'::regnamespace AND conrelid <> 'alembic_version'::regclass
    UNION ALL
    SELECT tablename, indexname, indexdef, '', 0 FROM pg_indexes
    WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    UNION ALL
    SELECT relname, 'options', reloptions::text, '', 0 FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
    ORDER BY 1, 2, 5, 3
"""


def shape(dsn):
    with psycopg.connect(dsn) as connection:
        return connection.execute(SHAPE).fetchall()


def test_the_migrations_lead_to_the_schema_as_it_is_described(migrated_dsn, postgres):
    described = postgres.new_database()
    with psycopg.connect(described) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num text PRIMARY KEY)")
        dialect = postgresql.dialect()
        for table in metadata.sorted_tables:
            connection.execute(str(CreateTable(table).compile(dialect=dialect)))
            for index in table.indexes:
                connection.execute(str(CreateIndex(index).compile(dialect=dialect)))
    assert shape(migrated_dsn) == shape(described)
    engine = create_engine(
        "postgresql+psycopg://", connect_args=dict(conninfo_to_dict(migrated_dsn)), poolclass=NullPool
    )
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_migrating_twice_changes_nothing(empty_dsn):
    with pytest.raises(migrate.SchemaOlder):
        migrate.check(empty_dsn)
    migrate.upgrade(empty_dsn)
    before = shape(empty_dsn)
    migrate.upgrade(empty_dsn)
    migrate.check(empty_dsn)
    assert shape(empty_dsn) == before


def test_a_newer_schema_is_left_alone(migrated_dsn):
    with psycopg.connect(migrated_dsn) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", [f"{SCHEMA + 1:04}"])
    for refuse in (migrate.upgrade, migrate.check):
        with pytest.raises(migrate.SchemaNewer):
            refuse(migrated_dsn)
