"""Cross-origin resource sharing: which pages of other origins may read this door's answers (Fetch, S3 "Using CORS").

A browser asks before it sends, with OPTIONS and no signature, and looks at the headers of the answer itself. Nothing
here lets anybody in: what is asked for is signed all the same. So no answer allows credentials of the browser's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from protocols.s3.call import Answer
from protocols.s3.codec.errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Mapping

ANY = "*"
#: An origin as browsers write it (RFC 6454, section 6.1): nothing behind host and port. `null` is none.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]{0,31}://([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?", re.ASCII)
_MAX_HEADERS = 64
_VARY = ("vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")


class CorsRules(Struct, frozen=True):
    """One rule for the whole house. Without origins there is no sharing."""

    origins: tuple[str, ...] = ()  # each exact, or with one `*`
    methods: tuple[str, ...] = ("GET", "HEAD", "PUT", "POST", "DELETE")
    headers: tuple[str, ...] = (ANY,)  # each exact, or with one `*`; lower case
    expose: tuple[str, ...] = ()
    max_age_seconds: int = 3600

    def preflight(self, headers: Mapping[str, str]) -> Answer:
        """Answer OPTIONS; raise S3Error AccessForbidden for what no rule allows, BadRequest for what is no question."""
        origin, method = headers.get("origin"), headers.get("access-control-request-method")
        if origin is None:
            raise S3Error("BadRequest", "Insufficient information. Origin request header needed.")
        if method is None or not method.isalpha():
            raise S3Error("BadRequest", f"Invalid Access-Control-Request-Method: {(method or 'null')[:32]}")
        allowed = self._allowed(origin, method)
        wanted = [each.strip() for each in headers.get("access-control-request-headers", "").split(",", _MAX_HEADERS)]
        names = [each.lower() for each in wanted if each]
        if not allowed or not all(_like_any(self.headers, name) for name in names):
            raise S3Error("AccessForbidden", Method=method[:32], ResourceType="OBJECT")
        answer = [*allowed, ("access-control-max-age", str(self.max_age_seconds))]
        if names:
            answer.append(("access-control-allow-headers", ", ".join(names)))
        return Answer(200, answer)

    def headers_of(self, method: str, headers: Mapping[str, str]) -> list[tuple[str, str]]:
        """Return what an answer to *method* says to the browser; nothing where nothing is shared."""
        if not self.origins:
            return []
        origin = headers.get("origin")
        if method == "OPTIONS" or origin is None:
            return [_VARY]
        found = self._allowed(origin, method)
        if found and self.expose:
            found.append(("access-control-expose-headers", ", ".join(self.expose)))
        return [*found, _VARY]

    def _allowed(self, origin: str, method: str) -> list[tuple[str, str]]:
        """Return the headers that let a page of *origin* use *method*; none if it may not."""
        if method not in self.methods:
            return []
        if ANY in self.origins:
            shared = ANY
        elif _ORIGIN.fullmatch(origin) and _like_any(self.origins, origin):
            shared = origin
        else:
            return []
        return [
            ("access-control-allow-origin", shared),
            ("access-control-allow-methods", ", ".join(self.methods)),
        ]


def _like_any(patterns: tuple[str, ...], text: str) -> bool:
    """Return whether *text* is one of *patterns*, of which each may hold one `*`."""
    return any(_like(pattern, text) for pattern in patterns)


def _like(pattern: str, text: str) -> bool:
    before, star, behind = pattern.partition(ANY)
    if not star:
        return pattern == text
    return len(text) >= len(before) + len(behind) and text.startswith(before) and text.endswith(behind)


#: Without configuration nothing is shared.
NO_CORS = CorsRules()
