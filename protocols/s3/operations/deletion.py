"""DeleteObjects: many keys in one request, each with an outcome of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from foundation.aio import Semaphore, gather
from foundation.errors import FsError
from protocols.s3.call import xml_answer
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.uri import MAX_KEY_BYTES
from protocols.s3.codec.xmlread import Element, read_xml
from protocols.s3.codec.xmlwrite import document, element
from protocols.s3.errors import describe
from protocols.s3.intake import take_small_body

if TYPE_CHECKING:
    from protocols.s3.call import Answer, Call

MAX_KEYS = 1000
#: 1,000 keys of 1,024 bytes, escaped, fit.
MAX_DOCUMENT_BYTES = 2 << 20
#: Deletes under way at a time: enough to fill a batch, few enough to leave room for others.
_CONCURRENT = 64


class _Entry(Struct, frozen=True):
    """One Object element."""

    key: str
    conditional: bool  # it names a version, or conditions, which are not served


async def delete_objects(call: Call) -> Answer:
    """Answer DeleteObjects (S3 API DeleteObjects): 200 with the outcome of each key, in the order asked."""
    body = await take_small_body(call, MAX_DOCUMENT_BYTES)
    request = read_xml(body, "Delete")
    entries = [_entry(child) for child in request.children if child.name == "Object"]
    if not 1 <= len(entries) <= MAX_KEYS:
        raise S3Error("MalformedXML")
    quiet = (request.value("Quiet") or "").strip().lower() == "true"
    places = Semaphore(_CONCURRENT)
    outcomes = await gather(_delete(call, entry, places) for entry in entries)
    shown = (outcome for outcome in outcomes if not quiet or not outcome.startswith("<Deleted>"))
    return xml_answer(document("DeleteResult", "".join(shown)))


def _entry(found: Element) -> _Entry:
    key = found.value("Key")
    if not key:
        raise S3Error("MalformedXML")
    return _Entry(key, any(child.name != "Key" for child in found.children))


async def _delete(call: Call, entry: _Entry, places: Semaphore) -> str:
    """Delete one key and return its element of the answer."""
    try:
        key = _deletable(entry)
        async with places:
            await call.namespace.delete_object(call.caller, call.bucket, key)
    except (FsError, S3Error) as error:
        code, _, message = describe(error)
        return f"<Error>{element('Key', entry.key)}{element('Code', code)}{element('Message', message)}</Error>"
    return f"<Deleted>{element('Key', entry.key)}</Deleted>"


def _deletable(entry: _Entry) -> bytes:
    """Return the key to delete; raise S3Error."""
    key = entry.key.encode()
    if entry.conditional:
        raise S3Error("NotImplemented")
    if len(key) > MAX_KEY_BYTES:
        raise S3Error("KeyTooLongError")
    return key
