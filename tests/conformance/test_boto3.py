"""boto3 as its users call it: default checksums, streaming bodies, listings, errors by code."""

from __future__ import annotations

import hashlib
import io
import os
import urllib.error
import urllib.request
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from house import House


def code(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    return error.value.response["Error"]["Code"], error.value.response["ResponseMetadata"]["HTTPStatusCode"]


def read(s3: Any, bucket: str, key: str, **how: Any) -> bytes:
    with closing(s3.get_object(Bucket=bucket, Key=key, **how)["Body"]) as body:
        data: bytes = body.read()
    return data


def test_an_object_put_is_got_headed_listed_and_deleted(s3: Any, new_bucket: str):
    data = os.urandom(100_000)
    before = datetime.now(UTC) - timedelta(seconds=2)
    put = s3.put_object(
        Bucket=new_bucket, Key="a/b.txt", Body=data, ContentType="text/plain", Metadata={"colour": "red"}
    )
    etag = f'"{hashlib.md5(data).hexdigest()}"'
    assert put["ETag"] == etag
    head = s3.head_object(Bucket=new_bucket, Key="a/b.txt")
    assert (head["ETag"], head["ContentLength"], head["ContentType"]) == (etag, len(data), "text/plain")
    assert head["Metadata"] == {"colour": "red"}
    assert before < head["LastModified"] < datetime.now(UTC) + timedelta(seconds=2)
    assert read(s3, new_bucket, "a/b.txt") == data
    (listed,) = s3.list_objects_v2(Bucket=new_bucket)["Contents"]
    assert (listed["Key"], listed["Size"], listed["ETag"]) == ("a/b.txt", len(data), etag)
    s3.delete_object(Bucket=new_bucket, Key="a/b.txt")
    assert s3.list_objects_v2(Bucket=new_bucket)["KeyCount"] == 0
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=new_bucket, Key="a/b.txt")
    assert code(error) == ("NoSuchKey", 404)
    s3.delete_object(Bucket=new_bucket, Key="a/b.txt")


def test_an_empty_object_is_an_object(s3: Any, new_bucket: str):
    s3.put_object(Bucket=new_bucket, Key="empty", Body=b"")
    assert read(s3, new_bucket, "empty") == b""
    assert s3.head_object(Bucket=new_bucket, Key="empty")["ContentLength"] == 0


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"])
def test_a_checksum_is_verified_and_returned(s3: Any, new_bucket: str, algorithm: str):
    put = s3.put_object(Bucket=new_bucket, Key="k", Body=b"checked", ChecksumAlgorithm=algorithm)
    field = f"Checksum{algorithm}"
    head = s3.head_object(Bucket=new_bucket, Key="k", ChecksumMode="ENABLED")
    assert put[field] == head[field] != ""
    assert read(s3, new_bucket, "k", ChecksumMode="ENABLED") == b"checked"
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=new_bucket, Key="k", Body=b"changed", **{field: head[field]})
    assert code(error) == ("BadDigest", 400)
    assert read(s3, new_bucket, "k") == b"checked"


@pytest.mark.parametrize("when", ["when_supported", "when_required"])
def test_a_stream_of_unknown_origin_is_stored_whole(house: House, new_bucket: str, when: str):
    access_key, secret_key = house.keys
    config = Config(
        request_checksum_calculation=when, response_checksum_validation=when, s3={"addressing_style": "path"}
    )
    client = boto3.client(
        "s3",
        endpoint_url=house.endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=config,
    )
    data = os.urandom(3_000_001)
    client.put_object(Bucket=new_bucket, Key="stream", Body=io.BytesIO(data))
    assert read(client, new_bucket, "stream") == data
    client.close()


def test_ranges_give_exactly_the_bytes_asked_for(s3: Any, new_bucket: str):
    data = os.urandom(200_000)
    s3.put_object(Bucket=new_bucket, Key="k", Body=data)
    for wanted, expected in (
        ("bytes=0-0", data[:1]),
        ("bytes=65535-65536", data[65535:65537]),
        ("bytes=199000-", data[199000:]),
        ("bytes=-7", data[-7:]),
        ("bytes=150000-999999", data[150000:]),
    ):
        assert read(s3, new_bucket, "k", Range=wanted) == expected
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=new_bucket, Key="k", Range="bytes=200000-")
    assert code(error) == ("InvalidRange", 416)


def test_conditions_decide_reads_and_writes(s3: Any, new_bucket: str):
    etag = s3.put_object(Bucket=new_bucket, Key="k", Body=b"1")["ETag"]
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=new_bucket, Key="k", Body=b"2", IfNoneMatch="*")
    assert code(error) == ("PreconditionFailed", 412)
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=new_bucket, Key="k", IfNoneMatch=etag)
    assert code(error)[1] == 304
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=new_bucket, Key="k", IfMatch='"other"')
    assert code(error)[1] == 412
    assert read(s3, new_bucket, "k", IfMatch=etag) == b"1"


