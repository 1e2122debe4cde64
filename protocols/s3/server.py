"""The S3 door as the appliance sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocols.s3.auth.credential import Credential as Credential
from protocols.s3.cors import NO_CORS
from protocols.s3.cors import CorsRules as CorsRules
from protocols.s3.door import Door
from protocols.s3.http.site import Limits as Limits
from protocols.s3.http.site import Site
from protocols.s3.workers import Workers

if TYPE_CHECKING:
    from foundation.clock import Clock
    from namespace.api import ObjectVerbs
    from protocols.s3.auth.credential import Credentials as Credentials
    from protocols.s3.ownership import Owners

#: Digests use at most this many cores beside the reactor's.
DIGEST_THREADS = 2
_BACKLOG = 1024
_DEFAULT_LIMITS = Limits()


class S3Server:
    """One listening port."""

    def __init__(  # noqa: PLR0913, PLR0917 - the appliance composes it once, by name
        self,
        reactor: Any,
        namespace: ObjectVerbs,
        credentials: Credentials,
        clock: Clock,
        listen: str,
        port: int,
        region: str,
        domain: str | None,
        limits: Limits = _DEFAULT_LIMITS,
        cors: CorsRules = NO_CORS,
        owners: Owners | None = None,
    ) -> None:
        """Serve *namespace* on *listen*:*port* (0: any free port) as *region*.

        With a *domain*, `bucket.domain` in the Host header names the bucket. Pages of the origins of *cors* may read
        what they are answered.
        """
        self._reactor = reactor
        self._listen = listen
        self._wanted_port = port
        self._workers = Workers(reactor, DIGEST_THREADS)
        door = Door(namespace, credentials, clock, self._workers, region, domain, cors)
        door.owners = owners or door.owners
        self._site = Site(door.handle, clock, limits)
        self._listener: Any = None

    @property
    def port(self) -> int:
        """Return the port that is really bound; only between `start` and `stop`."""
        assert self._listener is not None
        bound: int = self._listener.getHost().port
        return bound

    async def start(self) -> None:
        """Listen; raise twisted.internet.error.CannotListenError."""
        self._listener = self._reactor.listenTCP(self._wanted_port, self._site, _BACKLOG, self._listen)
        self._workers.open()
        self._site.open()

    async def stop(self) -> None:
        """Take no more connections, let running requests end, and close what is left at the deadline."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        await listener.stopListening()
        await self._site.drain()
        self._workers.close()
