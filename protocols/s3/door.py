"""From an HTTP exchange to an S3 answer: authenticate, route, operate, send, log."""

from __future__ import annotations

import itertools
import secrets
from typing import TYPE_CHECKING

from msgspec.structs import replace
from twisted.logger import Logger
from twisted.python.failure import Failure

from foundation.errors import FsError, IsDeleteMarker, NoReply, NotModified, RangeNotSatisfiable
from protocols.s3.auth.authenticate import authenticate
from protocols.s3.auth.received import Received
from protocols.s3.call import Answer, Call
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.uri import parse_key, parse_target
from protocols.s3.codec.xmlwrite import error_document
from protocols.s3.cors import NO_CORS
from protocols.s3.errors import describe, is_known
from protocols.s3.expected_owners import OWNER_HEADERS, check_owners
from protocols.s3.http.head import Disconnected, Refused
from protocols.s3.operations.forms import filled, form_key, read_fields
from protocols.s3.ownership import Owners
from protocols.s3.patience import patient
from protocols.s3.router import route

if TYPE_CHECKING:
    from foundation.clock import Clock
    from namespace.api import ObjectVerbs
    from protocols.s3.auth.credential import Credentials
    from protocols.s3.call import Stream
    from protocols.s3.cors import CorsRules
    from protocols.s3.http.exchange import Exchange
    from protocols.s3.http.head import Head
    from protocols.s3.workers import Workers

_NS = 1_000_000_000
_NS_PER_MS = 1_000_000
_UNAVAILABLE = 503
#: When to ask again, where S3 says 503: a volume changes its gateway, or the database catches up, within seconds.
_RETRY_AFTER_SECONDS = "1"
_log = Logger()
_access = Logger(namespace="protocols.s3.access")


class _Trace:
    """What the access log says of one request; nothing in it is secret."""

    __slots__ = ("access_key", "operation", "request_id", "started_ns")

    def __init__(self, request_id: str, started_ns: int) -> None:
        self.request_id = request_id
        self.started_ns = started_ns
        self.operation = "-"
        self.access_key = "-"


