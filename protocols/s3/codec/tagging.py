"""Tags: the header and the document that carry them, and what they may be (S3 "Object tagging")."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.uri import decode_query
from protocols.s3.codec.xmlread import read_xml
from protocols.s3.codec.xmlwrite import document, element

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OBJECT_TAGS_MAX, BUCKET_TAGS_MAX = 10, 50
MAX_NAME, MAX_VALUE = 128, 256
#: 50 tags of characters of four bytes, escaped, fit.
MAX_DOCUMENT_BYTES = 128 << 10
_SIGNS = frozenset("_.:/=+-@")
#: Letters, numbers and separators of Unicode, by the first letter of their categories.
_CLASSES = frozenset("LNZ")
_OWN = "aws:"  # names that S3 keeps for itself


def header_tags(text: str) -> dict[str, str]:
    """Return an object's tags from x-amz-tagging (one character per byte); raise S3Error."""
    try:
        pairs = decode_query(text.encode("latin-1")) if text else []
    except (S3Error, ValueError):
        raise _malformed() from None
    if len({name for name, _ in pairs}) != len(pairs):
        raise _malformed()
    return checked(pairs, OBJECT_TAGS_MAX)


def _malformed() -> S3Error:
    return S3Error(
        "InvalidArgument",
        "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name"
        " duplicates.",
        ArgumentName="x-amz-tagging",
    )


def read_tags(body: bytes, most: int) -> dict[str, str]:
    """Return the tags of a Tagging document, at most *most*; raise S3Error MalformedXML, InvalidTag or BadRequest."""
    root = read_xml(body, "Tagging")
    if [child.name for child in root.children] != ["TagSet"]:
        raise S3Error("MalformedXML")
    pairs = []
    for tag in root.children[0].children:
        name, value = tag.value("Key"), tag.value("Value")
        if tag.name != "Tag" or name is None or value is None:
            raise S3Error("MalformedXML")
        pairs.append((name, value))
    if len({name for name, _ in pairs}) != len(pairs):
        raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key")
    return checked(pairs, most)


def checked(pairs: Iterable[tuple[str, str]], most: int) -> dict[str, str]:
    """Return *pairs* as tags; raise S3Error BadRequest for more than *most*, InvalidTag for one that cannot be."""
    tags = dict(pairs)
    if len(tags) > most:
        kind = "Object tags" if most == OBJECT_TAGS_MAX else "Bucket tag count"
        raise S3Error("BadRequest", f"{kind} cannot be greater than {most}")
    for name, value in tags.items():
        if name.lower().startswith(_OWN):
            raise S3Error("InvalidTag", "System tags cannot be added/updated by requester")
        if not 0 < len(name) <= MAX_NAME or not _is_plain(name):
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid")
        if len(value) > MAX_VALUE or not _is_plain(value):
            raise S3Error("InvalidTag", "The TagValue you have provided is invalid")
    return tags


def _is_plain(text: str) -> bool:
    return all(each in _SIGNS or unicodedata.category(each)[0] in _CLASSES for each in text)


def tags_document(tags: Mapping[str, str]) -> bytes:
    """Return the Tagging document of *tags*."""
    rows = "".join(f"<Tag>{element('Key', name)}{element('Value', value)}</Tag>" for name, value in tags.items())
    return document("Tagging", f"<TagSet>{rows}</TagSet>")
