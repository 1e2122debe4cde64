"""The policy of a POST form: what its signer allows the form to say (S3 "Creating a POST policy")."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from protocols.s3.codec.dates import parse_xml
from protocols.s3.codec.errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Fields that need no condition: the proof itself, the file, and what begins so.
_EXEMPT = frozenset({"policy", "x-amz-signature", "signature", "awsaccesskeyid", "file"})
_IGNORED = "x-ignore-"
_MAX_CONDITIONS = 512
_TRIPLE = 3


class Policy(Struct, frozen=True):
    """One policy, read."""

    expires: int  # seconds since 1970
    equal: tuple[tuple[str, str], ...]  # lower-case field, value
    starts: tuple[tuple[str, str], ...]  # lower-case field, how its value begins
    length: tuple[int, int] | None  # least and greatest bytes of the file; None: it does not say


def parse_policy(text: str) -> Policy:
    """Read a policy in base64; raise S3Error InvalidPolicyDocument. The caller has bounded its size."""
    try:
        raw = json.loads(b64decode(text, validate=True), object_pairs_hook=_once, parse_constant=_refuse)
        return _policy(raw)
    except (ValueError, TypeError, RecursionError) as error:
        # RecursionError: a policy is a list of lists, and no deeper.
        raise S3Error("InvalidPolicyDocument", f"Invalid Policy: {_reason(error)}.") from None


def check_policy(policy: Policy, fields: Mapping[str, str], bucket: str, now: int) -> None:
    """Raise S3Error AccessDenied unless *policy* allows a form with these *fields* at *now*.

    *fields* are by lower-case name. The bucket counts as one more, which the form need not have.
    """
    if now >= policy.expires:
        raise _denied("Policy expired.")
    if fields.get("bucket", bucket) != bucket:
        raise _denied("The field bucket is not the bucket of the request.")
    said = {**fields, "bucket": bucket}
    for name, value in policy.equal:
        if said.get(name, "") != value:
            raise _denied(f'Policy Condition failed: ["eq", "${name}", "{value}"]')
    for name, start in policy.starts:
        if not _begins(name, said.get(name, ""), start):
            raise _denied(f'Policy Condition failed: ["starts-with", "${name}", "{start}"]')
    covered = {name for name, _ in (*policy.equal, *policy.starts)}
    extra = [name for name in said if name not in covered and name not in _EXEMPT and not name.startswith(_IGNORED)]
    if extra:
        raise _denied(f"Extra input fields: {', '.join(sorted(extra))[:256]}")


def _begins(name: str, value: str, start: str) -> bool:
    """Return whether *value* begins so; of a list of content types, each must."""
    values = value.split(",") if name == "content-type" and "," not in start else [value]
    return all(each.strip().startswith(start) for each in values) if len(values) > 1 else value.startswith(start)


def _denied(why: str) -> S3Error:
    return S3Error("AccessDenied", f"Invalid according to Policy: {why}")


def _reason(error: Exception) -> str:
    return str(error)[:128] if type(error) is ValueError else "it is no JSON of the right form"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object; two members of one name can be read two ways."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name is given twice")
    return made


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _policy(raw: Any) -> Policy:
    if not isinstance(raw, dict) or set(raw) != {"expiration", "conditions"}:
        raise ValueError("a policy has an expiration and conditions")
    expiration, conditions = raw["expiration"], raw["conditions"]
    expires = parse_xml(expiration) if isinstance(expiration, str) else None
    if expires is None:
        raise ValueError("the expiration is no date")
    if not isinstance(conditions, list) or len(conditions) > _MAX_CONDITIONS:
        raise ValueError("the conditions are no list, or too many")
    equal: list[tuple[str, str]] = []
    starts: list[tuple[str, str]] = []
    least, most = 0, -1
    for condition in conditions:
        operator, first, second = _condition(condition)
        if operator == "content-length-range":
            # Two ranges: both hold.
            least, most = max(least, _bytes(first)), min(_bytes(second), most) if most >= 0 else _bytes(second)
        elif operator in ("eq", "starts-with"):
            (equal if operator == "eq" else starts).append(_field(first, second))
        else:
            raise ValueError("a condition is eq, starts-with or content-length-range")
    return Policy(expires, tuple(equal), tuple(starts), (least, most) if most >= 0 else None)


def _condition(condition: Any) -> tuple[str, Any, Any]:
    """Return (operator, first, second) of a condition in either form."""
    if isinstance(condition, dict) and len(condition) == 1:
        name, value = next(iter(condition.items()))
        return "eq", f"${name}", value
    if isinstance(condition, list) and len(condition) == _TRIPLE and isinstance(condition[0], str):
        return condition[0].lower(), condition[1], condition[2]
    raise ValueError("a condition has a wrong form")


def _field(name: Any, value: Any) -> tuple[str, str]:
    if not (isinstance(name, str) and isinstance(value, str) and name.startswith("$") and len(name) > 1):
        raise ValueError("a condition is on a field and a text")
    return name[1:].lower(), value


def _bytes(number: Any) -> int:
    """Return a number of bytes, which some signers write as a text."""
    if isinstance(number, str) and number.isascii() and number.isdigit():
        number = int(number)
    if type(number) is not int or number < 0:
        raise ValueError("a content-length-range has two numbers of bytes")
    return number
