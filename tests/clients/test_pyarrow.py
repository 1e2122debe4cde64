"""pyarrow's S3 file system (the AWS C++ SDK): parts without a Content-Length, directories by marker, ranged reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from client_mount import digests_of
from odd_keys import PLAIN, odd_files
from pyarrow.fs import FileSelector, FileType, S3FileSystem

if TYPE_CHECKING:
    from client_mount import Folder
    from house import House

MIB = 1 << 20


@pytest.fixture
def arrow(house: House) -> S3FileSystem:
    access_key, secret_key = house.keys
    host = house.endpoint.removeprefix("http://")
    return S3FileSystem(
        access_key=access_key, secret_key=secret_key, endpoint_override=host, scheme="http", region="us-east-1"
    )


def sales() -> pa.Table:
    """Return 30,000 rows of three years and two shops."""
    rows = range(30_000)
    return pa.table(
        {
            "year": [2020 + row % 3 for row in rows],
            "shop": ["north side" if row % 2 else "süd" for row in rows],
            "amount": list(rows),
        }
    )


def test_a_partitioned_dataset_is_written_filtered_and_read_by_both_doors(arrow: S3FileSystem, folder: Folder):
    root = f"{folder.bucket}/{folder.name}/sales"
    ds.write_dataset(
        sales(), root, filesystem=arrow, format="parquet", partitioning=["year", "shop"], partitioning_flavor="hive"
    )
    dataset = ds.dataset(root, filesystem=arrow, format="parquet", partitioning="hive")
    assert len(dataset.files) == 6
    some = dataset.to_table(filter=(ds.field("year") == 2021) & (ds.field("amount") > 29_000))
    assert sorted(some["amount"].to_pylist()) == [row for row in range(29_001, 30_000) if row % 3 == 1]
    assert dataset.to_table().num_rows == 30_000
    on_mount = folder.digests()
    assert len(on_mount) == 6
    for path in on_mount:
        assert pq.read_table(pa.BufferReader(folder.read(path)))["amount"].to_pylist()


def test_a_dataset_made_on_the_mount_is_read_by_s3(arrow: S3FileSystem, folder: Folder):
    for year in (2020, 2021):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"n": list(range(year))}), sink)
        folder.write(f"made/year={year}/part-0.parquet", sink.getvalue().to_pybytes())
    dataset = ds.dataset(f"{folder.bucket}/{folder.key('made')}", filesystem=arrow, partitioning="hive")
    assert dataset.count_rows() == 2020 + 2021
    assert dataset.to_table(filter=ds.field("year") == 2021).num_rows == 2021


def test_a_stream_goes_in_chunked_parts_and_is_read_by_ranges(arrow: S3FileSystem, folder: Folder):
    data = os.urandom(MIB) * 23 + b"odd"
    path = f"{folder.bucket}/{folder.key('stream')}"
    with arrow.open_output_stream(path, metadata={"Content-Type": "application/x-test"}) as stream:
        for offset in range(0, len(data), 3 * MIB):
            stream.write(data[offset : offset + 3 * MIB])
    assert folder.digests() == digests_of({"stream": data})
    with arrow.open_input_file(path) as file:
        assert file.size() == len(data)
        assert file.read_at(100, 5 * MIB - 50) == data[5 * MIB - 50 : 5 * MIB + 50]
        assert file.metadata()["Content-Type"] == b"application/x-test"
    folder.mount.run(f"printf patch | dd of={folder.key('stream')} conv=notrunc status=none")
    with arrow.open_input_stream(path) as stream:
        assert stream.read() == b"patch" + data[5:]


def test_directories_are_made_walked_and_removed(arrow: S3FileSystem, folder: Folder):
    root = f"{folder.bucket}/{folder.name}"
    arrow.create_dir(f"{root}/empty/er", recursive=True)
    folder.write("by/nfs", b"1")
    folder.mount.run(f"mkdir {folder.name}/bare")
    seen = arrow.get_file_info(FileSelector(root, recursive=True))
    kinds = {info.path.removeprefix(root + "/"): info.type for info in seen}
    directory, file = FileType.Directory, FileType.File
    assert kinds == {"empty": directory, "empty/er": directory, "by": directory, "by/nfs": file, "bare": directory}
    arrow.copy_file(f"{root}/by/nfs", f"{root}/copy")
    arrow.move(f"{root}/copy", f"{root}/moved")
    assert folder.digests() == digests_of({"by/nfs": b"1", "moved": b"1"})
    arrow.delete_file(f"{root}/moved")
    arrow.delete_dir(f"{root}/by")
    arrow.delete_dir_contents(f"{root}/empty")
    assert sorted(folder.mount.run(f"ls -A {folder.name}").split()) == [b"bare", b"empty"]
    assert folder.mount.run(f"ls -A {folder.name}/empty") == b""
    assert arrow.get_file_info(f"{root}/by").type == FileType.NotFound


def test_odd_names_reach_the_mount_and_come_back(arrow: S3FileSystem, folder: Folder):
    keys = odd_files(PLAIN)
    for key, data in keys.items():
        with arrow.open_output_stream(f"{folder.bucket}/{folder.key(key)}") as stream:
            stream.write(data)
    assert folder.digests() == digests_of(keys)
    for key, data in keys.items():
        with arrow.open_input_stream(f"{folder.bucket}/{folder.key(key)}") as stream:
            assert stream.read() == data, key
