"""Look-ups by key, gathered: calls made while a query of their kind is under way share the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from foundation.aio import Promise, spawn
from foundation.errors import Unavailable
from metastore.postgres.decoding import tuples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from metastore.postgres.pool import Pool
    from metastore.postgres.session import Statement

K = TypeVar("K")
V = TypeVar("V")
#: Keys of one query: bounds its time, and with it the wait of the calls behind it.
_MAX_KEYS = 1024


class Gathered(Generic[K, V]):
    """One kind of look-up: at most one query under way, the next one gathering."""

    def __init__(
        self,
        pool: Pool,
        statement: Statement,
        encode: Callable[[list[K]], list[bytes | None]],
        collect: Callable[[list[K], list[tuple[Any, ...]]], dict[K, V]],
    ) -> None:
        """Run *statement* over the keys that *encode* makes its parameters of; *collect* tells whose each row is."""
        self._pool = pool
        self._statement = statement
        self._encode = encode
        self._collect = collect
        self._busy = False
        self._keys: dict[K, None] = {}
        self._answer: Promise[dict[K, V]] = Promise()

    async def load(self, keys: Iterable[K]) -> dict[K, V]:
        """Return by key what was found of *keys*, and of those asked for together with them."""
        wanted = dict.fromkeys(keys)
        if not wanted:
            return {}
        self._keys.update(wanted)
        answer = self._answer
        if not self._busy:
            self._busy = True
            spawn(self._statement.name, self._run())
        try:
            return await answer
        except Unavailable as error:
            raise Unavailable(*error.args) from error  # one of its own: the caller notes on it what it saw

    async def _run(self) -> None:
        while self._keys:
            keys, answer = list(self._keys), self._answer
            self._keys, self._answer = {}, Promise()
            try:
                found = await self._query(keys)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is for those who asked
                answer.fail(error)
            else:
                answer.resolve(found)
        self._busy = False

    async def _query(self, keys: list[K]) -> dict[K, V]:
        found: dict[K, V] = {}
        for first in range(0, len(keys), _MAX_KEYS):
            chunk = keys[first : first + _MAX_KEYS]
            (result,) = await self._pool.query([(self._statement, self._encode(chunk))])
            found.update(self._collect(chunk, tuples(result)))
        return found
