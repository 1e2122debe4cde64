"""Listings of versions: parameters and the document of ListObjectVersions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from namespace.api import VersionListRequest
from protocols.s3.codec.dates import format_xml
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.listing import common_prefixes, owner_element, parse_limit, shower
from protocols.s3.codec.xmlwrite import document, element

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from namespace.api import VersionInfo, VersionListing

#: What `version-id-marker` says where a page ended with the last version of a key.
_NO_VERSION = b""


def parse_versions(params: Mapping[str, str]) -> VersionListRequest:
    """Return what a ListObjectVersions asks for; raise S3Error InvalidArgument."""
    shower(params)
    key, version = params.get("key-marker", ""), params.get("version-id-marker", "")
    if version and not key:
        raise S3Error(
            "InvalidArgument",
            "A version-id marker cannot be specified without a key marker.",
            ArgumentName="version-id-marker",
        )
    return VersionListRequest(
        prefix=params.get("prefix", "").encode(),
        delimiter=params.get("delimiter", "").encode(),
        after_key=key.encode(),
        after_version=version.encode(),
        limit=parse_limit(params.get("max-keys"), "max-keys"),
    )


def versions_document(
    bucket: str,
    params: Mapping[str, str],
    request: VersionListRequest,
    listing: VersionListing,
    owner: tuple[str, str],
) -> bytes:
    """Return the ListVersionsResult of one page; *owner* is (id, display name)."""
    show = shower(params)
    parts = [
        element("Name", bucket),
        f"<Prefix>{show(request.prefix)}</Prefix>",
        f"<KeyMarker>{show(request.after_key)}</KeyMarker>",
        element("VersionIdMarker", request.after_version.decode()),
    ]
    if listing.next_key is not None:
        parts.append(f"<NextKeyMarker>{show(listing.next_key)}</NextKeyMarker>")
        if listing.next_version != _NO_VERSION:
            parts.append(element("NextVersionIdMarker", listing.next_version.decode("latin-1")))
    if request.delimiter:
        parts.append(f"<Delimiter>{show(request.delimiter)}</Delimiter>")
    parts.append(element("MaxKeys", request.limit))
    if "encoding-type" in params:
        parts.append("<EncodingType>url</EncodingType>")
    parts.append(element("IsTruncated", "false" if listing.next_key is None else "true"))
    parts.extend(_version(each, show, owner_element(owner)) for each in listing.versions)
    parts.extend(common_prefixes(listing.common_prefixes, show))
    return document("ListVersionsResult", "".join(parts))


def _version(version: VersionInfo, show: Callable[[bytes], str], owner: str) -> str:
    info = version.info
    head = f"<Key>{show(info.key)}</Key>{element('VersionId', (info.version_id or b'null').decode('latin-1'))}"
    head += element("IsLatest", "true" if version.latest else "false")
    head += f"<LastModified>{format_xml(info.last_modified)}</LastModified>"
    if version.marker:
        return f"<DeleteMarker>{head}{owner}</DeleteMarker>"
    body = f"<ETag>&quot;{info.etag.decode('latin-1')}&quot;</ETag><Size>{info.size}</Size>"
    return f"<Version>{head}{body}<StorageClass>STANDARD</StorageClass>{owner}</Version>"
