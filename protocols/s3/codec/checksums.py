"""The digests of S3 bodies: Content-MD5, x-amz-content-sha256 and the x-amz-checksum-* family."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING, Protocol

import google_crc32c
from awscrt.checksums import crc64nvme

from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.xmlwrite import element

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX = "x-amz-checksum-"
#: What S3 computes where nothing is announced.
DEFAULT_ALGORITHM = "crc64nvme"
MD5_BYTES = 16
#: Headers of the family that carry no checksum.
_NOT_CHECKSUMS = frozenset({"x-amz-checksum-mode", "x-amz-checksum-algorithm", "x-amz-checksum-type"})
COMPOSITE, FULL_OBJECT = "COMPOSITE", "FULL_OBJECT"


class Digest(Protocol):
    """A running digest."""

    def update(self, data: bytes, /) -> object:
        """Take more of the body."""

    def digest(self) -> bytes:
        """Return the digest, big-endian."""


class _Crc:
    """A CRC from a C function `crc(data, previous) -> int`."""

    __slots__ = ("_function", "_size", "_value")

    def __init__(self, function: Callable[[bytes, int], int], size: int) -> None:
        self._function = function
        self._size = size
        self._value = 0

    def update(self, data: bytes) -> None:
        """Take more of the body."""
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        """Return the CRC, big-endian."""
        return self._value.to_bytes(self._size, "big")


def _crc32c(data: bytes, previous: int) -> int:
    value: int = google_crc32c.extend(previous, data)
    return value


#: Algorithm by its lower-case name -> (maker, bytes of the digest).
ALGORITHMS: dict[str, tuple[Callable[[], Digest], int]] = {
    "crc32": (lambda: _Crc(zlib.crc32, 4), 4),
    "crc32c": (lambda: _Crc(_crc32c, 4), 4),
    "crc64nvme": (lambda: _Crc(crc64nvme, 8), 8),
    "sha1": (lambda: hashlib.sha1(usedforsecurity=False), 20),
    "sha256": (hashlib.sha256, 32),
}


#: The types that a multipart object's checksum may have, the default first (S3, "Checking object integrity").
_KINDS = {
    "crc32": (COMPOSITE, FULL_OBJECT),
    "crc32c": (COMPOSITE, FULL_OBJECT),
    "crc64nvme": (FULL_OBJECT,),
    "sha1": (COMPOSITE,),
    "sha256": (COMPOSITE,),
}


def decode_base64(text: str, size: int) -> bytes:
    """Decode a digest of *size* bytes; raise S3Error InvalidDigest."""
    try:
        raw = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raw = b""
    if len(raw) != size:
        raise S3Error("InvalidDigest")
    return raw


def encode_base64(raw: bytes) -> str:
    """Return *raw* as S3 shows digests."""
    return b64encode(raw).decode()


class Announced(dict[str, bytes | None]):
    """Algorithm -> announced digest, or None where the trailer will bring it. At most one."""


def announced_checksum(headers: Mapping[str, str], trailers: frozenset[str]) -> Announced:
    """Return the checksum that a request announces in a header or for its trailer.

    Raise S3Error InvalidRequest for more than one or an unknown algorithm, InvalidDigest for a bad value.
    """
    found = Announced()
    for name, value in headers.items():
        if name.startswith(PREFIX) and name not in _NOT_CHECKSUMS:
            algorithm = _algorithm(name)
            found[algorithm] = decode_base64(value, ALGORITHMS[algorithm][1])
    for name in trailers:
        found[_algorithm(name)] = None
    if len(found) > 1:
        raise S3Error(
            "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksums are not allowed."
        )
    return found


def kind_of(sums: Mapping[str, str]) -> str:
    """Return the type of an object's checksums: a COMPOSITE one tells how many parts it is of (`<base64>-3`)."""
    return COMPOSITE if any("-" in value for value in sums.values()) else FULL_OBJECT


def checksum_elements(sums: Mapping[str, str], *, kind: bool = False) -> str:
    """Return the elements of checksums, with *kind* also that of their type."""
    shown = "".join(element(f"Checksum{name.upper()}", value) for name, value in sums.items())
    return shown + element("ChecksumType", kind_of(sums)) if kind and sums else shown


def algorithm_of(headers: Mapping[str, str]) -> str:
    """Return what x-amz-checksum-algorithm names, in lower case, empty for nothing; raise S3Error InvalidRequest."""
    algorithm = headers.get("x-amz-checksum-algorithm", "").lower()
    if algorithm and algorithm not in ALGORITHMS:
        names = ", ".join(name.upper() for name in ALGORITHMS)
        message = f"Checksum algorithm provided is unsupported. Please try again with any of the valid types: [{names}]"
        raise S3Error("InvalidRequest", message)
    return algorithm


def announced_kind(headers: Mapping[str, str]) -> str:
    """Return algorithm and type that CreateMultipartUpload announces (`crc32 COMPOSITE`), empty for none.

    Raise S3Error InvalidRequest for what S3 does not know, and for types that an algorithm cannot have.
    """
    algorithm = algorithm_of(headers)
    kind = check_kind(headers.get("x-amz-checksum-type", ""))
    if not algorithm:
        if kind:
            raise S3Error(
                "InvalidRequest",
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            )
        return ""
    kinds = _KINDS[algorithm]
    if kind and kind not in kinds:
        raise S3Error(
            "InvalidRequest", f"The {kind} checksum type cannot be used with the {algorithm} checksum algorithm."
        )
    return f"{algorithm} {kind or kinds[0]}"


def check_kind(text: str) -> str:
    """Return an x-amz-checksum-type, which may be empty; raise S3Error InvalidRequest."""
    kind = text.upper()
    if kind not in {"", COMPOSITE, FULL_OBJECT}:
        raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    return kind


def whole_checksums(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the checksum that CompleteMultipartUpload names of the whole object, as it is shown; raise S3Error."""
    plain = {name: value.partition("-")[0] if name.startswith(PREFIX) else value for name, value in headers.items()}
    return {algorithm: headers[PREFIX + algorithm].strip() for algorithm in announced_checksum(plain, frozenset())}


def _algorithm(name: str) -> str:
    algorithm = name.removeprefix(PREFIX)
    if not name.startswith(PREFIX) or algorithm not in ALGORITHMS:
        raise S3Error("InvalidRequest", "The checksum header or trailer is not one that S3 knows.")
    return algorithm


def announced_trailers(header: str) -> frozenset[str]:
    """Return the lower-case names that the x-amz-trailer *header* announces."""
    return frozenset(name.strip().lower() for name in header.split(",") if name.strip())
