"""Hypothesis strategies for every XDR type, derived from the types themselves."""

from __future__ import annotations

import inspect
from typing import Any

from hypothesis import strategies as st

from protocols.nfs.codec import mount, nfs3_args, nfs3_results, nfs3_types, portmap, rpc, xdr
from protocols.nfs.codec.nfs3_types import CREATEHOW3, MKNODDATA3, SERVER_TIME, createhow3, createmode3, mknoddata3

SMALL = st.binary(max_size=40)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Return the values of *kind*, an XdrType."""
    if inspect.isclass(kind) and issubclass(kind, xdr.XdrStruct):
        return st.builds(kind, *map(values, kind.types))
    if kind is CREATEHOW3:
        return st.one_of(
            st.builds(createhow3, st.sampled_from(list(createmode3)[:2]), values(nfs3_types.sattr3)),
            st.builds(createhow3, st.just(createmode3.EXCLUSIVE), verf=st.binary(min_size=8, max_size=8)),
        )
    if kind is MKNODDATA3:
        plain = st.integers(0, 2**32 - 1).filter(lambda number: number not in {3, 4, 6, 7})
        return st.one_of(
            st.builds(mknoddata3, st.sampled_from([3, 4]), values(nfs3_types.sattr3), values(xdr.UINT64)),
            st.builds(mknoddata3, st.sampled_from([6, 7]), values(nfs3_types.sattr3)),
            st.builds(mknoddata3, plain),
        )
    return _SIMPLE[type(kind)](kind)


_SIMPLE = {
    xdr._Integer: lambda kind: st.integers(0, 2**32 - 1 if kind.code == "I" else 2**64 - 1),
    xdr._Bool: lambda kind: st.booleans(),
    xdr.Enumeration: lambda kind: st.sampled_from(list(kind._members.values())),
    xdr.FixedOpaque: lambda kind: st.binary(min_size=kind._length, max_size=kind._length),
    xdr.Opaque: lambda kind: SMALL,
    xdr.OpaqueView: lambda kind: SMALL,
    xdr.OpaquePieces: lambda kind: st.tuples(SMALL),
    xdr.Optional: lambda kind: st.none() | values(kind.kind),
    xdr.LinkedList: lambda kind: st.lists(values(kind._kind), max_size=4).map(tuple),
    xdr.Array: lambda kind: st.lists(values(kind._kind), max_size=min(4, kind._longest)).map(tuple),
    nfs3_types._SetTime: lambda kind: st.none() | st.just(SERVER_TIME) | st.integers(0, 2**64 - 1),
}


def _structures() -> list[type[xdr.XdrStruct]]:
    modules = (rpc, portmap, mount, nfs3_types, nfs3_args, nfs3_results)
    found = {
        each
        for module in modules
        for each in vars(module).values()
        if inspect.isclass(each) and issubclass(each, xdr.XdrStruct) and each not in {xdr.XdrStruct, xdr.FixedStruct}
    }
    return sorted(found, key=lambda each: (each.__module__, each.__name__))


#: Every structure of every protocol. Two of them are unions: their wire form belongs to the field that holds them.
STRUCTURES = [each for each in _structures() if each not in {createhow3, mknoddata3}]
