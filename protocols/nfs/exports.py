"""Export rules: which client may use which volume, and as whom (ADR 23).

Rules name buckets, as clients do. They are looked up on every call, by client address, volume and the export id in the
handle; what `replace` changes holds from the next call on. Answers are remembered until then, so that a call costs one
dictionary look-up.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from foundation.errors import AccessDenied, InvalidArgument, StaleHandle
from namespace.api import TOP_VOL, Caller

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocols.nfs.credentials import Credential

Squash: TypeAlias = Literal["none", "root", "all"]
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Export id of whole-bucket exports and of the root export: their handles are the canonical ones.
WHOLE = 0
#: Sub-directory exports have ids from 1 to this: a handle has 16 bits for it.
MAX_EXPORT_ID = 0xFFFF
#: The largest uid and gid: they have 32 bits.
MAX_ID = 0xFFFF_FFFF
#: Ports that only the super-user of a client may send from.
_PRIVILEGED_PORTS = range(1024)
#: Remembered answers; forgotten all at once when there are more.
_REMEMBERED = 8192


class Export(Struct, frozen=True):
    """A directory that NFS clients may mount. A bucket may be made, or made anew, after its export."""

    path: str  # as the client names it: `/` for all buckets, `/bucket`, or `/bucket/dir`
    clients: tuple[str, ...]  # networks in CIDR form; host bits may be set
    read_only: bool = False
    squash: Squash = "root"
    anon_uid: int = 65534
    anon_gid: int = 65534
    id: int = WHOLE  # a sub-directory export's number, 1..MAX_EXPORT_ID, never used for another
    secure: bool = False  # only from ports below 1024
    make_buckets: bool = False  # `/` alone: mkdir there makes a bucket, rmdir removes an empty one


class UnknownVolume(Exception):
    """The name of a volume has to be learned before the rules can be asked."""

    def __init__(self, vol: int) -> None:
        """Name the volume."""
        super().__init__(f"volume {vol}")
        self.vol = vol


class Exports:
    """The rules in force. Construct it with records, `replace` them at any time."""

    def __init__(self, exports: Iterable[Export] = ()) -> None:
        """Start with *exports*; raise InvalidArgument for a record that makes no sense."""
        self._rules: tuple[_Rule, ...] = ()
        self._callers: dict[tuple[str, Credential, int, int], tuple[Caller, Export]] = {}
        self._names: dict[int, str] = {TOP_VOL: ""}  # of volumes; a volume never has another
        self.replace(exports)

    def replace(self, exports: Iterable[Export]) -> None:
        """Put *exports* in force; raise InvalidArgument, and change nothing, for a record that makes no sense."""
        rules = sorted((_Rule(export) for export in exports), key=lambda rule: len(rule.components), reverse=True)
        ids = [rule.export.id for rule in rules if rule.export.id != WHOLE]
        paths = [rule.components for rule in rules]
        if len(set(ids)) != len(ids) or len(set(paths)) != len(paths):
            raise InvalidArgument("two exports have one id or one path")
        self._rules = tuple(rules)  # the longest path first
        self._callers.clear()

    def every(self) -> list[Export]:
        """Return the rules in force, by path."""
        return sorted((rule.export for rule in self._rules), key=lambda export: export.path)

    def learn(self, vol: int, bucket: str) -> None:
        """Remember for good that *vol* is the volume of *bucket*."""
        self._names[vol] = bucket

    def enter(self, host: str, credential: Credential, vol: int, export_id: int) -> tuple[Caller, Export]:
        """Return who *credential* is on *vol*, and by which export.

        Raises StaleHandle when nothing exports the volume any more, AccessDenied when nothing exports it to *host*,
        UnknownVolume before the volume's name is known.
        """
        key = (host, credential, vol, export_id)
        known = self._callers.get(key)
        if known is None:
            export = self._export(host, vol, export_id)
            if len(self._callers) >= _REMEMBERED:
                self._callers.clear()
            known = self._callers[key] = (squash(export, credential), export)
        return known

    def find(self, host: str, path: str) -> tuple[Export, tuple[str, ...]]:
        """Return the export at *path* or nearest above it, and the components below the export.

        Raises AccessDenied when there is none for *host*, or *path* has a `..`: which paths exist is not told.
        """
        components = components_of(path)
        if ".." not in components:
            for rule in self._rules:
                length = len(rule.components)
                if components[:length] == rule.components and rule.admits(host):
                    return rule.export, components[length:]
        raise AccessDenied(path)

    def visible(self, host: str) -> list[Export]:
        """Return the exports that *host* may mount, by path."""
        return sorted((rule.export for rule in self._rules if rule.admits(host)), key=lambda export: export.path)

    def _export(self, host: str, vol: int, export_id: int) -> Export:
        """Return the rule for a handle; the bucket's own export goes before the root export."""
        bucket = self._names.get(vol)
        if bucket is None:
            raise UnknownVolume(vol)
        rules = [rule for rule in self._rules if rule.covers(bucket, export_id)]
        if not rules:
            raise StaleHandle(f"volume {vol} is not exported")
        for rule in rules:
            if rule.admits(host):
                return rule.export
        raise AccessDenied(f"volume {vol} is not exported to {host}")


