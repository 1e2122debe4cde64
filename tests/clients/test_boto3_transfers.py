"""boto3 beyond single calls: managed transfers, resources, paginators, waiters, conditional writes, odd keys."""

from __future__ import annotations

import io
import os
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError, WaiterError
from client_mount import digests_of
from client_programs import browser_form, plain_http
from odd_keys import ALIASED, LONG, LONG_ALIAS, MADE_BY_NFS, PLAIN, odd_files, path_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from client_mount import Folder
    from house import House

MIB = 1 << 20
PARTS = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)


@pytest.fixture
def resource(house: House) -> Iterator[Any]:
    """Return the resource layer on a client of its own."""
    access_key, secret_key = house.keys
    keys = {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key, "region_name": "us-east-1"}
    resource = boto3.resource("s3", endpoint_url=house.endpoint, **keys)
    yield resource
    resource.meta.client.close()


def code(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    return error.value.response["Error"]["Code"], error.value.response["ResponseMetadata"]["HTTPStatusCode"]


def read(s3: Any, folder: Folder, path: str) -> bytes:
    with closing(s3.get_object(Bucket=folder.bucket, Key=folder.key(path))["Body"]) as body:
        data: bytes = body.read()
    return data


def test_files_go_up_and_come_down_in_parts(s3: Any, folder: Folder, tmp_path: Path):
    data = os.urandom(MIB) * 17 + b"odd"
    (tmp_path / "up").write_bytes(data)
    seen: list[int] = []
    s3.upload_file(str(tmp_path / "up"), folder.bucket, folder.key("file"), Config=PARTS, Callback=seen.append)
    assert sum(seen) == len(data)
    s3.upload_fileobj(io.BytesIO(data), folder.bucket, folder.key("stream"), Config=PARTS)
    assert s3.head_object(Bucket=folder.bucket, Key=folder.key("file"))["ETag"].endswith('-4"')
    assert folder.digests() == digests_of({"file": data, "stream": data})
    s3.download_file(folder.bucket, folder.key("file"), str(tmp_path / "down"), Config=PARTS)
    assert (tmp_path / "down").read_bytes() == data
    out = io.BytesIO()
    s3.download_fileobj(folder.bucket, folder.key("stream"), out, Config=PARTS)
    assert out.getvalue() == data


def test_a_file_of_the_mount_is_copied_in_parts_by_s3(s3: Any, folder: Folder):
    folder.mount.run(f"mkdir {folder.name}; head -c 12000000 /dev/urandom >{folder.key('made')}")
    source = {"Bucket": folder.bucket, "Key": folder.key("made")}
    s3.copy(source, folder.bucket, folder.key("whole"))
    s3.copy(source, folder.bucket, folder.key("parts"), Config=PARTS)
    digests = folder.digests()
    assert len(digests) == 3
    assert len(set(digests.values())) == 1, "all three are one content"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"])
def test_an_upload_in_parts_keeps_its_checksum(s3: Any, folder: Folder, algorithm: str):
    data = os.urandom(6 * MIB)
    extra = {"ChecksumAlgorithm": algorithm}
    s3.upload_fileobj(io.BytesIO(data), folder.bucket, folder.key("k"), Config=PARTS, ExtraArgs=extra)
    head = s3.head_object(Bucket=folder.bucket, Key=folder.key("k"), ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"]
    out = io.BytesIO()
    s3.download_fileobj(folder.bucket, folder.key("k"), out)
    assert out.getvalue() == data


def test_the_resource_layer_reads_writes_copies_and_deletes(resource: Any, folder: Folder):
    bucket = resource.Bucket(folder.bucket)
    made = bucket.put_object(Key=folder.key("a"), Body=b"one", Metadata={"colour": "red"})
    assert (made.content_length, made.metadata) == (3, {"colour": "red"})
    resource.Object(folder.bucket, folder.key("b")).copy_from(CopySource=f"{folder.bucket}/{folder.key('a')}")
    folder.write("c", b"three")
    summaries = {each.key: each.size for each in bucket.objects.filter(Prefix=folder.key("")) if each.key[-1] != "/"}
    assert summaries == {folder.key("a"): 3, folder.key("b"): 3, folder.key("c"): 5}
    assert folder.digests() == digests_of({"a": b"one", "b": b"one", "c": b"three"})
    bucket.objects.filter(Prefix=folder.key("")).delete()
    assert not list(bucket.objects.filter(Prefix=folder.key("")))
    assert folder.mount.run(f"ls -A {folder.name} 2>/dev/null || true") == b""


def test_an_upload_is_listed_until_it_is_aborted(s3: Any, folder: Folder):
    at = {"Bucket": folder.bucket, "Key": folder.key("up")}
    upload = s3.create_multipart_upload(**at)["UploadId"]
    for number in (1, 2, 3):
        s3.upload_part(**at, UploadId=upload, PartNumber=number, Body=bytes(100 * number))
    pages = s3.get_paginator("list_parts").paginate(**at, UploadId=upload, PaginationConfig={"PageSize": 2})
    assert [(each["PartNumber"], each["Size"]) for page in pages for each in page["Parts"]] == [
        (1, 100),
        (2, 200),
        (3, 300),
    ]
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=folder.bucket, Prefix=folder.key(""))
    assert [each["UploadId"] for page in pages for each in page["Uploads"]] == [upload]
    s3.abort_multipart_upload(**at, UploadId=upload)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=folder.bucket, Prefix=folder.key(""))
    with pytest.raises(ClientError) as error:
        s3.list_parts(**at, UploadId=upload)
    assert code(error) == ("NoSuchUpload", 404)


