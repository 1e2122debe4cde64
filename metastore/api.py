"""The door of the metastore: what the namespace and the appliance may ask of it.

Two implementations pass the same contract tests: PostgreSQL (`metastore.postgres`) and memory (`metastore.memory`).

Rules that every implementation keeps
- *Order.* Batch n+1 is never durable before batch n. What a load or page returns is the state after some batch,
  and that batch is at least the one that was durable when the call was made.
- *Fence.* A batch that touches a volume whose holder or epoch is not the one this gateway took is refused whole.
- *Known outcome.* `wait` returns only for a batch that is durable, and raises `NoReply` only when it never will be or
  this gateway may not know. A lost connection is settled (old backend gone, then batch number looked up) before.
- *Refused.* After a refusal every volume of the batch is crashed: its queued Changes are dropped, its waiters get
  `NoReply`, and `refused` is called once per volume. `commit` for it raises `NoReply` until it is taken again.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from metastore.records import (
        AccessKey,
        Account,
        Blob,
        Change,
        Edge,
        Export,
        Extent,
        Gateway,
        Inode,
        KeyEntry,
        Named,
        Node,
        ObjectMeta,
        Part,
        Reply,
        RingRow,
        Upload,
        Version,
        VersionEntry,
        Volume,
    )


class VolumeTaken(Exception):
    """The volume is not held as the taker saw it any more: somebody was faster."""


class GatewayGone(Exception):
    """The row of this run is gone or ended: others took it for dead and removed it. Only a new run may go on."""


class NumberBlock(Struct, frozen=True, gc=False):
    """Numbers first..last (inclusive) that nobody else will ever use."""

    first: int
    last: int


class Holding(Struct, frozen=True, gc=False):
    """A volume that this gateway took: what it needs to serve it."""

    volume: Volume
    replies: tuple[Reply, ...]  # the reply cache, oldest first


class Finding(Struct, frozen=True, gc=False):
    """One thing that `gatefold check` found wrong."""

    vol: int
    rule: str  # stable name of the broken rule, e.g. "inode.nlink"
    subject: str  # what breaks it, for people, e.g. "ino 17"
    detail: str
    # For repair: the subject's own number (an inode, a content, a blob, the directory of a name), its name or the id
    # of its upload, and what its value should be, where the rows leave no doubt of that.
    number: int = 0
    name: bytes = b""
    right: int | None = None


class Backlog(Struct, frozen=True, gc=False):
    """What waits to be freed in a volume: facts, no faults."""

    contents: int = 0  # detached contents, drafts of closed epochs included
    extents: int = 0  # of those
    drafts: int = 0  # contents that the present epoch is building
    ended_uploads: int = 0  # their parts are freed first
    parts: int = 0  # of those
    unreferenced_blobs: int = 0  # to be doomed
    doomed_blobs: int = 0  # to be deleted by the nodes
    oldest: int = 0  # ns when the oldest of all this began to wait; 0 = nothing waits, or nothing that says so


class AuditedEdge(Struct, frozen=True, gc=False):
    """A name with what the rules of names ask for."""

    edge: Edge
    type: int  # FileType of what it names; 0 = nothing
    twin: Edge | None  # for anything but a directory: the directory of the same name beside it


class Step(IntEnum):
    """What a walk does with a directory that it comes to."""

    INTO = 0  # list it if it is explicit, and read it
    OVER = 1  # list it as one key, whatever it is and holds, and do not read it
    PAST = 2  # neither list nor read it


#: Asked once for each directory of a walk, with its path below the top and its inode as the database has it.
Steer: TypeAlias = "Callable[[bytes, Inode], Step]"


class Numbers(Protocol):
    """Numbers reserved ahead in blocks and never used twice."""

    async def reserve(self, vol: int, kind: str, count: int) -> NumberBlock:
        """Reserve *count* numbers of *kind* ("ino", "cookie" or "content") in one fenced commit.

        Raise NoReply if fenced.
        """

    async def reserve_blobs(self, vol: int, count: int) -> NumberBlock:
        """Reserve *count* blob ids for this gateway's epoch of *vol*: a `blob_range` row in one fenced commit."""


class Commits(Protocol):
    """Group commit."""

    #: Called with (volume, error) once per volume when a batch was refused.
    refused: Callable[[int, BaseException], object]

    @property
    def durable(self) -> int:
        """Return the number of the last batch known to be durable; 0 before the first."""

    @property
    def pending_bytes(self) -> int:
        """Return about how many bytes of Changes are not durable yet."""

    def commit(self, change: Change) -> int:
        """Queue *change*, never waiting, and return the number of the batch that it will be in."""

    async def wait(self, vol: int, batch: int) -> None:
        """Return when *batch* is durable; raise NoReply if *vol* crashed or the outcome stays unknown.

        With *vol* 0, the number of no volume, return when *batch* is settled, whatever became of it.
        """


