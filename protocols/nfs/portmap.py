"""The port mapper, version 2 (RFC 1833, section 3): at which port a program is served; 0 for what is not.

What the gateway serves is fixed. Programs of this host may SET and UNSET their own; nobody else may, and nothing
is called on anyone's behalf (CALLIT).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.nfs.codec import portmap as wire
from protocols.nfs.dispatch import Call, Procedure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from protocols.nfs.codec.xdr import Buffer, XdrStruct

#: Mappings that local programs may add.
_MAX_ADDED = 256
_MAX_PORT = 65535


async def pmapproc_null(_portmap: Portmap, _call: Call, args: wire.void) -> XdrStruct:
    """Do nothing."""
    return args


async def pmapproc_set(portmap: Portmap, call: Call, args: wire.mapping) -> XdrStruct:
    """Add a mapping of a local program; false if it is taken or the caller is not local."""
    return wire.bool_result(call.peer.local and portmap.add(args))


async def pmapproc_unset(portmap: Portmap, call: Call, args: wire.mapping) -> XdrStruct:
    """Remove what local programs added for a program and version; false if there was nothing."""
    return wire.bool_result(call.peer.local and portmap.remove(args.prog, args.vers))


async def pmapproc_getport(portmap: Portmap, _call: Call, args: wire.mapping) -> XdrStruct:
    """Return the port of a program, version and protocol."""
    return wire.port_result(portmap.port(args))


async def pmapproc_dump(portmap: Portmap, _call: Call, _args: wire.void) -> XdrStruct:
    """Return all mappings."""
    return wire.dump_result(portmap.mappings())


PROCEDURES: Mapping[int, Procedure] = {
    wire.PMAPPROC_NULL: Procedure(wire.void, pmapproc_null, any_auth=True),
    wire.PMAPPROC_SET: Procedure(wire.mapping, pmapproc_set),
    wire.PMAPPROC_UNSET: Procedure(wire.mapping, pmapproc_unset),
    wire.PMAPPROC_GETPORT: Procedure(wire.mapping, pmapproc_getport),
    wire.PMAPPROC_DUMP: Procedure(wire.void, pmapproc_dump, stream_only=True),
}


class Portmap:
    """The port mapper program; rpcbind's versions 3 and 4 are answered PROG_MISMATCH, so clients come back with 2."""

    number = wire.PMAP_PROG
    version = wire.PMAP_VERS
    procedures = PROCEDURES

    def __init__(self, served: Iterable[wire.mapping]) -> None:
        """Tell of *served*."""
        self._served = {_key(mapping): mapping for mapping in served}
        self._added: dict[tuple[int, int, int], wire.mapping] = {}

    async def answer(self, call: Call, out: list[Buffer]) -> None:
        """Run *call* and append its packed result to *out*."""
        (await call.procedure.function(self, call, call.args)).pack(out)

    def port(self, wanted: wire.mapping) -> int:
        """Return the port of the wanted program and version, or 0."""
        found = self._served.get(_key(wanted)) or self._added.get(_key(wanted))
        return 0 if found is None else found.port

    def mappings(self) -> tuple[wire.mapping, ...]:
        """Return all mappings, the gateway's own first."""
        return (*self._served.values(), *self._added.values())

    def add(self, mapping: wire.mapping) -> bool:
        """Add *mapping* unless its program and version are taken, and tell whether that was done."""
        taken = _key(mapping) in self._served or _key(mapping) in self._added
        if taken or mapping.port > _MAX_PORT or len(self._added) >= _MAX_ADDED:
            return False
        self._added[_key(mapping)] = mapping
        return True

    def remove(self, prog: int, vers: int) -> bool:
        """Remove the added mappings of a program and version, and tell whether there were any."""
        keys = [key for key in self._added if key[:2] == (prog, vers)]
        for key in keys:
            del self._added[key]
        return bool(keys)


def _key(mapping: wire.mapping) -> tuple[int, int, int]:
    return mapping.prog, mapping.vers, mapping.prot
