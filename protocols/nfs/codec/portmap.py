"""The port mapper, version 2 (RFC 1833, section 3)."""

from typing import Annotated

from protocols.nfs.codec.rpc import void as void
from protocols.nfs.codec.xdr import FixedStruct, LinkedList, XdrStruct, uint32

PMAP_PROG = 100000
PMAP_VERS = 2
PMAP_PORT = 111
IPPROTO_TCP = 6
IPPROTO_UDP = 17

PMAPPROC_NULL = 0
PMAPPROC_SET = 1
PMAPPROC_UNSET = 2
PMAPPROC_GETPORT = 3
PMAPPROC_DUMP = 4


class mapping(FixedStruct, frozen=True, gc=False):
    """One served program; `port` counts for SET and in answers."""

    prog: uint32
    vers: uint32
    prot: uint32
    port: uint32


class port_result(FixedStruct, frozen=True, gc=False):
    """GETPORT's answer; 0 = not served."""

    port: uint32


class bool_result(XdrStruct, frozen=True, gc=False):
    """The answer of SET and UNSET."""

    done: bool


class dump_result(XdrStruct, frozen=True, gc=False):
    """DUMP's answer (pmaplist)."""

    mappings: Annotated[tuple[mapping, ...], LinkedList(mapping)]
