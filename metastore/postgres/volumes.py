"""Volumes and who serves them, and numbers reserved in blocks."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from foundation.crash import crash_point
from foundation.errors import BucketExists, BucketNotEmpty, BucketNotFound, NoReply
from metastore import schema
from metastore.api import Holding, NumberBlock
from metastore.postgres.committer import LOCK_CLASS
from metastore.postgres.decoding import INODE_COLUMNS, VOLUME_COLUMNS, volume
from metastore.postgres.encoding import INT8, JSON, TEXT, bigint
from metastore.postgres.parts import FENCED, Parts
from metastore.postgres.rows import ROW_TABLES, quoted
from metastore.postgres.session import SqlError, Statement
from metastore.records import FIRST_COOKIE, ROOT_INO, Gateway, Inode, Reply, Volume

_take_after_commit = crash_point("take_volume.after_commit")
_reserve_after_commit = crash_point("reserve.after_commit")

#: SQLSTATE of gatefold_drop_volume: the volume is not empty.
_NOT_EMPTY = "GF003"
#: A volume that is taken over brings at most so many replies, the newest; read so many rows at a time.
_MAX_REPLIES, _REPLY_ROWS = 65_536, 256
_NUMBERS = {"ino": ROOT_INO + 1, "cookie": FIRST_COOKIE, "content": 1, "blob": 1}

_REGISTER = Statement(
    "register", "INSERT INTO gateway (name, started, address, beat) VALUES ($1, $2, '', 0) RETURNING id", (TEXT, INT8)
)
#: The committer of a connected gateway holds an advisory lock under the gateway's number.
_CONNECTED = Statement(
    "connected gateways",
    f"""
    SELECT DISTINCT {quoted(schema.gateway.columns, "g.")} FROM pg_locks l JOIN gateway g ON g.id = l.objid::bigint
    WHERE l.locktype = 'advisory' AND l.granted AND l.classid = {LOCK_CLASS} AND g.id <> $1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY 1
    """,
    (INT8,),
)
_VOLUMES = Statement("volumes", f"SELECT {VOLUME_COLUMNS} FROM volume v ORDER BY v.name", ())
_MARKS = ", ".join(f"next_{kind}" for kind in _NUMBERS)
_ROOT = ROW_TABLES[Inode].upsert.types
_CREATE = Statement(
    "create volume",
    f"""
    WITH made AS (
        INSERT INTO volume (name, owner, created, holder, epoch, settings, {_MARKS})
        VALUES ($1, $2, $3, $4, 1, $5, {", ".join(str(first) for first in _NUMBERS.values())})
        ON CONFLICT (name) DO NOTHING RETURNING vol
    ), root AS (
        INSERT INTO inode SELECT made.vol, {INODE_COLUMNS.removeprefix('i."vol", ')}
        FROM made, unnest({", ".join(f"${number + 6}" for number in range(len(_ROOT)))})
          AS i ({INODE_COLUMNS.replace("i.", "")})
    )
    SELECT vol FROM made
    """,
    (TEXT, TEXT, INT8, INT8, JSON, *_ROOT),
)
#: Was it this gateway that made the volume, at an attempt whose answer was lost? The root's number says so.
_MADE_BEFORE = Statement(
    "made before",
    "SELECT v.vol FROM volume v JOIN inode i ON i.vol = v.vol AND i.ino = $3 AND i.gen = $4"
    " WHERE v.name = $1 AND v.holder = $2 AND v.epoch = 1",
    (TEXT, INT8, INT8, INT8),
)
_DROP = Statement("drop volume", "SELECT gatefold_drop_volume($1, $2, $3, $4)", (INT8, INT8, INT8, INT8))
_TAKE = Statement(
    "take volume",
    f"UPDATE volume v SET holder = $2, epoch = epoch + 1 WHERE vol = $1 RETURNING {VOLUME_COLUMNS}",
    (INT8, INT8),
)
_REPLIES = Statement(
    "read replies",
    "SELECT epoch, number, replies FROM reply_cache WHERE vol = $1 AND (epoch, number) < ($2, $3)"
    f" ORDER BY epoch DESC, number DESC LIMIT {_REPLY_ROWS}",
    (INT8, INT8, INT8),
)
_RESERVE = {
    kind: Statement(
        f"reserve {kind}",
        f"UPDATE volume SET next_{kind} = next_{kind} + $4 WHERE vol = $1 AND holder = $2 AND epoch = $3"
        f" RETURNING next_{kind} - $4",
        (INT8, INT8, INT8, INT8),
    )
    for kind in ("ino", "cookie", "content")
}
_RESERVE_BLOBS = Statement(
    "reserve blobs",
    """
    WITH reserved AS (
        UPDATE volume SET next_blob = next_blob + $4 WHERE vol = $1 AND holder = $2 AND epoch = $3
        RETURNING next_blob - $4 AS first, next_blob - 1 AS last
    )
    INSERT INTO blob_range (vol, first, last, gateway, epoch) SELECT $1, first, last, $2, $3 FROM reserved
    RETURNING first
    """,
    (INT8, INT8, INT8, INT8),
)
_Packed = msgspec.msgpack.Decoder(list[tuple[bytes, bytes]])


class PgVolumes(Parts):
    """`metastore.api.Volumes` and `Numbers` over PostgreSQL.

    Each call may be sent twice when a connection is lost in the middle: a number block is wasted then, or an epoch
    skipped, and nothing else happens.
    """

    async def register_gateway(self, name: str) -> Gateway:
        """Insert a row for this run, and start committing under its number."""
        started = self._clock.now_ns()
        rows = await self._query((_REGISTER, [name.encode(), bigint(started)]))
        gateway = Gateway(rows[0][0], name, started)
        await self._committer.start(gateway.id)
        self._gateway = gateway.id
        return gateway

    async def volumes(self) -> list[Volume]:
        """Return every volume, by name."""
        return sorted(map(volume, await self._query((_VOLUMES, []))), key=lambda each: each.name)

    async def connected_gateways(self) -> list[Gateway]:
        """Return the other gateways whose committer is connected, by number."""
        return [Gateway(*row) for row in await self._query((_CONNECTED, [bigint(self._gateway)]))]

    async def create_volume(self, made: Volume, root: Inode) -> Volume:
        """Insert *made* with its *root*, held by this gateway at epoch 1; raise BucketExists."""
        name = made.name.encode()
        settings = msgspec.json.encode(made.settings)
        parameters = [name, made.owner.encode(), bigint(made.created), bigint(self._gateway), settings]
        rows = await self._query((_CREATE, [*parameters, *ROW_TABLES[Inode].encode_rows([root])]))
        if not rows:
            rows = await self._query((_MADE_BEFORE, [name, *map(bigint, (self._gateway, ROOT_INO, root.gen))]))
        if not rows:
            raise BucketExists(made.name)
        vol = rows[0][0]
        self._ledger.serve(vol, 1)
        return replace(made, vol=vol, holder=self._gateway, epoch=1)

    async def drop_volume(self, vol: int) -> None:
        """Delete an empty volume that this gateway holds; raise BucketNotEmpty, or NoReply if fenced."""
        await self._ledger.wait(vol, self._ledger.last)
        epoch = self._epoch(vol)
        parameters = [bigint(each) for each in (self._gateway, vol, epoch, self._clock.now_ns())]
        try:
            await self._query((_DROP, parameters))
        except SqlError as error:
            if error.sqlstate == _NOT_EMPTY:
                raise BucketNotEmpty(f"volume {vol}") from error
            if error.sqlstate == FENCED:
                raise NoReply(str(error)) from error
            raise
        self._ledger.leave(vol)

    async def take_volume(self, vol: int) -> Holding:
        """Make this gateway the holder, and only then load; raise BucketNotFound."""
        if self._committer.stopped is not None:
            raise self._committer.stopped
        self._ledger.leave(vol)
        rows = await self._query((_TAKE, [bigint(vol), bigint(self._gateway)]))
        _take_after_commit()
        if not rows:
            raise BucketNotFound(f"volume {vol}")
        taken = volume(rows[0])
        replies = await self._replies(vol, taken.epoch)
        self._ledger.serve(vol, taken.epoch)
        return Holding(taken, replies)

    async def _replies(self, vol: int, epoch: int) -> tuple[Reply, ...]:
        """Return the newest replies of *vol*, oldest first."""
        newest_first: list[Reply] = []
        place = (epoch, 0)
        while len(newest_first) < _MAX_REPLIES:
            rows = await self._query((_REPLIES, [bigint(vol), *map(bigint, place)]))
            for _, _, packed in rows:
                newest_first.extend(Reply(*each) for each in reversed(_Packed.decode(packed)))
            if len(rows) < _REPLY_ROWS:
                break
            place = rows[-1][:2]
        return tuple(reversed(newest_first[:_MAX_REPLIES]))

    # -- numbers ------------------------------------------------------------------------------------------------

    async def reserve(self, vol: int, kind: str, count: int) -> NumberBlock:
        """Reserve *count* numbers of *kind* in one fenced commit; raise NoReply if fenced."""
        statement = _RESERVE.get(kind)
        if statement is None:
            raise ValueError(f"no such kind of number: {kind}")
        return await self._reserve(statement, vol, count)

    async def reserve_blobs(self, vol: int, count: int) -> NumberBlock:
        """Reserve *count* blob ids for this gateway's epoch of *vol* in one fenced commit; raise NoReply if fenced."""
        return await self._reserve(_RESERVE_BLOBS, vol, count)

    async def _reserve(self, statement: Statement, vol: int, count: int) -> NumberBlock:
        if count < 1:
            raise ValueError(f"cannot reserve {count} numbers")
        epoch = self._epoch(vol)
        rows = await self._query((statement, [bigint(each) for each in (vol, self._gateway, epoch, count)]))
        _reserve_after_commit()
        if not rows:
            raise NoReply(f"volume {vol} is not held at epoch {epoch} any more")
        first = rows[0][0]
        return NumberBlock(first, first + count - 1)
