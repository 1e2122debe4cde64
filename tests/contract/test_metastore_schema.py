"""The migrations lead to the schema that the program describes, and nothing newer is touched."""

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from metastore_house import House, take
from old_database import columns_of, make_old, rows_of
from postgres_server import empty_dsn, migrated_dsn, postgres  # noqa: F401
from psycopg.conninfo import conninfo_to_dict
from reactor_run import run_on_reactor
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateIndex, CreateTable

from metastore import migrate
from metastore.postgres import Outdated
from metastore.records import ObjectMeta
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


def in_house(dsn, work):
    async def run(reactor):
        house = House(reactor, dsn)
        try:
            return await work(house)
        finally:
            await house.close()

    return run_on_reactor(run)


def test_an_old_database_is_upgraded_with_all_that_it_holds(empty_dsn):
    make_old(empty_dsn)
    columns = columns_of(empty_dsn)
    before = rows_of(empty_dsn, columns)
    with pytest.raises(migrate.SchemaOlder):
        migrate.check(empty_dsn)
    assert migrate.upgrade(empty_dsn) == (1, SCHEMA)
    assert migrate.upgrade(empty_dsn) == (SCHEMA, SCHEMA)
    assert rows_of(empty_dsn, columns) == before
    assert all(before[table] for table in ("inode", "edge", "extent", "blob", "reclaim", "upload", "part", "version"))

    async def work(house):
        store = await house.gateway()
        holding = await take(store, 1)
        assert (holding.volume.name, holding.volume.settings) == ("data", {"k": "v"})
        assert [finding async for finding in store.audit(1)] == []
        assert [each.edge.skey for each in await store.resolve_path(1, 1, [b"dir/", b"two"])] == [b"dir/", b"two"]
        (upload,) = await store.page_uploads(1, (b"", b""), None, 9)
        assert (upload.object_key, upload.user, upload.ended) == (b"dir/big", {"a": "b"}, 0)
        assert await store.load_meta(1, 3) == ObjectMeta(1, 3, {"content-type": "a/b"}, {})
        assert await store.reclaim(1, 10) == 1

    in_house(empty_dsn, work)


def test_an_old_database_is_not_opened(empty_dsn):
    make_old(empty_dsn)

    async def work(house):
        with pytest.raises(Outdated, match="has schema 1"):
            await house.make().open()

    in_house(empty_dsn, work)


def test_nothing_is_upgraded_under_a_connected_gateway(migrated_dsn):
    async def work(house):
        await house.gateway()
        assert migrate.upgrade(migrated_dsn) == (SCHEMA, SCHEMA)  # nothing to do harms nobody
        with psycopg.connect(migrated_dsn) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0001'")
        with pytest.raises(migrate.StillServed):
            migrate.upgrade(migrated_dsn)

    in_house(migrated_dsn, work)


def test_a_migration_that_fails_leaves_the_old_database(empty_dsn):
    make_old(empty_dsn)
    columns = columns_of(empty_dsn)
    before = rows_of(empty_dsn, columns)
    with psycopg.connect(empty_dsn) as connection:
        connection.execute("ALTER TABLE gateway ADD COLUMN beat bigint")  # in the way of the last steps
    with pytest.raises(Exception, match="beat"):
        migrate.upgrade(empty_dsn)
    with pytest.raises(migrate.SchemaOlder):
        migrate.check(empty_dsn)
    with psycopg.connect(empty_dsn) as connection:
        connection.execute("ALTER TABLE gateway DROP COLUMN beat")
    assert (columns_of(empty_dsn), rows_of(empty_dsn, columns)) == (columns, before)
    assert migrate.upgrade(empty_dsn) == (1, SCHEMA)
