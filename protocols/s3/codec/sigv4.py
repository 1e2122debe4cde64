"""Signature Version 4: canonical requests, strings to sign, keys (AWS "Signature Version 4 signing process")."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import TYPE_CHECKING

from msgspec import Struct

from protocols.s3.codec.uri import decode_query, percent_decode, percent_encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY_SHA256 = sha256().hexdigest()
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
SERVICE = "s3"
TERMINATOR = "aws4_request"

_UNRESERVED = re.compile(rb"[A-Za-z0-9._~/-]*")
_HEADER = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([^, ]{1,256}), *SignedHeaders=([^, ]{1,4096}), *Signature=([0-9a-f]{64})"
)
_SCOPE_PARTS = 5


class Credential4(Struct, frozen=True):
    """A credential scope: who signed, and what for."""

    access_key: str
    date: str  # YYYYMMDD
    region: str
    service: str
    terminator: str

    @property
    def scope(self) -> str:
        """Return the scope as it stands in the string to sign."""
        return f"{self.date}/{self.region}/{self.service}/{self.terminator}"


class Authorization4(Struct, frozen=True):
    """What an `Authorization` header, or a presigned query, says."""

    credential: Credential4
    signed_headers: tuple[str, ...]
    signature: str  # hex


def parse_credential(text: str) -> Credential4 | None:
    """Parse `access-key/date/region/service/terminator`; the access key may hold slashes."""
    parts = text.rsplit("/", _SCOPE_PARTS - 1)
    return Credential4(*parts) if len(parts) == _SCOPE_PARTS and all(parts) else None


def parse_authorization(text: str) -> Authorization4 | None:
    """Parse the value of an `Authorization` header, or return None."""
    match = _HEADER.fullmatch(text)
    credential = parse_credential(match[1]) if match else None
    if match is None or credential is None:
        return None
    return Authorization4(credential, tuple(match[2].split(";")), match[3])


@lru_cache(maxsize=1024)
def signing_key(secret: str, date: str, region: str) -> bytes:
    """Derive the key of one day, region and secret; four HMACs, so it is kept."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, SERVICE, TERMINATOR):
        key = hmac_digest(key, part.encode(), "sha256")
    return key


def canonical_headers(headers: Mapping[str, str], names: Sequence[str]) -> str:
    """Return the canonical headers block; *names* are sorted, lower case, and present."""
    lines = []
    for name in names:
        value = headers[name]
        if "\t" in value:
            value = value.replace("\t", " ")
        while "  " in value:  # quicker than a regular expression: nobody is known yet, and headers are long
            value = value.replace("  ", " ")
        lines.append(f"{name}:{value.strip(' ')}\n")
    return "".join(lines)


def canonical_query(raw: bytes, without: str = "") -> str:
    """Return the canonical query string, leaving out the parameter *without*."""
    if not raw:
        return ""
    pairs = [
        (percent_encode(name.encode()), percent_encode(value.encode()))
        for name, value in decode_query(raw)
        if name != without
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def canonical_targets(path: bytes, query: bytes, without: str = "") -> Iterator[tuple[str, str]]:
    """Yield the (canonical URI, canonical query) pairs that a client may have signed.

    First AWS's own rule: decode once and encode again. Then, for header signatures, the target as it was sent: curl
    7.88 and some older SDKs sign their own spelling. Both decode to the same key and parameters, so neither lets a
    signature stand for anything else.
    """
    sent = path.decode("latin-1"), query.decode("latin-1")
    plain = _UNRESERVED.fullmatch(path)
    strict = sent[0] if plain else percent_encode(percent_decode(path), "/"), canonical_query(query, without)
    yield strict
    if not without and sent != strict:
        yield sent


def string_to_sign(timestamp: str, scope: str, canonical_request: str) -> str:
    """Return the string to sign for a request; *canonical_request* holds one character per byte sent."""
    digest = sha256(canonical_request.encode("latin-1")).hexdigest()
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}"


def sign(key: bytes, text: str) -> str:
    """Return the hex signature of *text*."""
    return hmac_digest(key, text.encode("latin-1"), "sha256").hex()


class ChunkSigner:
    """The chain of signatures over the chunks of one aws-chunked body."""

    def __init__(self, key: bytes, timestamp: str, scope: str, seed: str) -> None:
        """Start the chain at *seed*, the signature of the request itself."""
        self._key = key
        self._stamp = f"{timestamp}\n{scope}"
        self._previous = seed

    def chunk(self, data_sha256: str) -> str:
        """Return the signature that the next chunk must carry."""
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{self._stamp}\n{self._previous}\n{EMPTY_SHA256}\n{data_sha256}"
        self._previous = sign(self._key, text)
        return self._previous

    def trailer(self, block: bytes) -> str:
        """Return the signature that the trailer *block* (lines of `name:value`) must carry."""
        text = f"AWS4-HMAC-SHA256-TRAILER\n{self._stamp}\n{self._previous}\n{sha256(block).hexdigest()}"
        return sign(self._key, text)
