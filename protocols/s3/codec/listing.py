"""Listings: parameters, continuation tokens and the documents of ListObjects v1 and v2."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING

from namespace.api import ListRequest
from protocols.s3.codec.dates import format_xml
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.uri import url_encode_key
from protocols.s3.codec.xmlwrite import document, element, escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from namespace.api import Listing, ObjectInfo

    #: Tells an object's owner as (id, display name).
    OwnerOf = Callable[[ObjectInfo], tuple[str, str]]

MAX_KEYS = 1000
_TOKEN_VERSION = b"\x01"
#: Longest place that a token names. Paths made by NFS may be longer keys than a request can name, and a page may end at
#: one; as base64 this still has room in a request's target.
_MAX_PLACE_BYTES = 5 << 10
_MAX_INTEGER_DIGITS = 10


def encode_token(after: bytes) -> str:
    """Return the continuation token for a page that starts after the key bytes *after*.

    It names a place in the order of keys and no key, so it survives the deletion of that key.
    """
    return urlsafe_b64encode(_TOKEN_VERSION + after).decode().rstrip("=")


def decode_token(token: str) -> bytes:
    """Return the key bytes of a continuation token; raise S3Error InvalidArgument."""
    try:
        raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except (Base64Error, ValueError):
        raw = b""
    if raw[:1] != _TOKEN_VERSION or len(raw) > _MAX_PLACE_BYTES + 1 or encode_token(raw[1:]) != token:
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect.")
    return raw[1:]


def parse_limit(text: str | None, name: str, most: int = MAX_KEYS) -> int:
    """Return a page size of at most *most*; raise S3Error InvalidArgument."""
    if text is None:
        return most
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_INTEGER_DIGITS):
        raise S3Error(
            "InvalidArgument", f"Argument {name} must be an integer between 0 and 2147483647.", ArgumentName=name
        )
    return min(int(text), most)


def parse_list(params: Mapping[str, str], *, version: int) -> ListRequest:
    """Return what a ListObjects of *version* 1 or 2 asks for; raise S3Error InvalidArgument."""
    shower(params)
    if version == 1:
        after = params.get("marker", "").encode()
    elif params.get("continuation-token"):
        after = decode_token(params["continuation-token"])
    else:
        after = params.get("start-after", "").encode()
    return ListRequest(
        prefix=params.get("prefix", "").encode(),
        delimiter=params.get("delimiter", "").encode(),
        after=after,
        limit=parse_limit(params.get("max-keys"), "max-keys"),
    )


def common_prefixes(prefixes: Iterable[bytes], show: Callable[[bytes], str]) -> list[str]:
    """Return the elements of common prefixes."""
    return [f"<CommonPrefixes><Prefix>{show(prefix)}</Prefix></CommonPrefixes>" for prefix in prefixes]


def _plain(raw: bytes) -> str:
    return escape(raw.decode("utf-8", "replace"))


def shower(params: Mapping[str, str]) -> Callable[[bytes], str]:
    """Return what makes key bytes XML text, as `encoding-type` asks; raise S3Error InvalidArgument."""
    if params.get("encoding-type", "url") != "url":
        raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type")
    return url_encode_key if "encoding-type" in params else _plain


def list_document(
    bucket: str, params: Mapping[str, str], request: ListRequest, listing: Listing, owner_of: OwnerOf, version: int
) -> bytes:
    """Return the ListBucketResult of one page; *owner_of* an object returns (id, display name)."""
    show = shower(params)
    head = _head_v1(request, listing, show) if version == 1 else _head_v2(params, listing, show)
    with_owner = version == 1 or params.get("fetch-owner") == "true"
    parts = [element("Name", bucket), f"<Prefix>{show(request.prefix)}</Prefix>"]
    if request.delimiter:
        parts.append(f"<Delimiter>{show(request.delimiter)}</Delimiter>")
    parts.append(element("MaxKeys", request.limit))
    if "encoding-type" in params:
        parts.append("<EncodingType>url</EncodingType>")
    parts.append(element("IsTruncated", "false" if listing.next_after is None else "true"))
    parts.append(head)
    parts.extend(
        _contents(info, show, owner_element(owner_of(info)) if with_owner else "") for info in listing.contents
    )
    parts.extend(common_prefixes(listing.common_prefixes, show))
    return document("ListBucketResult", "".join(parts))


def _head_v1(request: ListRequest, listing: Listing, show: Callable[[bytes], str]) -> str:
    head = f"<Marker>{show(request.after)}</Marker>"
    # S3 tells it with a delimiter alone: elsewhere the last key of the page says the same.
    if listing.next_after is not None and request.delimiter:
        head += f"<NextMarker>{show(listing.next_after)}</NextMarker>"
    return head


def _head_v2(params: Mapping[str, str], listing: Listing, show: Callable[[bytes], str]) -> str:
    head = element("KeyCount", len(listing.contents) + len(listing.common_prefixes))
    if "start-after" in params:
        head += f"<StartAfter>{show(params['start-after'].encode())}</StartAfter>"
    if "continuation-token" in params:
        head += element("ContinuationToken", params["continuation-token"])
    if listing.next_after is not None:
        head += element("NextContinuationToken", encode_token(listing.next_after))
    return head


def owner_element(owner: tuple[str, str]) -> str:
    """Return the Owner element of (id, display name)."""
    return f"<Owner>{element('ID', owner[0])}{element('DisplayName', owner[1])}</Owner>"


def _contents(info: ObjectInfo, show: Callable[[bytes], str], owner: str) -> str:
    checksum = "".join(element("ChecksumAlgorithm", name.upper()) for name in info.checksums)
    return (
        f"<Contents><Key>{show(info.key)}</Key><LastModified>{format_xml(info.last_modified)}</LastModified>"
        f"<ETag>&quot;{_plain(info.etag)}&quot;</ETag>{checksum}<Size>{info.size}</Size>{owner}"
        f"<StorageClass>STANDARD</StorageClass></Contents>"
    )
