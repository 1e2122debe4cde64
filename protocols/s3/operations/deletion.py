"""DeleteObject, and DeleteObjects: many keys in one request, each with an outcome of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from namespace.api import NO_CONDITIONS, DeleteTarget
from protocols.s3.call import Answer, xml_answer
from protocols.s3.codec.conditions import delete_conditions, entry_conditions
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.uri import MAX_KEY_BYTES
from protocols.s3.codec.xmlread import Element, read_xml
from protocols.s3.codec.xmlwrite import document, element
from protocols.s3.errors import describe
from protocols.s3.intake import take_small_body
from protocols.s3.object_headers import version_of

if TYPE_CHECKING:
    from foundation.errors import FsError
    from namespace.api import DeleteResult
    from protocols.s3.call import Call

MAX_KEYS = 1000
#: 1,000 keys of 1,024 bytes, escaped, fit.
MAX_DOCUMENT_BYTES = 2 << 20
_CHILDREN = frozenset({"Object", "Quiet"})
_ELEMENTS = frozenset({"Key", "VersionId", "ETag", "LastModifiedTime", "Size"})


async def delete_object(call: Call) -> Answer:
    """Answer DeleteObject; a key that is not there is no error."""
    version, conditions = version_of(call.params), delete_conditions(call.headers)
    if not version:
        result = await call.namespace.delete_object(call.caller, call.bucket, call.key, conditions)
    elif conditions == NO_CONDITIONS:
        result = await call.namespace.delete_version(call.caller, call.bucket, call.key, version)
    else:
        raise _conditional_version()
    headers = [("x-amz-version-id", result.version_id.decode("latin-1"))] if result.version_id else []
    if result.marker:
        headers.append(("x-amz-delete-marker", "true"))
    return Answer(204, headers)


def _conditional_version() -> S3Error:
    """Return the refusal of a version under conditions: a version never changes, so its id says it all."""
    return S3Error("NotImplemented", "A version is deleted by its id alone.")


async def delete_objects(call: Call) -> Answer:
    """Answer DeleteObjects (S3 API DeleteObjects): 200 with the outcome of each key, in the order asked."""
    body = await take_small_body(call, MAX_DOCUMENT_BYTES)
    request = read_xml(body, "Delete")
    if any(child.name not in _CHILDREN for child in request.children):
        raise S3Error("MalformedXML")
    entries = [_entry(child) for child in request.children if child.name == "Object"]
    if not 1 <= len(entries) <= MAX_KEYS:
        raise S3Error("MalformedXML")
    quiet = (request.value("Quiet") or "").strip().lower() == "true"
    targets = [entry.target for entry in entries if entry.target is not None]
    outcomes = iter(await call.namespace.delete_objects(call.caller, call.bucket, targets))
    shown = []
    for entry in entries:
        outcome = next(outcomes) if entry.target is not None else None
        error = entry.error if outcome is None else outcome.error
        if error is not None:
            shown.append(_refused(entry, error))
        elif outcome is not None and not quiet:
            shown.append(_deleted(entry, outcome.result))
    return xml_answer(document("DeleteResult", "".join(shown)))


class _Entry(Struct, frozen=True):
    """One Object element: what it asks for, or why that is not done."""

    key: str
    version: str
    target: DeleteTarget | None
    error: S3Error | None = None


def _entry(found: Element) -> _Entry:
    key, version = found.value("Key"), found.value("VersionId") or ""
    if not key:
        raise S3Error("MalformedXML")
    try:
        return _Entry(key, version, _target(found, key.encode(), version.encode()))
    except S3Error as error:
        return _Entry(key, version, None, error)


def _target(found: Element, key: bytes, version: bytes) -> DeleteTarget:
    """Return what an Object element asks for; raise S3Error for this key alone."""
    if any(child.name not in _ELEMENTS for child in found.children):
        raise S3Error("NotImplemented")
    if len(key) > MAX_KEY_BYTES:
        raise S3Error("KeyTooLongError")
    conditions = entry_conditions(found.value("ETag"), found.value("Size"), found.value("LastModifiedTime"))
    if version and conditions != NO_CONDITIONS:
        raise _conditional_version()
    return DeleteTarget(key, conditions, version)


def _refused(entry: _Entry, error: FsError | S3Error) -> str:
    code, _, message = describe(error)
    version = element("VersionId", entry.version) if entry.version else ""
    told = element("Code", code) + element("Message", message)
    return f"<Error>{element('Key', entry.key)}{version}{told}</Error>"


def _deleted(entry: _Entry, result: DeleteResult) -> str:
    told = element("Key", entry.key) + (element("VersionId", entry.version) if entry.version else "")
    if result.marker:
        told += element("DeleteMarker", "true")
        told += element("DeleteMarkerVersionId", result.version_id.decode("latin-1"))
    return f"<Deleted>{told}</Deleted>"