class Door:
    """Answers every exchange of the S3 port."""

    def __init__(  # noqa: PLR0913, PLR0917 - the server composes it once
        self,
        namespace: ObjectVerbs,
        credentials: Credentials,
        clock: Clock,
        workers: Workers,
        region: str,
        domain: str | None,
        cors: CorsRules = NO_CORS,
    ) -> None:
        """Serve *namespace* to those whom *credentials* knows, and to pages of the origins of *cors*."""
        self._namespace = namespace
        self._credentials = credentials
        self._clock = clock
        self._workers = workers
        self._region = region
        self._domain = domain.lower().rstrip(".") if domain else None
        self._cors = cors
        self.owners = Owners()  # whose things are, as answers show it
        self._host_id = secrets.token_urlsafe(24)
        self._numbers = itertools.count(secrets.randbits(60))

    async def handle(self, exchange: Exchange) -> None:
        """Answer *exchange*, or leave it without an answer: its connection then closes. Raise Disconnected."""
        trace = _Trace(f"{next(self._numbers) & (1 << 64) - 1:016X}", self._clock.now_ns())
        try:
            await self._send(exchange, await self._operate(exchange, trace), trace)
        except NoReply:
            # The outcome is unknown: silence is the only true answer.
            pass
        except Disconnected:
            raise
        except Exception as error:  # noqa: BLE001 - the last line: whatever it is, it is answered and logged
            await self._send_error(exchange, error, trace)
        finally:
            self._log(exchange, trace)

    async def _operate(self, exchange: Exchange, trace: _Trace) -> Answer:
        """Prove who asks, find out what for, and do it."""
        if exchange.refusal is not None or exchange.head is None:
            raise exchange.refusal or Refused(400, "InvalidRequest", "No request.")
        head = exchange.head
        target = parse_target(head.target, head.headers["host"], self._domain)
        if head.method == "OPTIONS":
            trace.operation = "Preflight"
            return self._cors.preflight(head.headers)
        form = await read_fields(head, target, exchange.body) if head.method == "POST" else None
        received = Received(
            method=head.method,
            target=target,
            headers=head.headers,
            params=target.params,
            has_body=head.length != 0,
            now=self._clock.now_ns() // _NS,
            region=self._region,
            sent_headers=head.headers,
            form=None if form is None else filled(form),
        )
        identity = authenticate(received, self._credentials)
        trace.access_key = identity.credential.access_key
        operation = route(head.method, target.level, identity)
        trace.operation = operation.name
        if identity.form:
            target = replace(target, key=parse_key(form_key(identity.params).encode()))
        call = Call(
            self._namespace,
            self._workers,
            self._region,
            identity,
            target,
            exchange.body,
            head.length,
            self._credentials,
            self.owners,
            head.headers["host"],
            form,
        )
        if not OWNER_HEADERS.isdisjoint(identity.headers):
            await check_owners(call)
        work = operation.run(call)
        if not operation.slow or head.old:  # HTTP/1.0 cannot tell the end of an answer from its breaking off
            return await work
        return await patient(self._clock, exchange.body, work, lambda error: self._late(head, error, trace))

    def _late(self, head: Head, error: Exception, trace: _Trace) -> Answer:
        """Return the answer for an *error* that came after 200 was said."""
        if not is_known(error):
            failure = Failure(error)  # type: ignore[no-untyped-call]  # Twisted gives it no types
            _log.failure("S3 request {request_id} failed", failure, request_id=trace.request_id)
        return self._error_answer(head, error, trace)

    async def _send(self, exchange: Exchange, answer: Answer, trace: _Trace) -> None:
        """Send *answer*; the first bytes of a stream go with the head."""
        headers = [*answer.headers, ("x-amz-request-id", trace.request_id), ("x-amz-id-2", self._host_id)]
        head = exchange.head
        if head is not None and self._cors.origins:
            headers += self._cors.headers_of(head.method, head.headers)
        stream = answer.stream
        if stream is not None and answer.length is None:
            await _send_unmeasured(exchange, answer.status, headers, stream)
            return
        if stream is None:
            length = len(answer.body) or answer.length
            exchange.begin(answer.status, headers, length, [answer.body] if answer.body else [])
            return
        try:
            # A body that cannot be read is found out before 200 is said.
            first = await stream.next()
            exchange.begin(answer.status, headers, answer.length, first)
            del first  # a client that does not read must not hold it
            await exchange.room()
            while exchange.left:
                await exchange.write(await stream.next())
        finally:
            await stream.close()

    async def _send_error(self, exchange: Exchange, error: Exception, trace: _Trace) -> None:
        """Answer with *error*, or let the connection break if an answer is under way."""
        if not is_known(error) or exchange.status:
            _log.failure("S3 request {request_id} failed", request_id=trace.request_id)
        if not exchange.status:
            await self._send(exchange, self._error_answer(exchange.head, error, trace), trace)

    def _error_answer(self, head: Head | None, error: Exception, trace: _Trace) -> Answer:
        """Return the answer for *error*: an S3 error document, or none where HTTP allows none."""
        code, status, message = describe(error)
        if isinstance(error, NotModified):
            return Answer(status, _etag_of_condition(head))
        headers = [("content-type", "application/xml")]
        if status == _UNAVAILABLE:
            headers.append(("retry-after", _RETRY_AFTER_SECONDS))
        if isinstance(error, RangeNotSatisfiable):
            headers.append(("accept-ranges", "bytes"))
        if isinstance(error, FsError) and error.marker:
            headers += [("x-amz-delete-marker", "true"), ("x-amz-version-id", error.marker.decode("latin-1"))]
        if isinstance(error, IsDeleteMarker):
            headers.append(("allow", "DELETE"))
        details = error.details if isinstance(error, S3Error) else {}
        body = error_document(code, message, _path(head), trace.request_id, self._host_id, **details)
        return Answer(status, headers, body)

    def _log(self, exchange: Exchange, trace: _Trace) -> None:
        """Write the access log line; made here, for Twisted's formatter takes 20 us more over these fields."""
        head = exchange.head
        method, path = head.method if head is not None else "-", _path(head)
        milliseconds = (self._clock.now_ns() - trace.started_ns) / _NS_PER_MS
        _access.info(
            "{line}",
            line=f"{method} {path} {exchange.status} {exchange.sent_bytes} B {milliseconds:.1f} ms "
            f"{trace.operation} {trace.access_key} {trace.request_id}",
            method=method,
            path=path,
            status=exchange.status,
            sent_bytes=exchange.sent_bytes,
            milliseconds=milliseconds,
            operation=trace.operation,
            access_key=trace.access_key,
            request_id=trace.request_id,
        )


async def _send_unmeasured(exchange: Exchange, status: int, headers: list[tuple[str, str]], stream: Stream) -> None:
    """Send an answer whose length nobody knows yet."""
    try:
        exchange.begin(status, headers, None)
        while buffers := await stream.next():
            await exchange.write(buffers)
        await exchange.end()
    finally:
        await stream.close()


def _path(head: Head | None) -> str:
    """Return the request's path, still encoded, and never its query: that may hold signatures."""
    return head.target.partition(b"?")[0].decode("latin-1") if head is not None else "-"


def _etag_of_condition(head: Head | None) -> list[tuple[str, str]]:
    """Return the ETag for a 304 (RFC 9110, section 15.4.5): the one that the client has, if it named one."""
    etag = head.headers.get("if-none-match", "") if head is not None else ""
    return [("etag", etag)] if etag.startswith('"') and "," not in etag else []
