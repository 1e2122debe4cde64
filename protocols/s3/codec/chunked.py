"""The aws-chunked body: `size[;chunk-signature=…]CRLF data CRLF`, a zero chunk, and trailers.

Data is handed on before its chunk's signature is known to be right, so that a chunk needs no memory; what was handed
on counts only after `finish` returned, as with a body whose hash stands in its head.
"""

from __future__ import annotations

import re
from enum import Enum
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING

from protocols.s3.codec.errors import S3Error

if TYPE_CHECKING:
    from protocols.s3.codec.sigv4 import ChunkSigner

#: The longest line of framing: a chunk header with signature, or one trailer.
MAX_LINE_BYTES = 1024
MAX_TRAILERS = 8

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,11})")
_SIGNED_SIZE = re.compile(rb"([0-9A-Fa-f]{1,11});chunk-signature=([0-9a-f]{64})")
_TRAILER = re.compile(rb"([A-Za-z0-9-]{1,128}) *: *([\x21-\x7e]{0,512})")
_SIGNATURE_TRAILER = "x-amz-trailer-signature"


class _State(Enum):
    SIZE = "size"
    DATA = "data"
    AFTER_DATA = "after data"
    TRAILER = "trailer"
    DONE = "done"


class ChunkedDecoder:
    """Decodes one aws-chunked body, in pieces cut anywhere.

    *signer* is given for a signed body; *trailers* are the names announced in x-amz-trailer; *length* is
    x-amz-decoded-content-length, if it was given.
    """

    def __init__(self, signer: ChunkSigner | None, trailers: frozenset[str], length: int | None) -> None:
        """Be ready for the first chunk header."""
        self._signer = signer
        self._announced = trailers
        self._length = length
        self._seen = 0
        self._state = _State.SIZE
        self._line = b""  # an unfinished line of framing
        self._left = 0  # bytes of the current chunk still to come
        self._hash = sha256()
        self._signature = ""
        self._trailers: dict[str, str] = {}

    def feed(self, data: bytes) -> bytes:
        """Take *data* and return what it holds of the body; raise S3Error."""
        out = []
        at = 0
        while at < len(data):
            if self._state is _State.DATA:
                piece = data[at : at + self._left]
                out.append(piece)
                at += len(piece)
                self._data(piece)
                continue
            if self._state is _State.DONE:
                raise S3Error("InvalidRequest", "Data follows the last chunk.")
            line, at = self._take_line(data, at)
            if line is not None:
                self._framing(line)
        return out[0] if len(out) == 1 else b"".join(out)

    def finish(self) -> dict[str, str]:
        """Return the trailers by lower-case name; raise S3Error unless the body was whole."""
        if self._state is not _State.DONE or (self._length is not None and self._seen != self._length):
            raise S3Error("IncompleteBody")
        if set(self._trailers) != self._announced:
            raise S3Error("MalformedTrailerError", "The trailers are not those announced in x-amz-trailer.")
        return self._trailers

    def _data(self, piece: bytes) -> None:
        self._left -= len(piece)
        if self._signer is not None:
            self._hash.update(piece)
        if not self._left:
            self._state = _State.AFTER_DATA

    def _take_line(self, data: bytes, at: int) -> tuple[bytes | None, int]:
        """Return the next line without its CRLF (None if it is not complete) and where to go on."""
        end = data.find(b"\n", at)
        stop = len(data) if end < 0 else end + 1
        if len(self._line) + stop - at > MAX_LINE_BYTES:
            raise S3Error("InvalidRequest", "A chunk header or trailer is too long.")
        self._line += data[at:stop]
        if end < 0:
            return None, stop
        if self._line.endswith(b"\r\n"):
            line, self._line = self._line[:-2], b""
            return line, stop
        # AWS's own example ends a signed trailer with LF CRLF.
        if self._state is not _State.TRAILER:
            raise S3Error("InvalidRequest", "A chunk header does not end in CRLF.")
        return None, stop

    def _framing(self, line: bytes) -> None:
        if self._state is _State.SIZE:
            self._chunk_header(line)
        elif self._state is _State.AFTER_DATA:
            if line:
                raise S3Error("InvalidRequest", "A chunk is longer than its header says.")
            self._check_chunk()
            self._state = _State.SIZE
        elif line:
            self._trailer(line)
        else:
            self._end()

    def _chunk_header(self, line: bytes) -> None:
        match = (_SIZE if self._signer is None else _SIGNED_SIZE).fullmatch(line)
        if match is None:
            raise S3Error("InvalidRequest", "A chunk header is malformed.")
        self._left = int(match[1], 16)
        if self._signer is not None:
            self._signature = match[2].decode()
        self._seen += self._left
        if self._length is not None and self._seen > self._length:
            raise S3Error("IncompleteBody", "The chunks hold more than x-amz-decoded-content-length says.")
        if self._left:
            self._state = _State.DATA
        else:
            self._check_chunk()
            self._state = _State.TRAILER

    def _check_chunk(self) -> None:
        if self._signer is None:
            return
        if not compare_digest(self._signer.chunk(self._hash.hexdigest()), self._signature):
            raise S3Error("SignatureDoesNotMatch")
        self._hash = sha256()

    def _trailer(self, line: bytes) -> None:
        match = _TRAILER.fullmatch(line.rstrip(b"\n"))
        name = match[1].decode().lower() if match else ""
        if match is None or name in self._trailers or len(self._trailers) == MAX_TRAILERS:
            raise S3Error("MalformedTrailerError")
        self._trailers[name] = match[2].decode()

    def _end(self) -> None:
        if self._signer is not None and self._announced:
            signature = self._trailers.pop(_SIGNATURE_TRAILER, "")
            block = "".join(f"{name}:{value}\n" for name, value in sorted(self._trailers.items()))
            if not compare_digest(self._signer.trailer(block.encode()), signature):
                raise S3Error("SignatureDoesNotMatch")
        self._state = _State.DONE