class _Rule:
    """An export with its path and networks parsed."""

    def __init__(self, export: Export) -> None:
        """Parse *export*; raise InvalidArgument."""
        self.export = export
        self.components = components_of(export.path)
        wrong = _what_is_wrong(export, self.components)
        if wrong:
            raise InvalidArgument(f"export {export.path!r}: {wrong}")
        try:
            self._networks: list[Network] = [ipaddress.ip_network(net, strict=False) for net in export.clients]
        except ValueError as error:
            raise InvalidArgument(f"export {export.path!r}: clients: {error}") from error

    def admits(self, host: str) -> bool:
        """Tell whether *host*, an address, is in one of the networks."""
        address = client_address(host)
        return any(address.version == network.version and address in network for network in self._networks)

    def covers(self, bucket: str, export_id: int) -> bool:
        """Tell whether this export can answer for a handle of *bucket* (none: of their directory) and *export_id*."""
        return export_id == self.export.id and self.components[:1] in {(), (bucket,)}


def _what_is_wrong(export: Export, components: tuple[str, ...]) -> str:
    """Say what makes no sense; nothing if all does."""
    if not export.path.startswith("/") or ".." in components or "\0" in export.path:
        return "path: wanted `/`, `/bucket` or `/bucket/dir`"
    if (len(components) > 1) != (export.id != WHOLE) or not WHOLE <= export.id <= MAX_EXPORT_ID:
        return f"id: a sub-directory, and nothing else, has one of its own (1 to {MAX_EXPORT_ID})"
    if export.squash not in {"none", "root", "all"}:
        return f"squash: {export.squash!r} is none of none, root, all"
    if not all(0 <= number <= MAX_ID for number in (export.anon_uid, export.anon_gid)):
        return f"anon_uid, anon_gid: wanted 0 to {MAX_ID}"
    return "make_buckets: only `/` has buckets to make" if export.make_buckets and components else ""


def check_port(export: Export, port: int) -> None:
    """Raise AccessDenied where *export* wants calls from privileged ports, and *port* is none."""
    if export.secure and port not in _PRIVILEGED_PORTS:
        raise AccessDenied(f"a call from port {port}")


def client_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address *host*; an IPv4 client of an IPv6 socket is its IPv4 address."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def squash(export: Export, credential: Credential) -> Caller:
    """Return who *credential* is by the rules of *export*: uid 0 and gid 0 are the anonymous ones if it says so."""
    parms = credential.parms
    read_only, make_buckets = export.read_only, export.make_buckets
    if parms is None or export.squash == "all" or (export.squash == "root" and parms.uid == 0):
        return Caller(export.anon_uid, export.anon_gid, read_only=read_only, make_buckets=make_buckets)
    gid, groups = parms.gid, frozenset(parms.gids)
    if export.squash == "root":
        gid = gid or export.anon_gid
        groups = frozenset(group or export.anon_gid for group in groups)
    return Caller(parms.uid, gid, groups, read_only=read_only, make_buckets=make_buckets)


def components_of(path: str) -> tuple[str, ...]:
    """Return the names in *path*: bucket and directories, none for `/`."""
    return tuple(part for part in path.split("/") if part not in {"", "."})
