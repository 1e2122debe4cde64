"""Multipart uploads: the document of CompleteMultipartUpload, and those of the answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from namespace.api import PartChoice
from protocols.s3.codec.checksums import ALGORITHMS, checksum_elements, decode_base64
from protocols.s3.codec.dates import format_xml
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.listing import owner_element, parse_limit, shower
from protocols.s3.codec.xmlread import read_xml
from protocols.s3.codec.xmlwrite import document, element

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from namespace.api import ObjectInfo, PartInfo, PartPage, UploadInfo, UploadListRequest, UploadPage
    from protocols.s3.codec.xmlread import Element

MAX_PARTS = 10_000
#: 10,000 parts with a SHA-256 each, indented.
MAX_DOCUMENT_BYTES = 4 << 20
#: Part, PartNumber, ETag and one checksum each, and room for elements that say nothing.
_MAX_ELEMENTS = 6 * MAX_PARTS + 2
_PART_NUMBER = re.compile(r"[0-9]{1,5}", re.ASCII)
_STORAGE_CLASS = element("StorageClass", "STANDARD")


def parse_part_number(text: str | None) -> int:
    """Return a part's number; raise S3Error InvalidArgument."""
    number = int(text) if text is not None and _PART_NUMBER.fullmatch(text) else 0
    if not 1 <= number <= MAX_PARTS:
        raise S3Error(
            "InvalidArgument",
            "Part number must be an integer between 1 and 10000, inclusive",
            ArgumentName="partNumber",
        )
    return number


def parse_completion(body: bytes) -> tuple[PartChoice, ...]:
    """Return the parts that a CompleteMultipartUpload document lists; raise S3Error."""
    parts = read_xml(body, "CompleteMultipartUpload", _MAX_ELEMENTS).children
    if not 1 <= len(parts) <= MAX_PARTS or any(part.name != "Part" for part in parts):
        raise S3Error("MalformedXML")
    return tuple(map(_choice, parts))


def _choice(part: Element) -> PartChoice:
    number, etag = part.value("PartNumber"), (part.value("ETag") or "").strip().strip('"')
    if number is None or not etag.isascii() or not etag:
        raise S3Error("MalformedXML")
    checksums = {}
    for algorithm, (_, size) in ALGORITHMS.items():
        value = part.value(f"Checksum{algorithm.upper()}")
        if value:
            decode_base64(value.strip(), size)
            checksums[algorithm] = value.strip()
    return PartChoice(parse_part_number(number.strip()), etag.encode(), checksums)


def initiate_document(bucket: str, upload: UploadInfo) -> bytes:
    """Return the answer of CreateMultipartUpload."""
    named = element("Bucket", bucket) + element("Key", upload.key.decode())
    return document("InitiateMultipartUploadResult", named + element("UploadId", upload.upload_id.decode()))


def complete_document(bucket: str, location: str, info: ObjectInfo) -> bytes:
    """Return the answer of CompleteMultipartUpload."""
    named = element("Location", location) + element("Bucket", bucket) + element("Key", info.key.decode())
    return document(
        "CompleteMultipartUploadResult", named + etag_element(info.etag) + checksum_elements(info.checksums, kind=True)
    )


def copy_document(root: str, etag: bytes, modified_ns: int, checksums: Mapping[str, str], *, kind: bool) -> bytes:
    """Return the answer of CopyObject or UploadPartCopy; with *kind* the checksum's type is told."""
    times = element("LastModified", format_xml(modified_ns))
    return document(root, times + etag_element(etag) + checksum_elements(checksums, kind=kind))


def etag_element(etag: bytes) -> str:
    """Return an ETag element, with quotes."""
    return element("ETag", f'"{etag.decode("latin-1")}"')


def parse_marker(text: str | None, name: str) -> int:
    """Return a part number after which a list goes on; raise S3Error InvalidArgument."""
    if not text:
        return 0
    if not _PART_NUMBER.fullmatch(text):
        raise S3Error("InvalidArgument", f"Argument {name} must be an integer between 0 and 10000.", ArgumentName=name)
    return int(text)


def parts_document(
    bucket: str, params: Mapping[str, str], page: PartPage, owner: str, numbers: tuple[int, int]
) -> bytes:
    """Return the answer of ListParts; *owner* are finished elements, *numbers* the marker and the limit."""
    upload, (marker, limit) = page.upload, numbers
    show = shower(params)
    head = [
        element("Bucket", bucket),
        f"<Key>{show(upload.key)}</Key>",
        element("UploadId", upload.upload_id.decode()),
        owner,
        _STORAGE_CLASS,
        element("PartNumberMarker", marker),
    ]
    if page.next_after is not None:
        head.append(element("NextPartNumberMarker", page.next_after))
    head += [
        element("MaxParts", limit),
        element("IsTruncated", "false" if page.next_after is None else "true"),
        _announced(upload),
    ]
    if "encoding-type" in params:
        head.append(element("EncodingType", "url"))
    return document("ListPartsResult", "".join([*head, *map(_part, page.parts)]))


def _part(part: PartInfo) -> str:
    return (
        f"<Part>{element('PartNumber', part.number)}{element('LastModified', format_xml(part.modified))}"
        f"{etag_element(part.etag)}{element('Size', part.size)}{checksum_elements(part.checksums)}</Part>"
    )


def _announced(upload: UploadInfo) -> str:
    """Return what was announced of the checksum, if anything was."""
    algorithm, _, kind = upload.checksum.partition(" ")
    return element("ChecksumAlgorithm", algorithm.upper()) + element("ChecksumType", kind) if algorithm else ""


def initiator(owner: tuple[str, str]) -> str:
    """Return the elements of who began an upload and owns what it will be: (id, display name)."""
    who = owner_element(owner)
    return who.replace("Owner>", "Initiator>") + who


def upload_limit(params: Mapping[str, str]) -> int:
    """Return max-uploads; raise S3Error InvalidArgument."""
    return parse_limit(params.get("max-uploads"), "max-uploads")


def uploads_document(
    bucket: str,
    params: Mapping[str, str],
    request: UploadListRequest,
    page: UploadPage,
    owner_of: Callable[[str], tuple[str, str]],
) -> bytes:
    """Return the answer of ListMultipartUploads."""
    show = shower(params)
    head = [
        element("Bucket", bucket),
        f"<KeyMarker>{show(request.key_marker)}</KeyMarker>",
        element("UploadIdMarker", request.upload_id_marker.decode()),
    ]
    if page.next_marker is not None:
        key, upload_id = page.next_marker
        head += [f"<NextKeyMarker>{show(key)}</NextKeyMarker>", element("NextUploadIdMarker", upload_id.decode())]
    head.append(f"<Prefix>{show(request.prefix)}</Prefix>")
    if request.delimiter:
        head.append(f"<Delimiter>{show(request.delimiter)}</Delimiter>")
    if "encoding-type" in params:
        head.append(element("EncodingType", "url"))
    head += [
        element("MaxUploads", upload_limit(params)),
        element("IsTruncated", "false" if page.next_marker is None else "true"),
    ]
    uploads = (
        f"<Upload><Key>{show(upload.key)}</Key>{element('UploadId', upload.upload_id.decode())}"
        f"{initiator(owner_of(upload.owner))}{_STORAGE_CLASS}"
        f"{element('Initiated', format_xml(upload.initiated))}{_announced(upload)}</Upload>"
        for upload in page.uploads
    )
    prefixes = (f"<CommonPrefixes><Prefix>{show(each)}</Prefix></CommonPrefixes>" for each in page.common_prefixes)
    return document("ListMultipartUploadsResult", "".join([*head, *uploads, *prefixes]))
