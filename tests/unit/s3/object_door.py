"""The S3 door over the real namespace, which stands on memory rooms: what an operation does, by raw HTTP."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode
from typing import NamedTuple

from awscrt import checksums as crt
from loop import House
from object_hall import PART, ObjectHall
from signing import signed

from protocols.s3.codec.xmlread import read_xml

ONE, TWO, LAST = b"1" * PART, b"2" * (PART + 7), b"tail"
#: Parts of fewer bytes than S3 allows, for tests that lower the bound.
SMALL_ONE, SMALL_TWO = b"1" * 1000, b"2" * 1007
DIGESTS = {
    "CRC32": lambda data: zlib.crc32(data).to_bytes(4),
    "CRC32C": lambda data: crt.crc32c(data).to_bytes(4),
    "CRC64NVME": lambda data: crt.crc64nvme(data).to_bytes(8),
    "SHA1": lambda data: hashlib.sha1(data).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}


def checksum(algorithm: str, data: bytes) -> str:
    return b64encode(DIGESTS[algorithm](data)).decode()


def composite(algorithm: str, *parts: bytes) -> str:
    digests = b"".join(DIGESTS[algorithm](part) for part in parts)
    return f"{b64encode(DIGESTS[algorithm](digests)).decode()}-{len(parts)}"


def etag_of(*parts: bytes) -> str:
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    return f'"{hashlib.md5(digests).hexdigest()}-{len(parts)}"'


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self):
        return read_xml(self.body, "Error").value("Code")

    def xml(self, root):
        assert self.status == 200, self
        return read_xml(self.body, root)


class ObjectDoor:
    """A door with the caller's bucket `bkt`, beside the hall's own `bucket`, which is somebody else's."""

    def __init__(self):
        self.hall = ObjectHall()
        self.house = House(self.hall.ns)
        assert self.ask("PUT", "/bkt").status == 200

    def take_over(self):
        """Let another gateway follow this one, which has died."""
        self.hall = self.hall.reopen()
        self.house = House(self.hall.ns)

    def ask(self, method, path, headers=None, body=b"", auth="V4_HEADER"):
        return Reply(*self.house.ask(signed(auth, method, path, headers, body)))

    def put(self, key, body, **headers):
        reply = self.ask("PUT", f"/bkt/{key}", headers, body)
        assert reply.status == 200, reply
        return reply

    def begin(self, key, headers=None):
        """Begin an upload and return its id."""
        return self.ask("POST", f"/bkt/{key}?uploads", headers).xml("InitiateMultipartUploadResult").value("UploadId")

    def part(self, key, upload, number, body, headers=None):
        return self.ask("PUT", f"/bkt/{key}?partNumber={number}&uploadId={upload}", headers, body)

    def copy_part(self, key, upload, number, source, headers=None):
        headers = {"x-amz-copy-source": source, **(headers or {})}
        return self.ask("PUT", f"/bkt/{key}?partNumber={number}&uploadId={upload}", headers)

    def complete(self, key, upload, parts, headers=None, algorithm=None):
        """Complete with *parts*, replies of UploadPart by number."""
        listed = []
        for number, reply in parts.items():
            sum_ = reply.headers.get(f"x-amz-checksum-{algorithm.lower()}") if algorithm else None
            more = f"<Checksum{algorithm}>{sum_}</Checksum{algorithm}>" if sum_ else ""
            listed.append((number, reply.headers["etag"], more))
        return self.ask("POST", f"/bkt/{key}?uploadId={upload}", headers, document(listed))

    def uploaded(self, key, *bodies, headers=None, algorithm=None):
        """Upload *bodies* as one object; return the answer of the completion."""
        upload = self.begin(key, headers)
        parts = {}
        for number, body in enumerate(bodies, 1):
            sums = {f"x-amz-checksum-{algorithm.lower()}": checksum(algorithm, body)} if algorithm else {}
            parts[number] = self.part(key, upload, number, body, sums)
            assert parts[number].status == 200, parts[number]
        return self.complete(key, upload, parts, algorithm=algorithm)

    def keys(self, bucket="bkt"):
        found = self.ask("GET", f"/{bucket}?list-type=2").xml("ListBucketResult")
        return [each.value("Key") for each in found.children if each.name == "Contents"]


def document(parts):
    """Return the body of CompleteMultipartUpload for (number, ETag, further elements)."""
    listed = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag.replace(chr(34), '&quot;')}</ETag>{more}</Part>"
        for number, etag, more in parts
    )
    return f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
