"""Taking a request's body in: decode, digest, and know at the end whether it is what the client meant."""

from __future__ import annotations

import hashlib
from hmac import compare_digest
from typing import TYPE_CHECKING, Protocol

from foundation.aio import start
from protocols.s3.auth.credential import PayloadMode
from protocols.s3.codec import checksums as codec
from protocols.s3.codec.chunked import ChunkedDecoder
from protocols.s3.codec.errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from protocols.s3.auth.credential import Identity
    from protocols.s3.call import Call

#: The largest body of one PUT (S3's limit).
MAX_BODY_BYTES = 5 << 30
#: How much is decoded and digested in one go.
PIECE_BYTES = 1 << 20
_MAX_LENGTH_DIGITS = 13


class Decoder(Protocol):
    """What takes the framing of a body off."""

    def feed(self, data: bytes) -> bytes:
        """Take *data* and return what it holds of the object; raise S3Error."""

    def finish(self) -> dict[str, str]:
        """Return the trailers by lower-case name; raise S3Error unless the body was whole."""


class Intake:
    """The rules for one body. Nothing it was fed counts before `finish` returned."""

    def __init__(
        self, identity: Identity, length: int | None, decoder: Decoder | None = None, *, checksums: bool = True
    ) -> None:
        """Read from the head what the body must be; *length* is that of the HTTP body. Raise S3Error.

        A *decoder* is given for a body whose framing the request's headers do not tell. Without *checksums* the
        x-amz-checksum-* headers are of something else than the body.
        """
        headers = identity.headers
        mode = identity.payload
        trailers = codec.announced_trailers(headers.get("x-amz-trailer", "")) if mode.has_trailer else frozenset()
        self._decoder = decoder
        if mode.chunked:
            length = _decoded_length(headers.get("x-amz-decoded-content-length"))
            self._decoder = ChunkedDecoder(identity.chunks, trailers, length)
        self._least, most = identity.length or (0, MAX_BODY_BYTES)
        self._most = min(most, MAX_BODY_BYTES)
        if length is not None and length > self._most:
            raise S3Error("EntityTooLarge")
        self._announced = codec.announced_checksum(headers if checksums else {}, trailers)
        # A presigned URL may name the algorithm and leave the sum out: whoever signed it did not know the body.
        named = checksums and "x-amz-sdk-checksum-algorithm" in headers
        if named and not self._announced and mode is not PayloadMode.ABSENT:
            raise S3Error(
                "InvalidRequest",
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer "
                "headers were found.",
            )
        self._digests = {name: codec.ALGORITHMS[name][0]() for name in self._announced}
        self._sha256 = hashlib.sha256() if identity.sha256 is not None else None
        self._wanted_sha256 = identity.sha256 or ""
        md5 = headers.get("content-md5")
        self._wanted_md5 = None if md5 is None else codec.decode_base64(md5, codec.MD5_BYTES)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._seen = 0

    def prove(self, algorithm: str, *, alone: bool = False) -> None:
        """Have *algorithm* proven, announced or not; raise S3Error if another is announced and it must be *alone*."""
        others = self._announced.keys() - {algorithm}
        if alone and others:
            actual = ", ".join(others)
            raise S3Error(
                "InvalidRequest",
                f"Checksum Type mismatch occurred, expected checksum Type: {algorithm}, actual checksum Type: {actual}",
            )
        self._digests.setdefault(algorithm, codec.ALGORITHMS[algorithm][0]())

    def prove_default(self) -> None:
        """Have the checksum proven that S3 computes where the client announces none."""
        if not self._announced:
            self.prove(codec.DEFAULT_ALGORITHM)

    def feed(self, raw: bytes) -> bytes:
        """Take a piece of the HTTP body and return what it holds of the object; raise S3Error.

        Computes only, so it may run in a thread.
        """
        data = raw if self._decoder is None else self._decoder.feed(raw)
        self._seen += len(data)
        if self._seen > self._most:
            raise S3Error("EntityTooLarge")
        self._md5.update(data)
        if self._sha256 is not None:
            self._sha256.update(data)
        for digest in self._digests.values():
            digest.update(data)
        return data

    def finish(self) -> tuple[bytes, dict[str, str]]:
        """Return the MD5 and the proven checksums (base64 by algorithm); raise S3Error if anything differs."""
        trailers = {} if self._decoder is None else self._decoder.finish()
        if self._seen < self._least:
            raise S3Error("EntityTooSmall")
        if self._sha256 is not None and not compare_digest(self._sha256.hexdigest(), self._wanted_sha256):
            raise S3Error("XAmzContentSHA256Mismatch")
        md5 = self._md5.digest()
        if self._wanted_md5 is not None and self._wanted_md5 != md5:
            raise S3Error("BadDigest")
        proven = {name: digest.digest() for name, digest in self._digests.items()}
        for name, in_head in self._announced.items():
            size = codec.ALGORITHMS[name][1]
            wanted = in_head or codec.decode_base64(trailers[codec.PREFIX + name], size)
            if proven[name] != wanted:
                raise S3Error("BadDigest", f"The {name.upper()} you specified did not match the calculated checksum.")
        return md5, {name: codec.encode_base64(value) for name, value in proven.items()}


def _decoded_length(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_LENGTH_DIGITS):
        raise S3Error("InvalidArgument", "x-amz-decoded-content-length is not valid.")
    return int(text)


async def take_body(call: Call, intake: Intake, sink: Callable[[bytes], Awaitable[None]]) -> None:
    """Read the whole body of *call* through *intake* into *sink*, digesting the next piece while one is stored.

    Raise S3Error, also if the request's key was removed meanwhile, and Refused or Disconnected from the body.
    """
    ready = start(_next(call, intake))
    try:
        while data := await ready:
            ready = start(_next(call, intake))
            await sink(data)
        call.confirm()
    except BaseException:
        # What is still at work must end before the session does; its own error comes second.
        ready.addErrback(lambda _failure: None)
        raise


async def _next(call: Call, intake: Intake) -> bytes:
    """Return the next decoded piece, b"" at the end."""
    while raw := await call.body.read(PIECE_BYTES):
        data = await call.workers.run(intake.feed, raw)
        if data:
            return data
    return b""


async def take_small_body(call: Call, limit: int, *, checksums: bool = True) -> bytes:
    """Return a whole body of at most *limit* bytes, verified; raise S3Error MalformedXML if it is longer."""
    intake = Intake(call.identity, call.body_length, checksums=checksums)
    pieces: list[bytes] = []
    size = 0

    async def keep(data: bytes) -> None:
        nonlocal size
        size += len(data)
        if size > limit:
            raise S3Error("MalformedXML", "The request body is too large.")
        pieces.append(data)

    await take_body(call, intake, keep)
    intake.finish()
    return b"".join(pieces)
