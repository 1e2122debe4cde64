"""Real boto3 against the S3 door on loopback, over a fake namespace."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

DOOR = Path(__file__).resolve().parents[1] / "unit/s3/door_process.py"
KEYS = {
    "region_name": "us-east-1",
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
}
MIB = 1 << 20


class Door:
    def __init__(self, *options):
        self.process = subprocess.Popen(
            [sys.executable, str(DOOR), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.endpoint = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def client(self, **config):
        return boto3.client(
            "s3", endpoint_url=self.endpoint, config=Config(retries={"max_attempts": 0}, **config), **KEYS
        )

    def peak_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024

    def stop(self):
        """Stop as the appliance does, and return what was logged."""
        self.process.send_signal(signal.SIGTERM)
        logged = self.process.communicate(timeout=20)[1]
        assert self.process.returncode == 0
        return logged


@pytest.fixture(scope="module")
def door():
    door = Door()
    yield door
    logged = door.stop()
    assert "Traceback" not in logged
    assert KEYS["aws_secret_access_key"] not in logged
    assert "Signature" not in logged


@pytest.fixture
def client(door):
    client = door.client()
    client.create_bucket(Bucket="boto")
    yield client
    # One by one: XML cannot say every key.
    for each in client.list_objects_v2(Bucket="boto").get("Contents", []):
        client.delete_object(Bucket="boto", Key=each["Key"])
    client.delete_bucket(Bucket="boto")


@pytest.mark.parametrize("algorithm", [None, "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_an_object_comes_back_with_the_checksum_it_was_sent_with(client, algorithm):
    chosen = {} if algorithm is None else {"ChecksumAlgorithm": algorithm}
    client.put_object(Bucket="boto", Key="a/b c+ü&?.txt", Body=b"hello", Metadata={"mtime": "1.5"}, **chosen)
    got = client.get_object(Bucket="boto", Key="a/b c+ü&?.txt")
    assert got["Body"].read() == b"hello"
    assert got["Metadata"] == {"mtime": "1.5"}
    assert client.head_object(Bucket="boto", Key="a/b c+ü&?.txt")["ContentLength"] == 5


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
@pytest.mark.parametrize("style", ["path", "auto"])
def test_both_signature_versions_work_in_headers(door, client, signature, style):
    other = door.client(signature_version=signature, s3={"addressing_style": style})
    other.put_object(Bucket="boto", Key="k", Body=b"x" * 100_000)
    assert other.get_object(Bucket="boto", Key="k", Range="bytes=5-9")["Body"].read() == b"xxxxx"
    assert [each["Key"] for each in other.list_objects(Bucket="boto", Prefix="k")["Contents"]] == ["k"]
    assert [each["Name"] for each in other.list_buckets()["Buckets"]] == ["boto"]
    other.delete_object(Bucket="boto", Key="k")


@pytest.mark.parametrize("signature", ["s3v4", "s3", None])
def test_presigned_urls_of_both_versions_read_and_write(door, client, signature):
    signer = door.client(**({"signature_version": signature} if signature else {}))
    put = signer.generate_presigned_url("put_object", Params={"Bucket": "boto", "Key": "a b/ü"})
    request = urllib.request.Request(put, data=b"presigned", method="PUT", headers={"Content-Type": ""})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    params = {"Bucket": "boto", "Key": "a b/ü", "ResponseContentType": "text/x"}
    with urllib.request.urlopen(signer.generate_presigned_url("get_object", Params=params)) as answer:
        assert (answer.read(), answer.headers["content-type"]) == (b"presigned", "text/x")
    other = signer.generate_presigned_url("get_object", Params=params).replace("%C3%BC", "%C3%BD")
    with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(other):
        pass
    assert caught.value.code == 403
    caught.value.close()


def test_many_objects_are_deleted_in_one_request(client):
    keys = [f"k{number}" for number in range(30)]
    for key in keys:
        client.put_object(Bucket="boto", Key=key, Body=b"x")
    answer = client.delete_objects(Bucket="boto", Delete={"Objects": [{"Key": key} for key in [*keys, "none"]]})
    assert [each["Key"] for each in answer["Deleted"]] == [*keys, "none"]
    assert client.list_objects_v2(Bucket="boto")["KeyCount"] == 0


def test_lists_page_in_byte_order_with_and_without_delimiter(client):
    keys = ["a-", "a/", "a/x", "a0", "b\x01c", "ü/ä", "z"]
    for key in keys:
        client.put_object(Bucket="boto", Key=key, Body=b"")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="boto", PaginationConfig={"PageSize": 2})
    assert [each["Key"] for page in pages for each in page["Contents"]] == sorted(keys, key=str.encode)
    pages = list(client.get_paginator("list_objects").paginate(Bucket="boto", Delimiter="/", MaxKeys=2))
    assert [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])] == ["a/", "ü/"]


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda s3: s3.get_object(Bucket="boto", Key="none"), "NoSuchKey"),
        (lambda s3: s3.head_object(Bucket="boto", Key="none"), "404"),
        (lambda s3: s3.head_bucket(Bucket="nobucket"), "404"),
        (lambda s3: s3.put_object(Bucket="nobucket", Key="k", Body=b"x" * 3 * MIB), "NoSuchBucket"),
        (
            lambda s3: s3.put_object(Bucket="boto", Key="k", Body=b"x", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA=="),
            "BadDigest",
        ),
        (lambda s3: s3.create_bucket(Bucket="boto"), "BucketAlreadyOwnedByYou"),
        (lambda s3: s3.get_object_torrent(Bucket="boto", Key="k"), "NotImplemented"),
        (lambda s3: s3.get_bucket_tagging(Bucket="boto"), "NoSuchTagSet"),
        (lambda s3: s3.put_object_tagging(Bucket="boto", Key="none", Tagging={"TagSet": []}), "NoSuchKey"),
    ],
)
def test_refusals_reach_boto3_with_their_codes(client, call, code):
    with pytest.raises(ClientError) as caught:
        call(client)
    assert caught.value.response["Error"]["Code"] == code


def test_sixty_four_mib_pass_both_ways_unchanged(client):
    body = os.urandom(64 * MIB)
    client.put_object(Bucket="boto", Key="big", Body=body)
    assert client.get_object(Bucket="boto", Key="big")["Body"].read() == body


def test_a_long_body_costs_the_door_no_memory_of_its_size():
    door = Door("--forget")
    client = door.client()
    client.create_bucket(Bucket="boto")
    client.put_object(Bucket="boto", Key="small", Body=b"x" * MIB)
    before = door.peak_bytes()
    client.put_object(Bucket="boto", Key="big", Body=bytes(64 * MIB))
    grown = door.peak_bytes() - before
    door.stop()
    assert grown < 16 * MIB
