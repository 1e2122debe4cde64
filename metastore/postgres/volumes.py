"""Volumes and who serves them, and numbers reserved in blocks."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from foundation.crash import crash_point
from foundation.errors import BucketExists, BucketNotEmpty, BucketNotFound, NoReply
from metastore.api import GatewayGone, Holding, NumberBlock, VolumeTaken
from metastore.postgres.committer import END_BACKENDS
from metastore.postgres.decoding import INODE_COLUMNS, VOLUME_COLUMNS, tuples, volume
from metastore.postgres.encoding import INT8, JSON, TEXT, bigint
from metastore.postgres.parts import FENCED, Parts
from metastore.postgres.rows import ROW_TABLES
from metastore.postgres.session import SqlError, Statement
from metastore.records import FIRST_COOKIE, ROOT_INO, Inode, Reply, Volume

_take_after_commit = crash_point("take_volume.after_commit")
_release_after_commit = crash_point("release_volume.after_commit")
_reserve_after_commit = crash_point("reserve.after_commit")

#: SQLSTATE of gatefold_drop_volume: the volume is not empty.
_NOT_EMPTY = "GF003"
#: A volume that is taken over brings at most so many replies, the newest: as many as calls can be in flight at all
#: connections of the NFS door. Loading them takes 0.1 s and 35 MB (ADR 0022). Read so many rows at a time.
_MAX_REPLIES, _REPLY_ROWS = 262_144, 256
_NUMBERS = {"ino": ROOT_INO + 1, "cookie": FIRST_COOKIE, "content": 1, "blob": 1}

_VOLUMES = Statement("volumes", f"SELECT {VOLUME_COLUMNS} FROM volume v ORDER BY v.name", ())
_ELSEWHERE = Statement("volumes elsewhere", f"SELECT {VOLUME_COLUMNS} FROM volume v WHERE v.holder <> $1", (INT8,))
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
#: $3 and $4 are what the taker saw. A run whose row is gone takes nothing: others count its volumes as free.
_TAKE = Statement(
    "take volume",
    """
    WITH me AS (SELECT id FROM gateway WHERE id = $2 AND beat >= 0 FOR KEY SHARE)
    UPDATE volume v SET holder = me.id, epoch = v.epoch + 1 FROM me WHERE v.vol = $1 AND v.holder = $3 AND v.epoch = $4
    """,
    (INT8, INT8, INT8, INT8),
)
_SETTINGS = Statement(
    "change settings",
    "UPDATE volume v SET settings = (v.settings::jsonb || $4::jsonb)::json"
    f" WHERE vol = $1 AND holder = $2 AND epoch = $3 RETURNING {VOLUME_COLUMNS}",
    (INT8, INT8, INT8, JSON),
)
_RELEASE = Statement(
    "release volume",
    "UPDATE volume SET holder = 0 WHERE vol = $1 AND holder = $2 AND epoch = $3",
    (INT8, INT8, INT8),
)
_VOLUME_OF = Statement("volume", f"SELECT {VOLUME_COLUMNS} FROM volume v WHERE v.vol = $1", (INT8,))
_VOLUME_NAMED = Statement("volume named", f"SELECT {VOLUME_COLUMNS} FROM volume v WHERE v.name = $1", (TEXT,))
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

    _won: dict[int, int]  # volume -> the highest epoch that a call of this process won

    async def volumes(self) -> list[Volume]:
        """Return every volume, by name."""
        return sorted(map(volume, await self._query((_VOLUMES, []))), key=lambda each: each.name)

    async def volumes_elsewhere(self) -> list[Volume]:
        """Return the volumes that this gateway does not hold, by name."""
        rows = await self._query((_ELSEWHERE, [bigint(self._gateway)]))
        return sorted(map(volume, rows), key=lambda each: each.name)

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
        self._won[vol] = 1
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

    async def change_settings(self, vol: int, changes: dict[str, str]) -> Volume:
        """Set *changes* among the settings of *vol* in one fenced commit; raise NoReply if fenced."""
        fence = [bigint(each) for each in (vol, self._gateway, self._epoch(vol))]
        rows = await self._query((_SETTINGS, [*fence, msgspec.json.encode(changes)]))
        if not rows:
            raise NoReply(f"volume {vol} is not held any more")
        return volume(rows[0])

    async def volume_of(self, vol: int) -> Volume | None:
        """Return the row of *vol* as it is now."""
        rows = await self._query((_VOLUME_OF, [bigint(vol)]))
        return volume(rows[0]) if rows else None

    async def volume_named(self, name: str) -> Volume | None:
        """Return the row of the volume *name* as it is now."""
        rows = await self._query((_VOLUME_NAMED, [name.encode()]))
        return volume(rows[0]) if rows else None

    async def take_volume(self, vol: int, holder: int, epoch: int) -> Holding:
        """Become the holder if *holder* holds *vol* at *epoch*, and only then load.

        Raise VolumeTaken, BucketNotFound or GatewayGone.
        """
        if self._committer.stopped is not None:
            raise self._committer.stopped
        if holder not in (0, self._gateway):
            # Stopped in the middle of sending a batch, it would keep the row locked for as long as it likes.
            await self._query((END_BACKENDS, [bigint(holder)]))
        take = (_TAKE, [bigint(each) for each in (vol, self._gateway, holder, epoch)])
        row = (_VOLUME_OF, [bigint(vol)])
        rows = tuples((await self._link.query([take, row]))[1])
        _take_after_commit()
        if not rows:
            self._ledger.leave(vol)
            raise BucketNotFound(f"volume {vol}")
        self._claim(volume(rows[0]), holder, epoch)
        self._ledger.leave(vol)
        replies = await self._replies(vol, epoch + 1)
        if self._won[vol] != epoch + 1:
            raise VolumeTaken(f"volume {vol} was taken again, at epoch {self._won[vol]}")
        self._ledger.serve(vol, epoch + 1)
        return Holding(volume(rows[0]), replies)

    def _claim(self, found: Volume, holder: int, epoch: int) -> None:
        """Let one call of this process win *found*, the row after an attempt to take it; raise for all others.

        The row alone cannot tell: an attempt whose answer was lost is sent again and finds its own work.
        """
        if found.holder != self._gateway:
            self._ledger.leave(found.vol)
        if (found.holder, found.epoch) == (holder, epoch):
            raise GatewayGone(f"gateway {self._gateway} has no living row")
        if (found.holder, found.epoch) != (self._gateway, epoch + 1) or self._won.get(found.vol, 0) > epoch:
            raise VolumeTaken(f"volume {found.vol} is held by gateway {found.holder} at epoch {found.epoch}")
        self._won[found.vol] = found.epoch

    async def release_volume(self, vol: int) -> None:
        """Hold *vol* no more, once all that was committed is durable."""
        epoch = self._ledger.epochs.get(vol)
        if epoch is None:
            return
        await self._ledger.wait(vol, self._ledger.last)
        await self._query((_RELEASE, [bigint(each) for each in (vol, self._gateway, epoch)]))
        _release_after_commit()
        if self._ledger.epochs.get(vol) == epoch:
            self._ledger.leave(vol)

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
