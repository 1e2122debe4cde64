"""Uploads in parts and copies on the whole house, by boto3, beside NFS."""

from __future__ import annotations

import hashlib
import random
import time
from base64 import b64encode
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from nfs_client import NfsClient, NfsStatus

from protocols.nfs.codec.nfs3_types import stable_how

if TYPE_CHECKING:
    from collections.abc import Iterator

    from house import House

PART = 5 << 20
DATA = random.Random(4).randbytes(2 * PART + 12_345)
PARTS = (DATA[:PART], DATA[PART : 2 * PART], DATA[2 * PART :])
FOLDER = "in-parts"
#: The blobs that the parts of an upload lie in, and which of some blobs are not given up.
BLOBS = """
    SELECT DISTINCT x.blob FROM part p JOIN extent x ON x.vol = p.vol AND x.content = p.content WHERE p.upload_id = %s
"""
LEFT = "SELECT id FROM blob WHERE doomed = 0 AND id = ANY(%s)"


@pytest.fixture
def s3(house: House) -> Iterator[Any]:
    with closing(house.s3()) as client:
        yield client


def named(house: House, name: str) -> dict[str, str]:
    return {"Bucket": house.bucket, "Key": f"{FOLDER}/{name}"}


def read(s3: Any, where: dict[str, Any], **more: Any) -> bytes:
    with closing(s3.get_object(**where, **more)["Body"]) as body:
        data: bytes = body.read()
    return data


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_parts_with_every_checksum_become_one_object(house: House, s3: Any, algorithm: str):
    where = named(house, algorithm)
    upload = s3.create_multipart_upload(**where, ChecksumAlgorithm=algorithm)["UploadId"]
    sent = []
    for number, part in enumerate(PARTS, 1):
        answer = s3.upload_part(**where, UploadId=upload, PartNumber=number, Body=part, ChecksumAlgorithm=algorithm)
        name = f"Checksum{algorithm}"
        sent.append({"PartNumber": number, "ETag": answer["ETag"], name: answer[name]})
    listed = s3.list_parts(**where, UploadId=upload)
    assert [part["Size"] for part in listed["Parts"]] == [len(part) for part in PARTS]
    assert [each["Key"] for each in s3.list_multipart_uploads(Bucket=house.bucket)["Uploads"]] == [where["Key"]]
    done = s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": sent})
    assert done["ChecksumType"] == ("FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE")
    assert read(s3, where, ChecksumMode="ENABLED") == DATA  # boto3 compares what is of the whole
    second = s3.get_object(**where, PartNumber=2, ChecksumMode="ENABLED")
    assert (second["Body"].read(), second["PartsCount"]) == (PARTS[1], 3)
    told = s3.get_object_attributes(**where, ObjectAttributes=["ObjectParts", "Checksum", "ObjectSize"])
    assert (told["ObjectSize"], told["ObjectParts"]["TotalPartsCount"]) == (len(DATA), 3)
    assert told["Checksum"][f"Checksum{algorithm}"] == done[f"Checksum{algorithm}"]
    again = s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": sent})
    assert again["ETag"] == done["ETag"]


def test_a_file_of_40_mib_goes_up_and_down_whole(house: House, s3: Any, tmp_path):
    here, back = tmp_path / "here", tmp_path / "back"
    here.write_bytes(DATA * 4)
    s3.upload_file(str(here), house.bucket, f"{FOLDER}/big", Config=TransferConfig(multipart_chunksize=8 << 20))
    s3.download_file(house.bucket, f"{FOLDER}/big", str(back))
    assert here.read_bytes() == back.read_bytes()
    with NfsClient("127.0.0.1", house.nfs_port, house.mount_port) as nfs:
        assert nfs.read_all(nfs.walk(nfs.mount(house.export), f"{FOLDER}/big")) == here.read_bytes()


