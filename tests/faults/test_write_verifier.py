"""UNSTABLE data may be lost with the gateway, but never silently: the write verifier changes (RFC 1813, 3.3.7)."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

from nfs_client import NfsClient

from protocols.nfs.codec.nfs3_types import stable_how

if TYPE_CHECKING:
    from house import House

_PIECE = 1 << 19


def client(house: House) -> NfsClient:
    return NfsClient("127.0.0.1", house.nfs_port, house.mount_port)


def test_a_killed_gateway_changes_the_verifier_and_a_client_that_rewrites_ends_right(own_house: House):
    data = os.urandom(4 * _PIECE)
    with client(own_house) as nfs:
        file = nfs.create(nfs.mount(own_house.export), b"unstable")
        stable = nfs.create(nfs.mount(own_house.export), b"stable")
        before = {
            nfs.write(file, at, data[at : at + _PIECE], stable_how.UNSTABLE).verf for at in range(0, len(data), _PIECE)
        }
        answer = nfs.write(stable, 0, data[:_PIECE], stable_how.FILE_SYNC)
        assert answer.committed == stable_how.FILE_SYNC
        assert before == {answer.verf}, "one incarnation has one verifier"
        assert nfs.getattr(file).size == len(data), "the size is seen before COMMIT"
    own_house.wait_replaced("gateway", own_house.kill("gateway"))
    with client(own_house) as nfs:
        assert nfs.read_all(stable) == data[:_PIECE], "the handle is good, and what was FILE_SYNC is there"
        after = nfs.commit(file).verf
        assert after not in before
        for at in range(0, len(data), _PIECE):
            assert nfs.write(file, at, data[at : at + _PIECE], stable_how.UNSTABLE).verf == after
        assert nfs.commit(file).verf == after
        assert nfs.read_all(file) == data
    with closing(own_house.s3()) as s3, closing(s3.get_object(Bucket=own_house.bucket, Key="unstable")["Body"]) as body:
        assert body.read() == data
    own_house.check()