class Loads(Protocol):
    """Batched look-ups. Calls made while one is under way share the next query."""

    async def load_inodes(self, vol: int, inos: Sequence[int]) -> list[Inode]:
        """Return the inodes among *inos* that exist, in any order."""

    async def load_edges(self, vol: int, keys: Sequence[tuple[int, bytes]]) -> list[Named]:
        """Return the entries among (parent, skey) that exist, with their inodes."""

    async def load_alias(self, vol: int, parent: int, alias: bytes) -> Named | None:
        """Return the entry of *parent* whose NFS alias is *alias*."""

    async def resolve_path(self, vol: int, top: int, components: Sequence[bytes]) -> list[Named]:
        """Walk directories in one query: entry of *top*, entry in that, and so on, as far as they exist.

        *components* are skeys (all but the last end in `/`). The result is shorter than *components* where one is
        missing.
        """

    async def load_extents(self, vol: int, content: int, start: int, limit: int) -> list[Extent]:
        """Return at most *limit* extents of *content* that end after *start*, by offset."""

    async def load_blob(self, vol: int, blob: int) -> Blob | None:
        """Return the row of *blob*: where its copies were placed."""

    async def load_meta(self, vol: int, ino: int) -> ObjectMeta | None:
        """Return the S3 metadata of *ino*."""


class Pages(Protocol):
    """Keyset pages: O(page + depth), never an OFFSET. Ghost entries never appear."""

    async def page_by_cookie(self, vol: int, parent: int, after: int, limit: int) -> list[Named]:
        """Return the next entries of *parent* with a cookie > *after*, by cookie."""

    async def page_unlisted(self, vol: int, after: tuple[int, bytes], limit: int) -> list[Named]:
        """Return entries that S3 does not list with (parent, skey) > *after*, in that order, from all directories."""

    async def walk(
        self, vol: int, top: int, lower: bytes, upper: bytes | None, limit: int, steer: Steer | None = None
    ) -> list[KeyEntry]:
        """Return the listed keys below *top* with lower <= path < upper, in exact byte order of their paths.

        A path is the skeys below *top* joined: `dir/file`. Files are keys; an EXPLICIT directory is the key `dir/`
        (before what lies in it); an implied one is not. Directories are entered in batches, not one query each, and
        only those that *steer* sends the walk into: what lies in others costs nothing.
        """


class Uploads(Protocol):
    """Multipart uploads and their parts, which batches write like every other row."""

    async def load_upload(self, vol: int, upload_id: bytes) -> Upload | None:
        """Return one upload's row, ended or not."""

    async def load_parts(self, vol: int, upload_id: bytes, after: int, limit: int) -> list[Part]:
        """Return at most *limit* parts with a number > *after*, by number."""

    async def page_uploads(self, vol: int, after: tuple[bytes, bytes], upper: bytes | None, limit: int) -> list[Upload]:
        """Return uploads in progress with (key, id) > *after* and key < *upper* (None = no bound), in that order."""


#: Tells whether a walk enters a directory.
Enters: TypeAlias = "Callable[[Inode], bool]"


class Histories(Protocol):
    """Versions of names, which batches write like every other row."""

    async def load_versions(self, vol: int, parent: int, skey: bytes, start: int, limit: int) -> list[Version]:
        """Return at most *limit* versions of a name with a seq >= *start*, by seq: from `NEWEST` on, newest first."""

    async def load_null_version(self, vol: int, parent: int, skey: bytes) -> Version | None:
        """Return the `null` version of a name."""

    async def load_names(self, vol: int, ino: int, limit: int) -> list[Edge]:
        """Return at most *limit* of the entries that name *ino*, ghosts excluded."""

    async def walk_versions(
        self, vol: int, top: int, lower: tuple[bytes, int], upper: bytes | None, limit: int, enters: Enters
    ) -> list[VersionEntry]:
        """Return the versions of all keys below *top* with lower <= (path, seq) and path < upper: by path, then by seq.

        A directory that *enters* says no of is left out with its key and all below it. Ghosts are entered, delete
        markers are told. A key without rows is its own `null` version: it comes with a version of seq 0, an EXPLICIT
        directory as `dir/` too.
        """


