"""Acts of S3 callers on a hall, and how they end."""

from __future__ import annotations

from hall import ROOT, run
from object_hall import ObjectHall

from foundation.errors import AccessDenied, NotFound, NotPermitted
from namespace.api import ANONYMOUS, Caller, Conditions, DeleteTarget, PutRequest, SetAttr

OWNER = Caller(100, 100, account="o")
GROUP = Caller(101, 101, frozenset({100}), account="g")
OTHER = Caller(102, 102, account="x")
#: Who asks, and where the bits that count for them are.
CALLERS = {"owner": (OWNER, 6), "group": (GROUP, 3), "other": (OTHER, 0), "nobody": (ANONYMOUS, 0)}
ANY = Conditions()


def owned_hall():
    """Return a hall whose root is OWNER's, and open to all."""
    hall = ObjectHall()
    run(hall.ns.setattr(ROOT, hall.root, SetAttr(mode=0o777, uid=100, gid=100), None))
    return hall


def chmod(hall, file, mode):
    run(hall.ns.setattr(ROOT, file, SetAttr(mode=mode), None))


async def put(hall, caller, key, **fields):
    session = await hall.ns.begin_put(caller, "bucket", PutRequest(key, {}, {}, **fields))
    return await session.finish(b"etag", {})


async def get(hall, caller, key):
    (await hall.ns.open_object(caller, "bucket", key, ANY)).close()


async def delete_many(hall, caller, key):
    (gone,) = await hall.ns.delete_objects(caller, "bucket", [DeleteTarget(key)])
    if gone.error is not None:
        raise gone.error


def denied(work):
    """Tell whether *work* is refused for want of a right; any other refusal is what it is."""
    try:
        run(work)
    except (AccessDenied, NotPermitted):
        return True
    except NotFound:
        return NotFound
    return False
