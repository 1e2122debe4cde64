"""The body of a POST form (multipart/form-data, RFC 7578): a few short fields, then one file, decoded as it comes."""

from __future__ import annotations

import re
from enum import Enum

from protocols.s3.codec.errors import S3Error

#: All that may stand before the file's first byte, and again behind its last (S3's limit for the former).
MAX_FIELDS_BYTES = 20 << 10

_MEDIA_TYPE = "multipart/form-data"
#: RFC 2046, section 5.1.1; quoted where it holds what a token may not.
_BOUNDARY = re.compile(r"[ \t]*boundary=(?:\"([^\"]*)\"|([^\s;\"]*))[ \t]*", re.IGNORECASE)
_BOUNDARY_TEXT = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_HEADER = re.compile(r"([A-Za-z0-9-]{1,64}):[ \t]*([^\r\n]*)")
_DISPOSITION = re.compile(r"form-data(?=[ \t]*;)", re.IGNORECASE)
_PARAMETER = re.compile(r"[ \t]*;[ \t]*([A-Za-z*]{1,16})=(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))")
#: Encodings that change no byte; base64 and quoted-printable do, and nobody sends them (RFC 7578, section 4.7).
_PLAIN_ENCODINGS = frozenset({"7bit", "8bit", "binary"})
_BLANK = b"\r\n\r\n"
_CRLF = b"\r\n"
_END = b"--"


def parse_boundary(content_type: str) -> bytes | None:
    """Return the boundary of a form, None if *content_type* is of none; raise S3Error MalformedPOSTRequest."""
    media_type, _, rest = content_type.partition(";")
    if media_type.strip().lower() != _MEDIA_TYPE:
        return None
    for parameter in rest.split(";"):
        match = _BOUNDARY.fullmatch(parameter)
        text = (match[1] or match[2] or "") if match else ""
        if _BOUNDARY_TEXT.fullmatch(text):
            return text.encode()
    raise S3Error("MalformedPOSTRequest")


class _State(Enum):
    FIELDS = "fields"
    FILE = "file"
    BEHIND = "behind"


