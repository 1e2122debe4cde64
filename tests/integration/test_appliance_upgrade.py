"""`gatefold upgrade`: an installation of an older release finds its data again; and `check --repair` as a command."""

from __future__ import annotations

import psycopg
from postgres_server import postgres  # noqa: F401

from metastore import migrate


def copied_to_schema_1(postgres, dsn):
    """Return the DSN of a database of schema 1 with the rows that *dsn* has, as far as that had columns for them."""
    old = postgres.new_database()
    migrate.upgrade(old, "0001")
    with psycopg.connect(dsn) as source, psycopg.connect(old) as target:
        columns: dict[str, list[str]] = {}
        for table, column in target.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
            " AND table_name <> 'alembic_version' ORDER BY 1, ordinal_position"
        ).fetchall():
            columns.setdefault(table, []).append(f'"{column}"')
        for table, names in columns.items():
            listed = ", ".join(names)
            with (
                source.cursor().copy(f"COPY (SELECT {listed} FROM {table}) TO STDOUT") as rows,
                target.cursor().copy(f"COPY {table} ({listed}) FROM STDIN") as into,
            ):
                for chunk in rows:
                    into.write(chunk)
        target.execute("SELECT setval(pg_get_serial_sequence('gateway', 'id'), 1 + (SELECT max(id) FROM gateway))")
        target.execute("SELECT setval(pg_get_serial_sequence('volume', 'vol'), (SELECT max(vol) FROM volume))")
    return old


def test_an_old_installation_is_told_to_upgrade_and_then_serves_what_it_had(postgres, new_house):
    dsn = postgres.new_database()
    house = new_house("--database", dsn)
    house.start()
    house.s3().put_object(Bucket="data", Key="kept/file", Body=b"before")
    house.stop()
    old = copied_to_schema_1(postgres, dsn)
    secret = house.home / "secrets" / "database"
    secret.write_text(old + "\n")

    refused = house.gatefold("serve", ok=False)
    assert refused.returncode == 1
    assert f"run `gatefold upgrade --home {house.home}`" in refused.stderr
    assert "run `gatefold upgrade" in house.gatefold("check", ok=False).stderr

    assert house.gatefold("upgrade").stdout == "schema 1 -> 3\n"
    assert house.gatefold("upgrade").stdout == "schema 3: nothing to do\n"
    house.start()
    assert house.gatefold("upgrade", ok=False).returncode == 1  # in use
    assert house.s3().get_object(Bucket="data", Key="kept/file")["Body"].read() == b"before"
    house.check()


def test_a_fault_is_repaired_by_the_command_and_never_beside_a_house_that_serves(postgres, new_house):
    dsn = postgres.new_database()
    house = new_house("--database", dsn)
    house.start()
    house.s3().put_object(Bucket="data", Key="a/b", Body=b"body")
    beside = house.gatefold("check", "--repair", ok=False)
    assert (beside.returncode, "in use" in beside.stderr) == (1, True)
    house.stop()
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE inode SET entries = 7 WHERE ino = 1")
        connection.execute("DELETE FROM edge WHERE skey = 'b'")
    assert house.gatefold("check", ok=False).returncode == 1
    done = house.gatefold("check", "--repair")
    assert "REPAIRED inode.named" in done.stdout
    assert "REPAIRED inode.entries: ino 1: entries" in done.stdout
    assert done.stdout.endswith("clean\n")
    house.check()
    with psycopg.connect(dsn) as connection:
        connection.execute("DELETE FROM inode WHERE type = 1")
    left = house.gatefold("check", "--repair", "--json", ok=False)
    assert left.returncode == 1
    assert '"edge.inode"' in left.stdout