def test_nfs_sees_an_upload_when_it_is_whole_and_its_edit_ends_what_s3_said(house: House, s3: Any):
    where = named(house, "edited")
    with NfsClient("127.0.0.1", house.nfs_port, house.mount_port) as nfs:
        top = nfs.mount(house.export)
        upload = s3.create_multipart_upload(**where, ChecksumAlgorithm="CRC32")["UploadId"]
        parts = []
        for number, part in enumerate(PARTS, 1):
            answer = s3.upload_part(**where, UploadId=upload, PartNumber=number, Body=part)
            parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32": answer["ChecksumCRC32"]})
        with pytest.raises(NfsStatus):
            nfs.walk(top, where["Key"])
        s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
        file = nfs.walk(top, where["Key"])
        assert nfs.read_all(file) == DATA
        before = s3.head_object(**where, ChecksumMode="ENABLED")
        assert before["ChecksumType"] == "COMPOSITE"
        nfs.write(file, PART - 1, b"edit", stable_how.FILE_SYNC)
    after = s3.head_object(**where, ChecksumMode="ENABLED")
    assert after["ETag"] != before["ETag"]
    assert "ChecksumCRC32" not in after
    assert read(s3, where) == DATA[: PART - 1] + b"edit" + DATA[PART + 3 :]
    with pytest.raises(ClientError, match="InvalidPartNumber"):
        s3.get_object(**where, PartNumber=2)


def test_a_copy_of_gigabytes_in_a_bucket_is_rows(house: House, s3: Any):
    """4 GiB, most of them holes and the rest shared: by bytes it would take a minute."""
    source, target = named(house, "huge"), named(house, "huge-copy")
    with NfsClient("127.0.0.1", house.nfs_port, house.mount_port) as nfs:
        top = nfs.mount(house.export)
        s3.put_object(**source, Body=DATA)
        nfs.write(nfs.walk(top, source["Key"]), 4 << 30, b"end", stable_how.FILE_SYNC)
    started = time.monotonic()
    s3.copy_object(**target, CopySource=source)
    # boto3's managed copy: parts of it, side by side, by UploadPartCopy.
    s3.copy(source, house.bucket, f"{FOLDER}/huge-parts", Config=TransferConfig(multipart_chunksize=1 << 30))
    assert time.monotonic() - started < 20
    for where in (target, named(house, "huge-parts")):
        assert s3.head_object(**where)["ContentLength"] == (4 << 30) + 3
        assert read(s3, where, Range="bytes=0-99") == DATA[:100]
        assert read(s3, where, Range=f"bytes={(4 << 30) - 2}-") == b"\0\0end"
        s3.delete_object(**where)
    s3.delete_object(**source)


def test_a_copy_to_another_bucket_is_bytes_of_its_own(house: House, s3: Any):
    s3.create_bucket(Bucket="copied-into")
    source, target = named(house, "across"), {"Bucket": "copied-into", "Key": "across"}
    s3.upload_fileobj(_Reader(DATA), Bucket=house.bucket, Key=source["Key"])
    done = s3.copy_object(**target, CopySource=source, ChecksumAlgorithm="SHA256")["CopyObjectResult"]
    assert done["ChecksumSHA256"] == b64encode(hashlib.sha256(DATA).digest()).decode()
    s3.delete_object(**source)
    assert read(s3, target, ChecksumMode="ENABLED") == DATA
    s3.delete_object(**target)
    s3.delete_bucket(Bucket="copied-into")


def test_an_aborted_upload_leaves_nothing(house: House, s3: Any):
    where = named(house, "aborted")
    with psycopg.connect(house.database_dsn(), autocommit=True) as rows:
        upload = s3.create_multipart_upload(**where)["UploadId"]
        for number, part in enumerate(PARTS, 1):
            s3.upload_part(**where, UploadId=upload, PartNumber=number, Body=part)
        blobs = rows.execute(BLOBS, [upload.encode()]).fetchall()
        assert len(blobs) >= len(PARTS)
        s3.abort_multipart_upload(**where, UploadId=upload)
        assert "Uploads" not in s3.list_multipart_uploads(Bucket=house.bucket)
        with pytest.raises(ClientError, match="NoSuchUpload"):
            s3.list_parts(**where, UploadId=upload)
        deadline = time.monotonic() + 60
        while rows.execute(LEFT, [[number for (number,) in blobs]]).fetchall():
            assert time.monotonic() < deadline, "the blobs of the parts stay"
            time.sleep(0.2)  # garbage is collected in rounds of a second


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def read(self, count: int = -1) -> bytes:
        taken = self._data[:count] if count >= 0 else self._data
        self._data = self._data[len(taken) :]
        return bytes(taken)