class FormDecoder:
    """Decodes one form: `feed_fields` until it returns True, then `feed` with `rest` and with all that follows.

    What stands behind the file (the button of a page) is dropped. It means nothing, as in S3.
    """

    def __init__(self, boundary: bytes) -> None:
        """Be ready for the first boundary, which must come first: no client writes a preamble."""
        self.fields: dict[str, str] = {}  # by lower-case name, in order
        self.filename = ""  # without folders
        self.rest = b""  # of what `feed_fields` was given: the file's
        self._delimiter = _CRLF + _END + boundary
        self._state = _State.FIELDS
        self._buffer = _CRLF  # before the file: all of it; then: what may be the beginning of a delimiter
        self._at = 0  # in the buffer: the delimiter before the next field

    def feed_fields(self, data: bytes) -> bool:
        """Take *data* and return whether the file has begun; raise S3Error."""
        self._buffer += data
        while self._state is _State.FIELDS and self._take_part():
            self._check_room(self._at)
        if self._state is _State.FIELDS:
            self._check_room(len(self._buffer))
            return False
        self.rest, self._buffer = self._buffer[self._at :], b""
        return True

    def feed(self, data: bytes) -> bytes:
        """Take *data* and return what is certain to be the file's; raise S3Error."""
        self._buffer += data
        if self._state is _State.BEHIND:
            self._check_end()
            return b""
        end = self._buffer.find(self._delimiter)
        if end >= 0:
            found, self._buffer = self._buffer[:end], self._buffer[end:]
            self._state = _State.BEHIND
            self._check_end()
            return found
        keep = len(self._buffer) - len(self._delimiter) + 1
        if keep <= 0:
            return b""
        found, self._buffer = self._buffer[:keep], self._buffer[keep:]
        return found

    def finish(self) -> dict[str, str]:
        """Raise S3Error unless the form was whole and had one file; a form has no trailers."""
        if self._state is not _State.BEHIND:
            raise S3Error("MalformedPOSTRequest")
        at, step = 0, len(self._delimiter)
        while not self._buffer.startswith(_END, at + step):
            head = self._part_head(at)
            following = self._buffer.find(self._delimiter, at + step)
            if head is None or following < 0:
                raise S3Error("MalformedPOSTRequest")
            if head[0] == "file":
                raise S3Error("IncorrectNumberOfFilesInPostRequest")
            at = following
        return {}

    def _check_room(self, size: int) -> None:
        if size > MAX_FIELDS_BYTES:
            raise S3Error("MaxPostPreDataLengthExceededError")

    def _check_end(self) -> None:
        if len(self._buffer) > MAX_FIELDS_BYTES:
            raise S3Error("MalformedPOSTRequest", "Too much follows the file.")

    def _take_part(self) -> bool:
        """Take the next field, or the head of the file; return False if it is not whole yet."""
        behind = self._at + len(self._delimiter)
        if len(self._buffer) < behind + len(_END):
            return False
        if not self._buffer.startswith(self._delimiter, self._at):
            raise S3Error("MalformedPOSTRequest")
        if self._buffer.startswith(_END, behind):
            raise S3Error("IncorrectNumberOfFilesInPostRequest")
        head = self._part_head(self._at)
        if head is None:
            return False
        name, filename, body = head
        if name == "file":
            self.filename, self._at, self._state = filename, body, _State.FILE
            return True
        end = self._buffer.find(self._delimiter, body)
        if end < 0:
            return False
        if name in self.fields:
            raise S3Error("InvalidArgument", "A form field is given twice.", ArgumentName=name)
        self.fields[name] = _text(self._buffer[body:end])
        self._at = end
        return True

    def _part_head(self, at: int) -> tuple[str, str, int] | None:
        """Return name, file name and where the body begins, of the part at the delimiter *at*; None: not whole."""
        begin = at + len(self._delimiter)
        if not self._buffer.startswith(_CRLF, begin):
            raise S3Error("MalformedPOSTRequest")
        end = self._buffer.find(_BLANK, begin, begin + MAX_FIELDS_BYTES)
        if end < 0:
            return None
        return *_disposition(_text(self._buffer[begin + len(_CRLF) : end])), end + len(_BLANK)


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise S3Error("MalformedPOSTRequest", "A form field is not UTF-8.") from None


def _disposition(head: str) -> tuple[str, str]:
    """Return (lower-case name, file name without folders) of a part; raise S3Error MalformedPOSTRequest."""
    headers: dict[str, str] = {}
    for line in head.split("\r\n"):
        match = _HEADER.fullmatch(line)
        if match is None or match[1].lower() in headers:
            raise S3Error("MalformedPOSTRequest")
        headers[match[1].lower()] = match[2].strip()
    if headers.get("content-type", "").lower().startswith("multipart/"):
        raise S3Error("MalformedPOSTRequest", "A form within a form is not read.")
    if headers.get("content-transfer-encoding", "binary").lower() not in _PLAIN_ENCODINGS:
        raise S3Error("MalformedPOSTRequest", "A form's fields come as they are.")
    parameters = _parameters(headers.get("content-disposition", ""))
    name = parameters.get("name", "").lower()
    if not name:
        raise S3Error("MalformedPOSTRequest", "A form field has no name.")
    return name, re.split(r"[/\\]", parameters.get("filename", ""))[-1]


def _parameters(disposition: str) -> dict[str, str]:
    """Return the parameters of a Content-Disposition `form-data`; raise S3Error MalformedPOSTRequest."""
    kind = _DISPOSITION.match(disposition)
    at = kind.end() if kind else -1
    found: dict[str, str] = {}
    while 0 <= at < len(disposition):
        match = _PARAMETER.match(disposition, at)
        if match is None or match[1].lower() in found:
            at = -1
            break
        found[match[1].lower()] = match[3] or (match[2] or "").replace('\\"', '"')
        at = match.end()
    if at < 0:
        raise S3Error("MalformedPOSTRequest")
    return found
