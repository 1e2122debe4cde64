"""Delta tables whose commits are conditional puts: of two writers of one version, one wins and the other follows."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

if TYPE_CHECKING:
    from client_mount import Folder
    from house import House


@pytest.fixture
def storage(house: House) -> dict[str, str]:
    access_key, secret_key = house.keys
    return {
        "AWS_ENDPOINT_URL": house.endpoint,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "AWS_CONDITIONAL_PUT": "etag",
    }


def rows(table: DeltaTable) -> list[int]:
    return sorted(pa.table(table.to_pyarrow_table())["n"].to_pylist())


def test_a_table_is_written_read_and_read_as_it_was(folder: Folder, storage: dict[str, str]):
    url = f"{folder.url}/table"
    write_deltalake(url, pa.table({"n": [1, 2]}), storage_options=storage)
    write_deltalake(url, pa.table({"n": [3]}), mode="append", storage_options=storage)
    write_deltalake(url, pa.table({"n": [9]}), mode="overwrite", storage_options=storage)
    assert rows(DeltaTable(url, storage_options=storage)) == [9]
    assert rows(DeltaTable(url, version=1, storage_options=storage)) == [1, 2, 3]
    assert rows(DeltaTable(url, version=0, storage_options=storage)) == [1, 2]
    log = folder.read("table/_delta_log/00000000000000000001.json").splitlines()
    assert any("add" in json.loads(line) for line in log), "the log is read by cat as it was written"


def test_of_two_writers_at_once_none_is_lost(folder: Folder, storage: dict[str, str]):
    url = f"{folder.url}/shared"
    write_deltalake(url, pa.table({"n": [0]}), storage_options=storage)

    def append(number: int) -> int | None:
        try:
            write_deltalake(url, pa.table({"n": [number]}), mode="append", storage_options=storage)
        except CommitFailedError:
            return None
        return number

    with ThreadPoolExecutor(2) as pool:
        written = [number for number in pool.map(append, range(1, 9)) if number is not None]
    table = DeltaTable(url, storage_options=storage)
    assert rows(table) == [0, *written]
    assert table.version() == len(written), "each commit is a version of its own"
    names = folder.mount.run(f"ls {folder.key('shared/_delta_log')}").split()
    assert sum(name.endswith(b".json") and name[0:1] == b"0" for name in names) == len(written) + 1


def test_a_table_copied_on_the_mount_is_a_table(folder: Folder, storage: dict[str, str]):
    table = pa.table({"n": [1, 2, 3], "shop": ["a b", "c/d", "ü%"]})
    write_deltalake(f"{folder.url}/from", table, partition_by=["shop"], storage_options=storage)
    folder.mount.run(f"cp -a {folder.key('from')} {folder.key('to')}")
    assert rows(DeltaTable(f"{folder.url}/to", storage_options=storage)) == [1, 2, 3]