def test_a_listing_is_in_byte_order_and_pages_without_loss(s3: Any, new_bucket: str):
    keys = ["a!", "a-b", "a/", "a/b.txt", "a/b/c", "a0", "aa", "b/ü", "b/日本", "z/" + "x" * 200, "~"]
    for key in keys:
        s3.put_object(Bucket=new_bucket, Key=key, Body=key.encode() if not key.endswith("/") else b"")
    expected = sorted(keys, key=str.encode)
    for size in (1, 3, 1000):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=new_bucket, PaginationConfig={"PageSize": size})
        assert [each["Key"] for page in pages for each in page.get("Contents", [])] == expected
        pages = s3.get_paginator("list_objects").paginate(Bucket=new_bucket, PaginationConfig={"PageSize": size})
        assert [each["Key"] for page in pages for each in page.get("Contents", [])] == expected
    page = s3.list_objects_v2(Bucket=new_bucket, Delimiter="/")
    assert [each["Key"] for each in page["Contents"]] == ["a!", "a-b", "a0", "aa", "~"]
    assert [each["Prefix"] for each in page["CommonPrefixes"]] == ["a/", "b/", "z/"]
    page = s3.list_objects_v2(Bucket=new_bucket, Prefix="a/", Delimiter="/")
    assert [each["Key"] for each in page["Contents"]] == ["a/", "a/b.txt"]
    assert [each["Prefix"] for each in page["CommonPrefixes"]] == ["a/b/"]
    page = s3.list_objects_v2(Bucket=new_bucket, StartAfter="a0", MaxKeys=2)
    assert [each["Key"] for each in page["Contents"]] == ["aa", "b/ü"]
    assert page["IsTruncated"]


def test_a_key_may_stand_beside_a_folder_of_its_name(s3: Any, new_bucket: str):
    s3.put_object(Bucket=new_bucket, Key="x/y", Body=b"below")
    s3.put_object(Bucket=new_bucket, Key="x", Body=b"beside")
    assert read(s3, new_bucket, "x/y") == b"below"
    assert read(s3, new_bucket, "x") == b"beside"


def test_keys_that_are_no_paths_keep_their_form(s3: Any, new_bucket: str):
    keys = ["/lead", "a//b", "a/./b", "n/" + "x" * 300, "tab\t", "é\x01", "d/", "~gf.e-."]
    for key in keys:
        s3.put_object(Bucket=new_bucket, Key=key, Body=key.encode())
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=new_bucket, PaginationConfig={"PageSize": 3})
    assert [each["Key"] for page in pages for each in page["Contents"]] == sorted(keys, key=str.encode)
    for key in keys:
        assert read(s3, new_bucket, key) == key.encode()
    for key in keys:
        s3.delete_object(Bucket=new_bucket, Key=key)
    assert "Contents" not in s3.list_objects_v2(Bucket=new_bucket)


def test_presigned_urls_work_without_credentials_and_are_bound_to_their_key(s3: Any, new_bucket: str):
    s3.put_object(Bucket=new_bucket, Key="k", Body=b"shared")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": new_bucket, "Key": "k"}, ExpiresIn=60)
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"shared"
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(url.replace("/k?", "/other?"), timeout=10)
    assert error.value.code == 403
    error.value.close()


def test_a_wrong_secret_is_refused_and_says_so(house: House, new_bucket: str):
    client = boto3.client(
        "s3",
        endpoint_url=house.endpoint,
        aws_access_key_id=house.keys[0],
        aws_secret_access_key="wrong",
        region_name="us-east-1",
    )
    with pytest.raises(ClientError) as error:
        client.put_object(Bucket=new_bucket, Key="k", Body=b"x" * 100_000)
    assert code(error) == ("SignatureDoesNotMatch", 403)
    client.close()


def test_buckets_are_made_listed_and_deleted_only_when_empty(s3: Any, new_bucket: str):
    assert new_bucket in [each["Name"] for each in s3.list_buckets()["Buckets"]]
    s3.head_bucket(Bucket=new_bucket)
    s3.put_object(Bucket=new_bucket, Key="deep/er/key", Body=b"x")
    with pytest.raises(ClientError) as error:
        s3.delete_bucket(Bucket=new_bucket)
    assert code(error) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=new_bucket, Key="deep/er/key")
    s3.delete_bucket(Bucket=new_bucket)
    with pytest.raises(ClientError) as error:
        s3.head_bucket(Bucket=new_bucket)
    assert code(error)[1] == 404
    with pytest.raises(ClientError) as error:
        s3.list_objects_v2(Bucket=new_bucket)
    assert code(error) == ("NoSuchBucket", 404)


def test_what_is_not_offered_is_refused_as_not_implemented(s3: Any, new_bucket: str):
    with pytest.raises(ClientError) as error:
        s3.put_bucket_lifecycle_configuration(
            Bucket=new_bucket,
            LifecycleConfiguration={"Rules": [{"Status": "Enabled", "Prefix": "", "Expiration": {"Days": 1}}]},
        )
    assert code(error) == ("NotImplemented", 501)


def test_a_large_object_streams_through(s3: Any, new_bucket: str):
    data = os.urandom(1 << 20) * 48
    s3.put_object(Bucket=new_bucket, Key="big", Body=data)
    digest = hashlib.sha256()
    with closing(s3.get_object(Bucket=new_bucket, Key="big")["Body"]) as body:
        for piece in body.iter_chunks(1 << 20):
            digest.update(piece)
    assert digest.hexdigest() == hashlib.sha256(data).hexdigest()
