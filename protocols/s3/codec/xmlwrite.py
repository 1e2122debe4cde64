"""Writing the XML documents of answers."""

from __future__ import annotations

import re

from protocols.s3.codec.xmlread import NAMESPACE

#: What every document begins with.
DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_SPECIAL = re.compile('[&<>"\x00-\x1f\x7f-\x9f\ufffe\uffff]')
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def escape(text: str) -> str:
    """Escape *text* for element content. Control characters become references, as S3 itself writes them.

    XML 1.0 cannot say them at all; clients that may meet such keys ask for `encoding-type=url`.
    """
    return _SPECIAL.sub(_reference, text) if _SPECIAL.search(text) else text


def _reference(match: re.Match[str]) -> str:
    return _NAMED.get(match[0]) or f"&#x{ord(match[0]):x};"


def element(name: str, text: str | int) -> str:
    """Return one element with text."""
    return f"<{name}>{escape(str(text))}</{name}>"


def document(root: str, content: str) -> bytes:
    """Return a whole document of S3's namespace; *content* is finished XML."""
    return DECLARATION + f'<{root} xmlns="{NAMESPACE}">{content}</{root}>'.encode()


def error_document(code: str, message: str, resource: str, request_id: str, host_id: str, **details: str) -> bytes:
    """Return an error document (S3 "REST error responses"); errors have no namespace."""
    more = "".join(element(name, value) for name, value in details.items())
    parts = element("Code", code) + element("Message", message) + more + element("Resource", resource)
    parts += element("RequestId", request_id) + element("HostId", host_id)
    return DECLARATION + f"<Error>{parts}</Error>".encode()
