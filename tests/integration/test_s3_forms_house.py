"""boto3's presigned forms, versions and probes on the whole house, through an HTTP client that knows nothing of S3."""

from __future__ import annotations

import http.client
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from house import House

MIB = 1 << 20
BOUNDARY = "----gatefold4f9c"
ORIGIN = "https://app.test"


@pytest.fixture(scope="module")
def bucket(house: House) -> Iterator[str]:
    client = house.s3()
    client.create_bucket(Bucket="forms")
    yield "forms"
    # As tools clean up: by versions, though the bucket keeps none.
    for page in client.get_paginator("list_object_versions").paginate(Bucket="forms"):
        rows = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in page.get("Versions", [])]
        assert "Errors" not in client.delete_objects(Bucket="forms", Delete={"Objects": rows})
    client.delete_bucket(Bucket="forms")


def presigned(house: House, signature: str, key: str, **how) -> dict:
    access_key, secret_key = house.keys
    config = Config(signature_version=signature, s3={"addressing_style": "path"})
    client = boto3.client(
        "s3",
        endpoint_url=house.endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=config,
    )
    return client.generate_presigned_post("forms", key, **how)


def send(post: dict, file: bytes, filename: str = "f.bin") -> tuple[int, dict[str, str], str]:
    """Send a form as a browser does, the file piece by piece; return status, headers and text."""
    place = urlsplit(post["url"])
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in post["fields"].items()
    ]
    parts.append(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n')
    head, tail = "".join(parts).encode(), f"\r\n--{BOUNDARY}--\r\n".encode()
    connection = http.client.HTTPConnection(place.netloc, timeout=60)
    try:
        connection.putrequest("POST", place.path)
        connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
        connection.putheader("Content-Length", str(len(head) + len(file) + len(tail)))
        connection.endheaders(head)
        for at in range(0, len(file), MIB):
            connection.send(file[at : at + MIB])
        connection.send(tail)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
def test_a_form_that_boto3_presigned_stores_a_file_of_any_size(house, bucket, signature):
    fields = {"Content-Type": "image/png", "x-amz-meta-who": "me"}
    conditions = [{name: value} for name, value in fields.items()]
    post = presigned(house, signature, "up/${filename}", Fields=fields, Conditions=conditions)
    for file in (b"small", os.urandom(20 * MIB)):
        status, headers, _ = send(post, file, f"{signature}.png")
        assert status == 204
        got = house.s3().get_object(Bucket=bucket, Key=f"up/{signature}.png")
        assert got["Body"].read() == file
        assert (got["ETag"], got["ContentType"], got["Metadata"]) == (headers["etag"], "image/png", {"who": "me"})


def test_a_form_larger_than_its_policy_allows_stores_nothing(house, bucket):
    post = presigned(house, "s3v4", "too-large", Conditions=[["content-length-range", 1, MIB]])
    status, _, text = send(post, b"x" * (MIB + 1))
    assert (status, "<Code>EntityTooLarge</Code>" in text) == (400, True)
    with pytest.raises(ClientError) as caught:
        house.s3().head_object(Bucket=bucket, Key="too-large")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_what_tools_probe_of_a_bucket_is_told_as_s3_tells_it(house, bucket):
    client = house.s3()
    absent = {
        "get_bucket_cors": "NoSuchCORSConfiguration",
        "get_bucket_encryption": "ServerSideEncryptionConfigurationNotFoundError",
        "get_bucket_lifecycle_configuration": "NoSuchLifecycleConfiguration",
        "get_object_lock_configuration": "ObjectLockConfigurationNotFoundError",
        "get_bucket_ownership_controls": "OwnershipControlsNotFoundError",
        "get_bucket_policy": "NoSuchBucketPolicy",
        "get_bucket_policy_status": "NoSuchBucketPolicy",
        "get_public_access_block": "NoSuchPublicAccessBlockConfiguration",
        "get_bucket_replication": "ReplicationConfigurationNotFoundError",
        "get_bucket_website": "NoSuchWebsiteConfiguration",
    }
    for call, code in absent.items():
        with pytest.raises(ClientError) as caught:
            getattr(client, call)(Bucket=bucket)
        assert caught.value.response["Error"]["Code"] == code
    for call in ("logging", "notification_configuration", "accelerate_configuration", "versioning"):
        answer = getattr(client, f"get_bucket_{call}")(Bucket=bucket)
        assert set(answer) == {"ResponseMetadata"}
    assert client.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    owner = client.list_buckets()["Owner"]["ID"]
    client.head_bucket(Bucket=bucket, ExpectedBucketOwner=owner)
    with pytest.raises(ClientError):
        client.head_bucket(Bucket=bucket, ExpectedBucketOwner="1" * 12)


def preflight(house: House, origin: str) -> tuple[int, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", house.s3_port, timeout=30)
    try:
        headers = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
        connection.request("OPTIONS", "/any/key", headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("access-control-allow-origin")
    finally:
        connection.close()


def test_the_configuration_says_which_pages_are_served(house, new_house: Callable[..., House]):
    assert preflight(house, ORIGIN) == (403, None)
    sharing = new_house()
    path = sharing.home / "gatefold.toml"
    path.write_text(path.read_text().replace("cors_origins = []", f'cors_origins = ["{ORIGIN}"]'))
    sharing.start()
    assert preflight(sharing, ORIGIN) == (200, ORIGIN)
    assert preflight(sharing, "https://other.test") == (403, None)
