"""ACLs: the document and the headers that carry grants (S3 "Access control list (ACL) overview")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from namespace.api import Grantee, Permission
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.listing import owner_element
from protocols.s3.codec.xmlread import Element, read_xml
from protocols.s3.codec.xmlwrite import document, element

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: 100 grants, which is S3's limit, fit.
MAX_DOCUMENT_BYTES = 64 << 10
MAX_GRANTS = 100
ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED_USERS = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
GROUPS = {ALL_USERS: Grantee.EVERYBODY, AUTHENTICATED_USERS: Grantee.ACCOUNTS}
PERMISSIONS = {"READ": Permission.READ, "WRITE": Permission.WRITE, "FULL_CONTROL": Permission.FULL_CONTROL}
#: Permissions on the ACL itself: the owner's alone.
_OF_ACL = frozenset({"READ_ACP", "WRITE_ACP"})
#: The headers that grant, and what each grants.
GRANT_HEADERS = {
    "x-amz-grant-read": "READ",
    "x-amz-grant-write": "WRITE",
    "x-amz-grant-read-acp": "READ_ACP",
    "x-amz-grant-write-acp": "WRITE_ACP",
    "x-amz-grant-full-control": "FULL_CONTROL",
}
_GRANTEE = re.compile(r'\s*(id|uri|emailAddress)\s*=\s*(?:"([^"]*)"|([^",\s]*))\s*')
_KINDS = {"ID": "id", "URI": "uri", "EmailAddress": "emailAddress"}
_XSI = "http://www.w3.org/2001/XMLSchema-instance"


class Given(Struct, frozen=True):
    """One grant as it was sent."""

    kind: str  # id, uri or emailAddress
    grantee: str
    permission: str


def read_acl(body: bytes) -> tuple[str, tuple[Given, ...]]:
    """Return the owner's id, empty if it is not said, and the grants; raise S3Error MalformedACLError."""
    try:
        root = read_xml(body, "AccessControlPolicy")
        return _owner_id(_only(root, "Owner")), _grants(_only(root, "AccessControlList"))
    except S3Error:
        raise S3Error("MalformedACLError") from None


def _owner_id(owner: Element | None) -> str:
    return owner.value("ID") or "" if owner is not None else ""


def _grants(grants: Element | None) -> tuple[Given, ...]:
    if grants is None or len(grants.children) > MAX_GRANTS:
        raise S3Error("MalformedACLError")
    return tuple(_grant(child) for child in grants.children)


def _only(parent: Element, name: str) -> Element | None:
    found = [child for child in parent.children if child.name == name]
    if len(found) > 1:
        raise S3Error("MalformedACLError")
    return found[0] if found else None


def _grant(grant: Element) -> Given:
    grantee, permission = _only(grant, "Grantee"), (grant.value("Permission") or "").strip()
    if grant.name != "Grant" or grantee is None or permission not in PERMISSIONS.keys() | _OF_ACL:
        raise S3Error("MalformedACLError")
    named = [(kind, text) for name, kind in _KINDS.items() if (text := grantee.value(name)) is not None]
    if len(named) != 1:
        raise S3Error("MalformedACLError")
    return Given(named[0][0], named[0][1].strip(), permission)


def header_grants(headers: Mapping[str, str]) -> tuple[Given, ...]:
    """Return what the x-amz-grant-* headers grant; raise S3Error InvalidArgument."""
    given: list[Given] = []
    for header, permission in GRANT_HEADERS.items():
        for part in headers[header].split(",") if header in headers else ():
            match = _GRANTEE.fullmatch(part)
            if match is None or len(given) == MAX_GRANTS:
                raise S3Error("InvalidArgument", ArgumentName=header)
            given.append(Given(match[1], match[2] if match[2] is not None else match[3], permission))
    return tuple(given)


def acl_document(owner: tuple[str, str], grants: Iterable[tuple[str | tuple[str, str], str]]) -> bytes:
    """Return an AccessControlPolicy: *grants* are (a group's URI, or an account as (id, name); permission)."""
    rows = "".join(f"<Grant>{_grantee(who)}{element('Permission', permission)}</Grant>" for who, permission in grants)
    content = f"{owner_element(owner)}<AccessControlList>{rows}</AccessControlList>"
    return document("AccessControlPolicy", content)


def _grantee(who: str | tuple[str, str]) -> str:
    if isinstance(who, str):
        kind, content = "Group", element("URI", who)
    else:
        kind, content = "CanonicalUser", element("ID", who[0]) + element("DisplayName", who[1])
    return f'<Grantee xmlns:xsi="{_XSI}" xsi:type="{kind}">{content}</Grantee>'
