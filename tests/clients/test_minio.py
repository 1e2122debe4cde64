"""The `minio` SDK: it uploads large files in parts, composes objects, and signs forms and URLs by itself."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from client_mount import digests_of
from client_programs import browser_form, plain_http
from minio import Minio
from minio.commonconfig import REPLACE, ComposeSource, CopySource, Tags
from minio.datatypes import PostPolicy
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from odd_keys import PLAIN, TAME, odd_files, path_of

if TYPE_CHECKING:
    from pathlib import Path

    from client_mount import Folder
    from house import House

MIB = 1 << 20


@pytest.fixture
def minio(house: House) -> Minio:
    access_key, secret_key = house.keys
    host = house.endpoint.removeprefix("http://")
    return Minio(endpoint=host, access_key=access_key, secret_key=secret_key, secure=False, region="us-east-1")


def body_of(minio: Minio, folder: Folder, path: str) -> bytes:
    answer = minio.get_object(bucket_name=folder.bucket, object_name=folder.key(path))
    try:
        data: bytes = answer.read()
    finally:
        answer.close()
        answer.release_conn()
    return data


def put(minio: Minio, folder: Folder, path: str, data: bytes) -> None:
    minio.put_object(bucket_name=folder.bucket, object_name=folder.key(path), data=io.BytesIO(data), length=len(data))


def test_files_go_up_in_parts_and_come_down(minio: Minio, folder: Folder, tmp_path: Path):
    data = os.urandom(MIB) * 12
    (tmp_path / "up").write_bytes(data)
    at = {"bucket_name": folder.bucket, "object_name": folder.key("up")}
    minio.fput_object(**at, file_path=str(tmp_path / "up"), part_size=5 * MIB, metadata={"colour": "red"})
    known = minio.stat_object(**at)
    assert (known.size, known.metadata["x-amz-meta-colour"]) == (len(data), "red")
    stream = folder.key("stream")
    minio.put_object(bucket_name=folder.bucket, object_name=stream, data=io.BytesIO(data), length=-1, part_size=5 * MIB)
    assert folder.digests() == digests_of({"up": data, "stream": data})
    minio.fget_object(**at, file_path=str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == data


def test_objects_are_listed_copied_composed_and_removed(minio: Minio, folder: Folder):
    first, second = os.urandom(5 * MIB), b"the end"
    folder.mount.run(f"mkdir {folder.name}")
    folder.write("first", first)
    folder.write("sub/second", second)
    listed = minio.list_objects(bucket_name=folder.bucket, prefix=folder.key(""), recursive=True)
    sizes = {each.object_name: each.size for each in listed if not each.is_dir}
    assert sizes == {folder.key("first"): 5 * MIB, folder.key("sub/second"): 7}
    shallow = minio.list_objects(bucket_name=folder.bucket, prefix=folder.key(""))
    assert folder.key("sub/") in [each.object_name for each in shallow if each.is_dir]
    parts = [ComposeSource(bucket_name=folder.bucket, object_name=folder.key(name)) for name in ("first", "sub/second")]
    minio.compose_object(bucket_name=folder.bucket, object_name=folder.key("composed"), sources=parts)
    minio.copy_object(
        bucket_name=folder.bucket,
        object_name=folder.key("copy"),
        source=CopySource(bucket_name=folder.bucket, object_name=folder.key("sub/second")),
        metadata={"colour": "blue"},
        metadata_directive=REPLACE,
    )
    known = minio.stat_object(bucket_name=folder.bucket, object_name=folder.key("copy"))
    assert known.metadata["x-amz-meta-colour"] == "blue"
    whole = {"first": first, "sub/second": second, "composed": first + second, "copy": second}
    assert folder.digests() == digests_of(whole)
    doomed = [DeleteObject(name=folder.key(name)) for name in whole]
    assert list(minio.remove_objects(bucket_name=folder.bucket, delete_object_list=doomed)) == []
    assert folder.digests() == {}


def test_presigned_urls_and_forms_need_no_credentials(minio: Minio, house: House, folder: Folder):
    at = {"bucket_name": folder.bucket, "object_name": folder.key("by url")}
    assert plain_http("PUT", minio.presigned_put_object(**at), b"sent")[0] == 200
    assert plain_http("GET", minio.presigned_get_object(**at)) == (200, b"sent")
    policy = PostPolicy(bucket_name=folder.bucket, expiration=datetime.now(UTC) + timedelta(minutes=5))
    policy.add_starts_with_condition("key", folder.key(""))
    policy.add_content_length_range_condition(1, 100)
    fields = {"key": folder.key("by form"), **minio.presigned_post_policy(policy)}
    url = f"{house.endpoint}/{folder.bucket}"
    headers, body = browser_form(fields, b"posted")
    assert plain_http("POST", url, body, headers)[0] == 204
    headers, body = browser_form(fields, b"x" * 101)
    assert plain_http("POST", url, body, headers)[0] == 400
    assert folder.digests() == digests_of({"by url": b"sent", "by form": b"posted"})


def test_tags_are_set_read_and_removed(minio: Minio, folder: Folder):
    folder.write("tagged", b"x")
    at = {"bucket_name": folder.bucket, "object_name": folder.key("tagged")}
    tags = Tags.new_object_tags()
    tags["colour"], tags["project x"] = "deep red", "1/2"
    minio.set_object_tags(**at, tags=tags)
    assert minio.get_object_tags(**at) == {"colour": "deep red", "project x": "1/2"}
    assert minio.stat_object(**at).metadata["x-amz-tagging-count"] == "2"
    minio.delete_object_tags(**at)
    assert not minio.get_object_tags(**at)


def test_errors_are_told_by_code(minio: Minio, folder: Folder):
    with pytest.raises(S3Error) as error:
        minio.stat_object(bucket_name=folder.bucket, object_name=folder.key("never"))
    assert error.value.code == "NoSuchKey"
    assert not minio.bucket_exists(bucket_name="no-such-bucket-here")
    assert minio.bucket_exists(bucket_name=folder.bucket)


def test_odd_keys_reach_the_mount_and_come_back(minio: Minio, folder: Folder):
    keys = odd_files([*PLAIN, *TAME, "double//slash", "body/"])
    for key, data in keys.items():
        put(minio, folder, key, data)
    assert folder.digests() == digests_of({path_of(key): data for key, data in keys.items()})
    for key, data in keys.items():
        assert body_of(minio, folder, key) == data, key
    listed = minio.list_objects(bucket_name=folder.bucket, prefix=folder.key(""), recursive=True)
    assert {each.object_name for each in listed} == {folder.key(key) for key in keys}