class Volumes(Protocol):
    """Volumes, and who serves them."""

    async def register_gateway(self, name: str, address: str = "") -> Gateway:
        """Insert a row for this run of the process and return it; every later fence uses its id."""

    @property
    def gateway_id(self) -> int:
        """Return the id that `register_gateway` drew; 0 before."""

    async def renew(self) -> None:
        """Add one to this run's beat, durably; raise GatewayGone if the row is gone or has ended.

        Whoever sees the beat stand still for a whole lease takes this run for dead: `namespace.lease` has the rule.
        """

    async def gateways(self) -> list[Gateway]:
        """Return every run that has a row, by id."""

    async def end_gateway(self) -> None:
        """Mark this run as ended (beat -1): whatever it should still hold is free at once."""

    async def forget_gateway(self, gateway: Gateway) -> bool:
        """Remove the row of a dead run that holds nothing and whose beat is still *gateway*'s; say whether it went."""

    async def volumes(self) -> list[Volume]:
        """Return every volume, by name."""

    async def volumes_elsewhere(self) -> list[Volume]:
        """Return the volumes that this gateway does not hold, by name."""

    async def create_volume(self, volume: Volume, root: Inode) -> Volume:
        """Insert *volume* (its number is chosen here) held by this gateway at epoch 1, with its *root* directory.

        Raise BucketExists if the name is taken.
        """

    async def drop_volume(self, vol: int) -> None:
        """Delete an empty volume this gateway holds, in one fenced commit; its blobs become reclaimable.

        Raise BucketNotEmpty if its root has entries or history.
        """

    async def change_settings(self, vol: int, changes: dict[str, str]) -> Volume:
        """Set *changes* among the settings of a volume this gateway holds, in one fenced commit; return its row.

        Raise NoReply if fenced.
        """

    async def volume_of(self, vol: int) -> Volume | None:
        """Return the row of *vol* as it is now, its holder included."""

    async def volume_named(self, name: str) -> Volume | None:
        """Return the row of the volume *name* as it is now."""

    async def take_volume(self, vol: int, holder: int, epoch: int) -> Holding:
        """Make this gateway the holder: epoch + 1, committed before anything is loaded.

        Only if *holder* still holds it at *epoch*: of all who saw the same, one call wins, within this process too.
        Raise VolumeTaken for the others, BucketNotFound, or GatewayGone if this run's row is gone or has ended.
        """

    async def release_volume(self, vol: int) -> None:
        """Hold *vol* no more (holder 0), once all that was committed is durable; nothing happens if fenced."""

    async def connected_gateways(self) -> list[Gateway]:
        """Return the other gateways that are connected to commit just now, by number."""


class Garbage(Protocol):
    """What is no longer referenced, freed in fenced steps of bounded size."""

    async def reclaim(self, vol: int, limit: int) -> int:
        """Free at most *limit* extents of detached contents; return how many, 0 only when there is no backlog.

        Drafts of the volume's present epoch are left alone.
        """

    async def reap_uploads(self, vol: int, now_ns: int, limit: int) -> int:
        """Detach (to `reclaim`) at most *limit* parts of uploads that have ended, and drop those without parts.

        Return how many, 0 only when there is no backlog.
        """

    async def doom(self, vol: int, now_ns: int, limit: int) -> int:
        """Mark at most *limit* blobs with refs 0 as doomed at *now_ns*, irrevocably; return how many."""

    async def doomed(self, vol: int, before_ns: int, limit: int) -> list[Blob]:
        """Return blobs doomed before *before_ns*."""

    async def forget_blobs(self, vol: int, ids: Sequence[int]) -> None:
        """Delete the rows of doomed blobs whose copies the nodes have dropped."""

    async def dropped_volumes(self) -> list[int]:
        """Return the numbers of dropped volumes that still have blobs; all of those are doomed."""

    async def unreferenced(self, vol: int, ids: Sequence[int]) -> list[int]:
        """Return those of *ids* that have no blob row and lie in ranges of closed epochs: garbage on the nodes."""


class Directory(Protocol):
    """Who and what the appliance knows: accounts, keys, exports, nodes, ring. Small tables, read whole."""

    async def accounts(self) -> list[Account]: ...
    async def access_keys(self) -> list[AccessKey]: ...
    async def exports(self) -> list[Export]: ...
    async def nodes(self) -> list[Node]: ...
    async def put_account(self, account: Account) -> None: ...
    async def put_access_key(self, key: AccessKey) -> None: ...
    async def drop_account(self, account: str) -> bool:
        """Remove the account *account* and its keys, unless a volume is its; say whether there is none now."""

    async def drop_access_key(self, access_key: str) -> None: ...
    async def put_export(self, export: Export) -> None: ...
    async def drop_export(self, path: str) -> None: ...
    async def put_node(self, node: Node) -> None: ...
    async def ring(self) -> RingRow | None:
        """Return the newest ring."""

    async def put_ring(self, ring: RingRow) -> None:
        """Add *ring*; raise ValueError unless its epoch is the newest one's plus one."""


class Audit(Protocol):
    """The metastore's half of `gatefold check`: short keyset transactions that change nothing."""

    def audit(self, vol: int) -> AsyncIterator[Finding]:
        """Yield what is wrong in *vol*: tree, cycles, counters, links, extents, references, uploads, numbers.

        Of very many findings of one rule only some may be told.
        """

    def edges(self, vol: int) -> AsyncIterator[AuditedEdge]:
        """Yield every name of *vol* by directory and skey, ghosts included: the rules of names are the namespace's."""

    async def names_of(self, vol: int, ino: int, limit: int) -> list[Edge]:
        """Return at most *limit* names of *ino*, ghosts included, by directory and skey."""

    async def backlog(self, vol: int) -> Backlog:
        """Count what waits to be freed in *vol*."""

    def live_blobs(self, vol: int) -> AsyncIterator[Blob]:
        """Yield every blob that is not doomed, by id: the nodes must hold their copies."""


class MetaStore(Numbers, Commits, Loads, Pages, Uploads, Histories, Volumes, Garbage, Directory, Audit, Protocol):
    """All names, attributes and body maps."""

    async def open(self) -> None:
        """Connect, refuse an unfit or newer database, and be ready for every other call."""

    async def close(self) -> None:
        """Finish the batch under way and disconnect."""
