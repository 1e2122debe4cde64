"""Operations on ACLs: what mode and canned ACL grant, shown as S3 shows grants; of what is set, the canned ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from namespace.api import Grantee, Permission
from protocols.s3.call import Answer, xml_answer
from protocols.s3.codec.acl import (
    ALL_USERS,
    AUTHENTICATED_USERS,
    GRANT_HEADERS,
    GROUPS,
    MAX_DOCUMENT_BYTES,
    PERMISSIONS,
    Given,
    acl_document,
    header_grants,
    read_acl,
)
from protocols.s3.codec.errors import S3Error
from protocols.s3.intake import take_small_body
from protocols.s3.object_headers import acl_of, bucket_acl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from namespace.api import Acl, Grant
    from protocols.s3.call import Call
    from protocols.s3.ownership import Owner

_FULL = "FULL_CONTROL"
_TEXT = {permission: text for text, permission in PERMISSIONS.items()}


async def get_object_acl(call: Call) -> Answer:
    """Answer GetObjectAcl."""
    return _answer(call, await call.namespace.get_acl(call.caller, call.bucket, call.key))


async def get_bucket_acl(call: Call) -> Answer:
    """Answer GetBucketAcl."""
    return _answer(call, await call.namespace.get_bucket_acl(call.caller, call.bucket))


async def put_object_acl(call: Call) -> Answer:
    """Answer PutObjectAcl."""
    namespace, place = call.namespace, (call.caller, call.bucket, call.key)
    wanted = await _wanted(call, acl_of(call), lambda: namespace.get_acl(*place))
    await namespace.set_acl(*place, wanted)
    return Answer()


async def put_bucket_acl(call: Call) -> Answer:
    """Answer PutBucketAcl."""
    namespace, place = call.namespace, (call.caller, call.bucket)
    wanted = await _wanted(call, bucket_acl(call), lambda: namespace.get_bucket_acl(*place))
    await namespace.set_bucket_acl(*place, wanted)
    return Answer()


async def _wanted(call: Call, canned: str, now: Callable[[], Awaitable[Acl]]) -> str | frozenset[Grant]:
    """Return the ACL that the request names or spells out; *now* tells the one there is. Raise S3Error."""
    body = (await take_small_body(call, MAX_DOCUMENT_BYTES)).strip()
    in_headers = not GRANT_HEADERS.keys().isdisjoint(call.headers)
    if canned and in_headers:
        raise S3Error("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
    if body and (canned or in_headers):
        raise S3Error("UnexpectedContent")
    if canned:
        return canned
    if not body and not in_headers:
        raise S3Error("MissingSecurityHeader", MissingHeaderName="x-amz-acl")
    owner_id, given = read_acl(body) if body else ("", header_grants(call.headers))
    acl = await now()
    owner = _owner(call, acl)
    if owner_id and owner_id != owner[0]:
        raise S3Error("AccessDenied", "An ACL does not change the owner.")
    if body and Given("id", owner[0], _FULL) not in given:
        raise S3Error("NotImplemented")  # the owner may do everything here, whatever an ACL says
    others = [_granted(call, acl.account, each) for each in given if (each.kind, each.grantee) != ("id", owner[0])]
    return _without_doubles(frozenset(others))


def _granted(call: Call, account: str, given: Given) -> Grant:
    """Return what is *given* to others than the owner; raise S3Error where no canned ACL gives it."""
    permission = PERMISSIONS.get(given.permission)
    if given.kind == "uri" and given.grantee not in GROUPS:
        raise S3Error("InvalidArgument", "Invalid group uri", ArgumentName="uri")
    if given.kind == "id" and not call.owners.knows(given.grantee):
        raise S3Error("InvalidArgument", "Invalid id", ArgumentName="CanonicalUser/ID")
    if permission is not None and given.kind == "uri":
        return GROUPS[given.grantee], permission
    if permission is not None and given.kind == "id" and given.grantee == account:
        return Grantee.BUCKET_OWNER, permission
    raise S3Error("NotImplemented")


def _without_doubles(grants: frozenset[Grant]) -> frozenset[Grant]:
    """Leave out what accounts are granted where everybody is."""
    doubles = {(Grantee.ACCOUNTS, permission) for who, permission in grants if who is Grantee.EVERYBODY}
    return grants - doubles


def _owner(call: Call, acl: Acl) -> Owner:
    if acl.uid is None:
        return call.owners.of_account(acl.account)
    return call.owners.of_file(acl.uid, acl.account)


def _answer(call: Call, acl: Acl) -> Answer:
    owner, account = _owner(call, acl), call.owners.of_account(acl.account)
    grantees: dict[Grantee, str | Owner] = {
        Grantee.EVERYBODY: ALL_USERS,
        Grantee.ACCOUNTS: AUTHENTICATED_USERS,
        Grantee.BUCKET_OWNER: account,
    }
    rows: list[tuple[str | Owner, str]] = [(owner, _FULL)]
    for who, grantee in grantees.items():
        if grantee != owner:
            rows += [(grantee, _TEXT[each]) for each in Permission if (who, each) in acl.grants]
    return xml_answer(acl_document(owner, rows))
