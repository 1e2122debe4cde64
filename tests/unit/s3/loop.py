# ruff: noqa: N802 - the transport speaks Twisted's names
"""A door on a transport in memory: bytes in, bytes out, no socket and no reactor."""

from __future__ import annotations

import re
import time

from s3_fake_namespace import FakeNamespace
from signing import CREDENTIAL, REGION, credentials
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from foundation.clock import ManualClock
from protocols.s3.cors import NO_CORS
from protocols.s3.door import Door
from protocols.s3.http.site import Limits, Site
from protocols.s3.ownership import Owners

#: The key's own account, and one more.
OWNERS = Owners([(CREDENTIAL.owner, "me", 1000), ("b" * 64, "you", 2000)])


class Wire:
    """The transport of one connection, and the client's end of it."""

    def __init__(self):
        self.sent = []
        self.connected = True
        self.disconnecting = False
        self.half_closed = False
        self.aborted = False
        self.reading = True
        self.producer = None
        self.protocol = None

    # ITCPTransport and IConsumer, as far as the door uses them
    def setTcpNoDelay(self, on):
        assert on

    def getHandle(self):
        return None

    def write(self, data):
        self.sent.append(data)

    def writeSequence(self, buffers):
        self.sent.extend(bytes(each) for each in buffers)

    def registerProducer(self, producer, streaming):
        assert streaming
        self.producer = producer

    def unregisterProducer(self):
        self.producer = None

    def pauseProducing(self):
        self.reading = False

    def resumeProducing(self):
        self.reading = True

    def loseConnection(self):
        self.disconnecting = True
        self.lose()

    def loseWriteConnection(self):
        self.half_closed = True

    def abortConnection(self):
        self.aborted = True
        self.lose()

    def lose(self):
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(ConnectionDone()))

    def taken(self):
        """Return what the server sent since the last call."""
        data, self.sent = b"".join(self.sent), []
        return data


class InlineWorkers:
    """Digests at once: tests of the door need no threads."""

    async def run(self, work, data):
        return work(data)


class House:
    """A site over a fake namespace, with a clock that tests move."""

    def __init__(self, namespace=None, domain=None, limits=None, region=REGION, cors=NO_CORS):
        self.namespace = namespace or FakeNamespace()
        self.clock = ManualClock(time.time_ns())
        self.removed = set()
        door = Door(self.namespace, self.credentials, self.clock, InlineWorkers(), region, domain, cors)
        door.owners = OWNERS
        self.site = Site(door.handle, self.clock, limits or Limits())
        self.site.open()

    def credentials(self, access_key):
        """Look a key up, unless the test has removed it."""
        return None if access_key in self.removed else credentials(access_key)

    def connect(self):
        wire = Wire()
        wire.protocol = self.site.buildProtocol(None)
        wire.protocol.makeConnection(wire)
        return wire

    def ask(self, request):
        """Send one request over a new connection and return (status, headers, body)."""
        wire = self.connect()
        wire.protocol.dataReceived(request)
        return parse_answer(wire.taken())


def parse_answer(data):
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    return int(lines[0].split(" ")[1]), headers, body


def statuses(data):
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


def send(house, *pieces):
    wire = house.connect()
    for piece in pieces:
        if wire.connected:
            wire.protocol.dataReceived(piece)
    return wire
