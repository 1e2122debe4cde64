"""Mixed load by both doors: workers that each own their names, and record what was acknowledged."""

from __future__ import annotations

import random
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError
from ledger import GONE, Ledger, Version
from nfs_door import NfsDoor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from house import House

#: Names of one worker: few enough to be overwritten and deleted often.
_NAMES = 30
_SIZES = (0, 1, 700, 4096, 65_536, 65_537, 200_000, 1_300_000)
_WEIGHTS = (1, 1, 6, 6, 3, 3, 2, 1)


class Door(Protocol):
    """How a worker changes and reads one name."""

    #: What says that an operation was not acknowledged.
    failures: tuple[type[Exception], ...]
    #: Those of them that say that nothing was sent: the door was shut.
    refusals: tuple[type[Exception], ...]

    def put(self, version: Version) -> None: ...
    def delete(self, name: str) -> None: ...
    def read(self, name: str) -> bytes | None:
        """Return the bytes of *name*, or None if it does not exist."""

    def close(self) -> None: ...


class S3Door:
    """Objects below a prefix; requests are tried once."""

    failures = (BotoCoreError, ClientError)
    refusals = (EndpointConnectionError,)

    def __init__(self, house: House, folder: str) -> None:
        self._s3 = house.s3(read_timeout_seconds=30)
        self._bucket, self._folder = house.bucket, folder

    def put(self, version: Version) -> None:
        """Put an object by one of the three ways in which S3 makes one."""
        ways = (self._put_whole, self._put_in_parts, self._put_by_copy)
        ways[version.number % len(ways)](f"{self._folder}/{version.name}", version.body())

    def _put_whole(self, key: str, body: bytes) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=body)

    def _put_in_parts(self, key: str, body: bytes) -> None:
        upload = {"Bucket": self._bucket, "Key": key}
        upload["UploadId"] = self._s3.create_multipart_upload(**upload)["UploadId"]
        part = self._s3.upload_part(**upload, PartNumber=1, Body=body)
        sent = {"PartNumber": 1, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]}
        self._s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [sent]})

    def _put_by_copy(self, key: str, body: bytes) -> None:
        source = {"Bucket": self._bucket, "Key": f"sources/{key}"}
        self._s3.put_object(**source, Body=body)
        self._s3.copy_object(Bucket=self._bucket, Key=key, CopySource=source)

    def delete(self, name: str) -> None:
        self._s3.delete_object(Bucket=self._bucket, Key=f"{self._folder}/{name}")

    def read(self, name: str) -> bytes | None:
        try:
            with closing(self._s3.get_object(Bucket=self._bucket, Key=f"{self._folder}/{name}")["Body"]) as body:
                data: bytes = body.read()
        except self._s3.exceptions.NoSuchKey:
            return None
        return data

    def names(self) -> list[str]:
        """Return all names below the folder, as listed."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._folder + "/")
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
        return [key.removeprefix(self._folder + "/") for key in keys]

    def close(self) -> None:
        self._s3.close()


class Worker(threading.Thread):
    """Puts, overwrites, deletes and reads its own names until it is told to stop."""

    def __init__(self, label: str, door: Door, ledger: Ledger, seed: int) -> None:
        super().__init__(name=label, daemon=True)
        self._door, self._ledger, self._random = door, ledger, random.Random(seed)
        self._names = [f"{label}-{number:02d}" for number in range(_NAMES)]
        self._have: dict[str, Version | None] = {}
        self._stopped = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._turn()
        except BaseException as error:  # noqa: BLE001 - it is raised where the worker is joined
            self.error = error
        finally:
            self._door.close()

    def stop(self) -> None:
        """Let the operation under way end, and raise what went wrong."""
        self._stopped.set()
        self.join(120)
        assert not self.is_alive(), f"{self.name}: an operation never ended"
        if self.error is not None:
            raise self.error

    def _turn(self) -> None:
        usable = [name for name in self._names if self._ledger.usable(name)]
        if not usable:
            self._stopped.wait(0.1)  # all its outcomes are unknown: it has done what it can
            return
        name = self._random.choice(usable)
        draw = self._random.random()
        if draw < 0.2 and name in self._have:
            self._read(name)
        elif draw < 0.35:
            self._change(name, GONE)
        else:
            size = self._random.choices(_SIZES, _WEIGHTS)[0]
            self._change(name, self._ledger.version(name, size))

    def _change(self, name: str, state: Version | None) -> None:
        self._ledger.begin(name, state)
        try:
            if state is GONE:
                self._door.delete(name)
            else:
                self._door.put(state)
        except self._door.failures as error:
            sent = not isinstance(error, self._door.refusals)
            self._ledger.fail(name, sent=sent)
            if sent:
                self._have.pop(name, None)
            self._stopped.wait(0.05)  # a door that is shut is not knocked at in a tight loop
        else:
            self._ledger.acknowledge(name)
            self._have[name] = state

    def _read(self, name: str) -> None:
        """Read what was acknowledged: only this worker changes it."""
        state = self._have[name]
        try:
            data = self._door.read(name)
        except self._door.failures:
            self._ledger.miss()
            return
        expected = None if state is GONE else state.body()
        assert data == expected, f"{name} should be {state}, found {describe(data)}"


def describe(data: bytes | None) -> str:
    """Return a few words about *data*."""
    return "nothing" if data is None else f"{len(data)} bytes that begin with {data[:16].hex()}"


def start_workers(house: House, folder: str, ledger: Ledger, seed: int) -> list[Worker]:
    """Start two workers at each door."""
    doors: Sequence[tuple[str, Door]] = [
        ("s3a", S3Door(house, folder)),
        ("s3b", S3Door(house, folder)),
        ("nfsa", NfsDoor(house, folder)),
        ("nfsb", NfsDoor(house, folder)),
    ]
    workers = [Worker(label, door, ledger, seed + number) for number, (label, door) in enumerate(doors)]
    for worker in workers:
        worker.start()
    return workers


def verify(house: House, folder: str, ledger: Ledger) -> int:
    """Compare everything promised with what both doors show; return how many names exist.

    Raise AssertionError for an acknowledged byte that is lost or mixed, a deleted name that is back, a name that nobody
    made, or a listing out of order.
    """
    promised = ledger.promised()
    assert promised, "an empty manifest proves nothing"
    s3, nfs = S3Door(house, folder), NfsDoor(house, folder)
    found: dict[str, Version | None] = {}
    try:
        listed = s3.names()
        assert listed == sorted(set(listed), key=str.encode), "the listing is not in byte order"
        for name, states in promised.items():
            data = s3.read(name)
            found[name] = _match(name, data, states)
            assert (name in listed) == (data is not None), f"{name}: GET and the listing disagree"
            assert nfs.read(name) == data, f"{name}: the two doors disagree"
        strangers = set(filter(None, listed)) - promised.keys()  # mkdir made the folder itself a key
        assert not {name for name in strangers if not nfs.is_temporary(name)}, f"nobody made {strangers}"
    finally:
        s3.close()
        nfs.close()
    ledger.settle(found)
    return sum(state is not GONE for state in found.values())


def _match(name: str, data: bytes | None, states: set[Version | None]) -> Version | None:
    """Return the one of *states* that *data* is."""
    for state in states:
        if (state is GONE and data is None) or (state is not GONE and data == state.body()):
            return state
    raise AssertionError(f"{name} is {describe(data)}, promised was one of {states}")