def test_waiters_see_what_the_mount_does(s3: Any, folder: Folder):
    at = {"Bucket": folder.bucket, "Key": folder.key("awaited"), "WaiterConfig": {"Delay": 1, "MaxAttempts": 1}}
    with pytest.raises(WaiterError):
        s3.get_waiter("object_exists").wait(**at)
    folder.write("awaited", b"here")
    s3.get_waiter("object_exists").wait(**at)
    folder.mount.run(f"rm {folder.key('awaited')}")
    s3.get_waiter("object_not_exists").wait(**at)
    s3.get_waiter("bucket_exists").wait(Bucket=folder.bucket)


def test_of_many_conditional_writers_one_wins_and_nfs_edits_count(s3: Any, folder: Folder):
    at = {"Bucket": folder.bucket, "Key": folder.key("cas")}
    outcomes: list[str] = []
    refusals: list[int] = []

    def write(number: int) -> None:
        try:
            s3.put_object(**at, Body=f"writer {number}", IfNoneMatch="*")
            outcomes.append(f"writer {number}")
        except ClientError as error:
            refusals.append(error.response["ResponseMetadata"]["HTTPStatusCode"])

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert [folder.read("cas").decode()] == outcomes
    assert len(refusals) == 7
    assert set(refusals) <= {409, 412}
    etag = s3.head_object(**at)["ETag"]
    folder.mount.run(f"echo edited >{folder.key('cas')}")
    with pytest.raises(ClientError) as error:
        s3.put_object(**at, Body=b"late", IfMatch=etag)
    assert code(error) == ("PreconditionFailed", 412)
    s3.put_object(**at, Body=b"fresh", IfMatch=s3.head_object(**at)["ETag"])
    assert folder.read("cas") == b"fresh"


def test_presigned_posts_and_puts_need_no_credentials(s3: Any, folder: Folder):
    url = s3.generate_presigned_url("put_object", Params={"Bucket": folder.bucket, "Key": folder.key("put")})
    assert plain_http("PUT", url, b"by url")[0] == 200
    form = s3.generate_presigned_post(folder.bucket, folder.key("form"), ExpiresIn=60)
    headers, body = browser_form(form["fields"], b"by form")
    assert plain_http("POST", form["url"], body, headers)[0] == 204
    assert folder.digests() == digests_of({"put": b"by url", "form": b"by form"})


def test_odd_keys_reach_the_mount_by_alias_and_come_back(s3: Any, folder: Folder):
    keys = odd_files([*PLAIN, *ALIASED, LONG])
    for key, data in keys.items():
        s3.put_object(Bucket=folder.bucket, Key=folder.key(key), Body=data)
    on_mount = folder.digests()
    (hashed,) = [path for path in on_mount if path.startswith(LONG_ALIAS)]
    assert folder.read(hashed) == keys[LONG]
    on_mount[LONG] = on_mount.pop(hashed)
    assert on_mount == digests_of({path_of(key): data for key, data in keys.items()})
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=folder.bucket, Prefix=folder.key(""))
    assert [each["Key"] for page in pages for each in page["Contents"]] == sorted(map(folder.key, keys), key=str.encode)
    for key, data in keys.items():
        assert read(s3, folder, key) == data, key


def test_a_tree_with_aliases_copied_on_the_mount_is_the_same_tree_for_s3(s3: Any, folder: Folder):
    keys = odd_files([*PLAIN, *ALIASED])
    for key, data in keys.items():
        s3.put_object(Bucket=folder.bucket, Key=folder.key("from/" + key), Body=data)
    folder.mount.run(f"cd {folder.name}; cp -a from to")
    for key, data in keys.items():
        assert read(s3, folder, "to/" + key) == data, key


def test_names_made_on_the_mount_are_keys(s3: Any, folder: Folder):
    for path, key in MADE_BY_NFS.items():
        folder.write(os.fsdecode(path), key.encode())
    for key in MADE_BY_NFS.values():
        assert read(s3, folder, key) == key.encode()
    listed = s3.list_objects_v2(Bucket=folder.bucket, Prefix=folder.key(""))["Contents"]
    keys = {each["Key"] for each in listed if each["Key"] != folder.key("")}
    assert keys - {folder.key("/")} == {folder.key(key) for key in MADE_BY_NFS.values()}
