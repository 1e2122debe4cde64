"""POST form upload: a browser sends an object, by a policy that somebody else signed (S3 "POST Object")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from protocols.s3.call import Answer
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.form import MAX_FIELDS_BYTES, FormDecoder, parse_boundary
from protocols.s3.codec.uri import Level, percent_encode, url_encode_key
from protocols.s3.codec.xmlwrite import document, element
from protocols.s3.intake import Intake, take_body
from protocols.s3.object_headers import put_request, quoted, written_headers

if TYPE_CHECKING:
    from namespace.api import ObjectInfo
    from protocols.s3.call import Call
    from protocols.s3.codec.uri import Target
    from protocols.s3.http.body import Body
    from protocols.s3.http.head import Head

_FILENAME = "${filename}"
_DOTS = frozenset({"", ".", ".."})
_REDIRECT_SCHEMES = frozenset({"http", "https"})
#: What a Location may hold as it is (RFC 3986); the rest is encoded, so that no answer is split and no page scripted.
_URL_TEXT = re.compile(r"[!#-;=?-\[\]_a-z~]*")


async def read_fields(head: Head, target: Target, body: Body) -> FormDecoder | None:
    """Return the decoder of a form whose fields have come, None for any other POST; raise S3Error.

    Fields say who sends the form, so they are read before anybody is known: they are few and short.
    """
    if target.level is not Level.BUCKET or target.params:
        return None
    boundary = parse_boundary(head.headers.get("content-type", ""))
    if boundary is None:
        return None
    decoder = FormDecoder(boundary)
    # One read, so that one deadline holds for all the fields: they end within it, or they are too long.
    if not decoder.feed_fields(await body.read(MAX_FIELDS_BYTES)):
        raise S3Error("MalformedPOSTRequest")
    return decoder


def filled(decoder: FormDecoder) -> dict[str, str]:
    """Return the fields, with `${filename}` in them replaced by the file's name; raise S3Error InvalidArgument."""
    fields = decoder.fields
    if not any(_FILENAME in value for value in fields.values()):
        return fields
    if decoder.filename in _DOTS:
        raise S3Error("InvalidArgument", "The file has no name.", ArgumentName="file")
    return {name: value.replace(_FILENAME, decoder.filename) for name, value in fields.items()}


def form_key(params: dict[str, str]) -> str:
    """Return the key that a form names; raise S3Error InvalidArgument.

    Who fills a form in chooses part of its key, so that one must not look like a way out of the prefix it was given.
    """
    key = params.get("key", "")
    if not key:
        raise S3Error("InvalidArgument", "Bucket POST must contain a field named 'key'.", ArgumentName="key")
    parts = key.split("/")
    if not parts[0] or any(part in (".", "..") for part in parts):
        raise S3Error("InvalidArgument", "The key of a form is a relative path.", ArgumentName="key")
    return key


async def post_object(call: Call) -> Answer:
    """Answer PostObject: what is announced and allowed of the file is proven before it becomes the object's."""
    form = call.form
    if form is None or not call.identity.form:
        raise S3Error("PreconditionFailed", Condition="Bucket POST must be of the enclosure-type multipart/form-data")
    intake = Intake(call.identity, None, form)
    intake.prove_default()
    session = await call.namespace.begin_put(call.caller, call.bucket, put_request(call))
    try:
        first = await call.workers.run(intake.feed, form.rest)
        if first:
            await session.write(first)
        await take_body(call, intake, session.write)
        md5, proven = intake.finish()
    except BaseException:
        session.abort()
        raise
    return _answer(call, await session.finish(md5.hex().encode(), proven))


def _answer(call: Call, info: ObjectInfo) -> Answer:
    """Return what the form asked to be told."""
    headers = [*written_headers(info)]
    redirect = call.params.get("success_action_redirect") or call.params.get("redirect") or ""
    location = _redirection(redirect, call, info)
    if location:
        return Answer(303, [*headers, ("location", location)])
    place = _place(call)
    headers.append(("location", place))
    status = call.params.get("success_action_status")
    if status == "201":
        content = element("Location", place) + element("Bucket", call.bucket) + element("Key", call.key.decode())
        content += element("ETag", quoted(info.etag))
        return Answer(201, [*headers, ("content-type", "application/xml")], document("PostResponse", content))
    return Answer(200 if status == "200" else 204, headers)


def _place(call: Call) -> str:
    """Return the new object's address."""
    bucket = "" if call.target.virtual else f"/{percent_encode(call.bucket.encode('latin-1'))}"
    return f"http://{call.host}{bucket}/{url_encode_key(call.key)}"


def _redirection(text: str, call: Call, info: ObjectInfo) -> str:
    """Return where the browser shall go, "" for nowhere: an address that is none is as if there were none."""
    try:
        parts = urlsplit(text)
        if parts.scheme not in _REDIRECT_SCHEMES or not parts.hostname or not _URL_TEXT.fullmatch(text):
            return ""
    except ValueError:
        return ""
    told = f"bucket={percent_encode(call.bucket.encode('latin-1'))}&key={percent_encode(call.key)}"
    told += f"&etag={percent_encode(quoted(info.etag).encode())}"
    return urlunsplit(parts._replace(query=f"{parts.query}&{told}" if parts.query else told, fragment=""))
