"""Request targets: percent-encoding, query parameters, bucket and key, decoded once and as bytes."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

from msgspec import Struct

from protocols.s3.codec.errors import S3Error

#: The longest key of a request, in bytes of UTF-8 (S3's limit).
MAX_KEY_BYTES = 1024
#: More parameters than any operation has.
MAX_PARAMETERS = 64

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,255}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


class Level(Enum):
    """What a request is about."""

    SERVICE = "service"
    BUCKET = "bucket"
    OBJECT = "object"


class Target(Struct, frozen=True):
    """Where a request goes. The one parse result that everything else (signature, rights, storage, log) uses."""

    path: bytes  # as sent, still encoded
    query: bytes  # as sent, still encoded
    bucket: str  # "" at service level
    key: bytes  # decoded; b"" unless at object level
    params: dict[str, str]  # decoded
    virtual: bool  # the bucket came from the Host header

    @property
    def level(self) -> Level:
        """Return what the request is about."""
        if self.key:
            return Level.OBJECT
        return Level.BUCKET if self.bucket else Level.SERVICE


def percent_decode(raw: bytes) -> bytes:
    """Decode %XX once; raise S3Error InvalidURI for a bad escape."""
    if b"%" not in raw:
        return raw
    if _BAD_ESCAPE.search(raw):
        raise S3Error("InvalidURI")
    return unquote_to_bytes(raw)


def percent_encode(raw: bytes, keep: str = "") -> str:
    """Encode all but RFC 3986's unreserved characters and those of *keep*, as AWS's UriEncode does."""
    return quote_from_bytes(raw, keep)


def url_encode_key(key: bytes) -> str:
    """Encode a key for `encoding-type=url`; a space is %20, which decoders with and without `+` understand."""
    return quote_from_bytes(key, "/")


def decode_query(raw: bytes) -> list[tuple[str, str]]:
    """Return the parameters in order; raise S3Error InvalidURI for bad escapes, encoding or count."""
    if not raw:
        return []
    pieces = raw.split(b"&", MAX_PARAMETERS)
    if len(pieces) > MAX_PARAMETERS:
        raise S3Error("InvalidURI", "Too many query parameters.")
    pairs = []
    for piece in pieces:
        if piece:
            name, _, value = piece.partition(b"=")
            pairs.append((_text(name.replace(b"+", b" ")), _text(value.replace(b"+", b" "))))
    return pairs


def _text(raw: bytes) -> str:
    try:
        return percent_decode(raw).decode()
    except UnicodeDecodeError:
        raise S3Error("InvalidURI", "A query parameter is not UTF-8.") from None


def parse_target(target: bytes, host: str, domain: str | None) -> Target:
    """Parse a request target in origin form, or in absolute form if it names *host*.

    A Host of `bucket.domain` names the bucket (virtual-host style). Raise S3Error InvalidURI or KeyTooLongError.
    """
    virtual = _bucket_of_host(host, domain)
    if not target.startswith(b"/"):
        target = _origin_form(target, host)
    if b"#" in target:
        raise S3Error("InvalidURI")
    path, _, query = target.partition(b"?")
    params: dict[str, str] = {}
    for name, value in decode_query(query):
        if name in params:
            raise S3Error("InvalidArgument", "A query parameter is given twice.", ArgumentName=name)
        params[name] = value
    if virtual:
        return Target(path, query, virtual, _key(path[1:]), params, virtual=True)
    bucket, _, key = path[1:].partition(b"/")
    if not bucket and key:
        raise S3Error("InvalidURI", "The bucket has no name.")
    return Target(path, query, percent_decode(bucket).decode("latin-1"), _key(key), params, False)


def _origin_form(target: bytes, host: str) -> bytes:
    """Reduce `http://host/path` to `/path` (RFC 9112, section 3.2.2)."""
    for scheme in (b"http://", b"https://"):
        if target[: len(scheme)].lower() == scheme:
            authority, slash, rest = target[len(scheme) :].partition(b"/")
            if authority.decode("latin-1").lower() == host.lower():
                return slash + rest or b"/"
    raise S3Error("InvalidURI")


@lru_cache(maxsize=1024)
def _bucket_of_host(host: str, domain: str | None) -> str:
    """Return the bucket that a virtual-host style *host* names, or "" for path style; raise S3Error."""
    if not _HOST.fullmatch(host):
        raise S3Error("InvalidRequest", "The Host header is missing or not valid.")
    if domain is None:
        return ""
    # A name may end in the dot of the root (RFC 1034, section 3.1).
    name = host.lower().partition(":")[0].removesuffix(".")
    return name.removesuffix(f".{domain}") if name.endswith(f".{domain}") else ""


def _key(raw: bytes) -> bytes:
    return parse_key(percent_decode(raw))


def parse_key(key: bytes) -> bytes:
    """Return *key* if a request may name it; raise S3Error KeyTooLongError or InvalidURI."""
    if len(key) > MAX_KEY_BYTES:
        raise S3Error("KeyTooLongError")
    try:
        key.decode()
    except UnicodeDecodeError:
        raise S3Error("InvalidURI", "The key is not UTF-8.") from None
    return key
