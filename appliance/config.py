"""Configuration: one TOML file, read once into frozen dataclasses.

Nothing else in the house reads settings from files or the environment. An unknown key is an error that names the key
with its dots; units are in the names; secrets are never in here but in files of their own (see `home`).
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
import types
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints
from uuid import UUID

from foundation.errors import InvalidArgument
from protocols.nfs.exports import Export, Exports

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")

#: Version of the file's shape; a file with a newer one is refused.
FORMAT = 1
_PORTS = range(1, 65536)
_CORS_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE"})
_CORS_ORIGIN = re.compile(r"(?!.*\*.*\*)[a-z*][a-z0-9+.*-]*://[A-Za-z0-9.*-]+(:[0-9*]+)?", re.ASCII)
_CORS_HEADER = re.compile(r"[A-Za-z0-9*-]{1,64}", re.ASCII)
_MAX_CORS_SECONDS = 86_400
_GATEWAY_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


class ConfigError(Exception):
    """The configuration cannot be used; the message says which key and why."""


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """Where names and attributes are kept."""

    managed: bool  # True: this installation runs its own PostgreSQL
    directory: str = ""  # managed: absolute, or relative to the home
    socket_directory: str = ""  # managed: absolute, or relative to the home; short (sun_path holds 108 bytes)
    user: str = ""  # managed: the system user the server runs as; empty = whoever runs `serve`


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One storage node that this installation runs."""

    id: int
    uuid: str  # what its disk's identity says
    host: str
    port: int
    directory: str  # absolute, or relative to the home


@dataclass(frozen=True, slots=True)
class S3Config:
    """The S3 door."""

    listen: str
    port: int
    region: str = "us-east-1"
    domain: str = ""  # virtual-host buckets are `BUCKET.domain`; empty = path style only
    cors_origins: tuple[str, ...] = ()  # pages of these may use the door: exact, with one `*`, or `*`; none = off
    cors_methods: tuple[str, ...] = ("GET", "HEAD", "PUT", "POST", "DELETE")
    cors_headers: tuple[str, ...] = ("*",)  # that they may send: exact, or with one `*`
    cors_expose: tuple[str, ...] = ("ETag", "x-amz-version-id", "x-amz-delete-marker", "x-amz-request-id")
    cors_max_age_seconds: int = 3600  # how long a browser need not ask again


@dataclass(frozen=True, slots=True)
class NfsConfig:
    """The NFS door."""

    listen: str
    port: int
    mount_port: int
    portmap: bool = False  # answer on port 111 (TCP and UDP)


#: The name of the gateway that `serve` runs; its doors are the sections s3 and nfs.
FIRST_GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """The doors of one further gateway, run by `gatefold serve --gateway NAME`; all else is as for the first."""

    name: str
    listen: str
    s3_port: int
    nfs_port: int
    mount_port: int


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """What NFS clients may mount: a record of `protocols.nfs.exports`, which says what it means and checks it."""

    path: str  # `/` = all buckets, `/bucket`, or `/bucket/dir`
    clients: tuple[str, ...]  # networks in CIDR form
    read_only: bool = False
    squash: str = "root"  # whom to take for anonymous: none, root or all
    anon_uid: int = 65534
    anon_gid: int = 65534
    id: int = 0  # a sub-directory's own number, 1 to 65535, never given to another
    secure: bool = False  # True: only from ports below 1024
    make_buckets: bool = False  # `/` alone: mkdir there makes a bucket


@dataclass(frozen=True, slots=True)
class LifecycleConfig:
    """How long the supervisor waits."""

    start_timeout_seconds: float = 60.0  # for one component to be ready
    drain_timeout_seconds: float = 20.0  # for one component to stop before it is killed
    restart_delay_seconds: float = 0.2  # before the first restart of a component that died
    restart_delay_limit_seconds: float = 10.0  # the delay doubles up to this


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that `gatefold.toml` says."""

    format: int
    installation: str  # a UUID: the name of this cluster on its nodes' disks, and of its folders outside the home
    database: DatabaseConfig
    s3: S3Config
    nfs: NfsConfig
    nodes: tuple[NodeConfig, ...] = ()
    lifecycle: LifecycleConfig = LifecycleConfig()
    gateways: tuple[GatewayConfig, ...] = ()
    exports: tuple[ExportConfig, ...] = ()

    def for_gateway(self, name: str) -> Config:
        """Return this configuration with the doors of gateway *name*; raise ConfigError if there is none."""
        if name == FIRST_GATEWAY:
            return self
        for each in self.gateways:
            if each.name == name:
                s3 = replace(self.s3, listen=each.listen, port=each.s3_port)
                return replace(self, s3=s3, nfs=NfsConfig(each.listen, each.nfs_port, each.mount_port))
        raise ConfigError(f"there is no gateway {name!r}; `gatefold gateway add {name}` makes it")


def load(path: Path) -> Config:
    """Read *path*; raise ConfigError if it is missing, malformed, of a newer format or makes no sense."""
    try:
        return read(path.read_text(encoding="utf-8"), f"{path}: ")
    except FileNotFoundError:
        raise ConfigError(f"{path}: not found; run `gatefold setup` first") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def read(text: str, prefix: str = "") -> Config:
    """Read the *text* of a configuration; raise ConfigError, which names the file by *prefix* where no key can be."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{prefix}{error}") from error
    found = table.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise ConfigError(f"{prefix}format {found} is newer than this Gatefold reads ({FORMAT})")
    config = parse(Config, table)
    _check(config)
    return config


def parse(kind: type[T], table: dict[str, Any], prefix: str = "") -> T:
    """Make a *kind* (a dataclass) of *table*, strictly; raise ConfigError naming the key."""
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]  # every kind is a dataclass
    for key in table:
        if key not in known:
            raise ConfigError(f"{prefix}{key}: no such setting")
    values: dict[str, Any] = {}
    for name, field in known.items():
        if name in table:
            values[name] = _value(hints[name], table[name], f"{prefix}{name}")
        elif field.default is MISSING:
            raise ConfigError(f"{prefix}{name}: missing")
    return kind(**values)


def _value(hint: Any, value: Any, name: str) -> Any:
    """Return *value* as a *hint*."""
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{name}: wanted a list, found {value!r}")
        return tuple(_value(get_args(hint)[0], each, f"{name}[{index}]") for index, each in enumerate(value))
    if get_origin(hint) is types.UnionType:  # only `X | None` is used
        return _value(get_args(hint)[0], value, name)
    if is_dataclass(hint):
        if not isinstance(value, dict):
            raise ConfigError(f"{name}: wanted a table, found {value!r}")
        return parse(hint, value, f"{name}.")  # type: ignore[arg-type]  # is_dataclass also admits instances
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ConfigError(f"{name}: wanted {hint.__name__}, found {value!r}")
    return value


def _check(config: Config) -> None:
    """Refuse values that have the right type and make no sense."""
    ports = {"s3.port": config.s3.port, "nfs.port": config.nfs.port, "nfs.mount_port": config.nfs.mount_port}
    for index, node in enumerate(config.nodes):
        ports[f"nodes[{index}].port"] = node.port
    _check_ports(ports)
    _check_gateways(config.gateways)
    _check_cors(config.s3)
    try:
        Exports(rules_of(config))
    except InvalidArgument as error:
        raise ConfigError(f"exports: {error}") from None
    for name, address in (("s3.listen", config.s3.listen), ("nfs.listen", config.nfs.listen)):
        check_address(name, address)
    for name, text in (("installation", config.installation), *((f"node {n.id}: uuid", n.uuid) for n in config.nodes)):
        try:
            UUID(text)
        except ValueError:
            raise ConfigError(f"{name}: {text!r} is no UUID") from None
    ids = [node.id for node in config.nodes]
    if len(set(ids)) != len(ids):
        raise ConfigError("nodes: two nodes have one id")
    if config.database.managed and not (config.database.directory and config.database.socket_directory):
        raise ConfigError("database: a managed database needs directory and socket_directory")


def _check_cors(s3: S3Config) -> None:
    """Refuse rules of sharing that can hold for nothing, or would break an answer's header."""
    for index, origin in enumerate(s3.cors_origins):
        if origin != "*" and not _CORS_ORIGIN.fullmatch(origin):
            raise ConfigError(
                f"s3.cors_origins[{index}]: {origin!r} is no origin (https://example.com, with one * or none)"
            )
    for method in s3.cors_methods:
        if method not in _CORS_METHODS:
            raise ConfigError(f"s3.cors_methods: {method!r} is none of S3's")
    for name, texts in (("cors_headers", s3.cors_headers), ("cors_expose", s3.cors_expose)):
        for text in texts:
            if not _CORS_HEADER.fullmatch(text) or text.count("*") > (name == "cors_headers"):
                raise ConfigError(f"s3.{name}: {text!r} is no header")
    if not 0 <= s3.cors_max_age_seconds <= _MAX_CORS_SECONDS:
        raise ConfigError(f"s3.cors_max_age_seconds: {s3.cors_max_age_seconds} is not within a day")


def _check_ports(ports: dict[str, int]) -> None:
    for name, port in ports.items():
        if port not in _PORTS:
            raise ConfigError(f"{name}: {port} is no port")


def _check_gateways(gateways: tuple[GatewayConfig, ...]) -> None:
    """Refuse further gateways that cannot be told apart, or whose name cannot be a part of a file's name."""
    for index, gateway in enumerate(gateways):
        key = f"gateways[{index}]"
        if not _GATEWAY_NAME.fullmatch(gateway.name) or gateway.name == FIRST_GATEWAY:
            raise ConfigError(f"{key}.name: {gateway.name!r} is no name for one (a-z, 0-9 and -, at most 32)")
        check_address(f"{key}.listen", gateway.listen)
        _check_ports({f"{key}.{name}": getattr(gateway, name) for name in ("s3_port", "nfs_port", "mount_port")})
    names = [gateway.name for gateway in gateways]
    if len(set(names)) != len(names):
        raise ConfigError("gateways: two gateways have one name")


def rules_of(config: Config) -> list[Export]:
    """Return the exports of *config* in the form of the NFS door."""
    return [Export(**asdict(each)) for each in config.exports]


def check_address(name: str, address: str) -> None:
    """Raise ConfigError unless *address* is an IPv4 address that can be listened on."""
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        raise ConfigError(f"{name}: {address!r} is no IPv4 address") from None


def render(config: Config) -> str:
    """Return *config* as the text of `gatefold.toml`."""
    database, s3, nfs, lifecycle = config.database, config.s3, config.nfs, config.lifecycle
    lines = [
        "# Gatefold's configuration, written by `gatefold setup`. Unknown keys are refused.",
        "# Changes take effect at the next `gatefold serve`, those of exports also at `gatefold export reload`.",
        "# Relative folders lie in the folder of this file.",
        f"format = {config.format}",
        f"installation = {_quoted(config.installation)}",
        *_section("database", database),
        *_section("s3", s3),
        *_section("nfs", nfs),
        *_section("lifecycle", lifecycle),
    ]
    for node in config.nodes:
        lines += _section("[nodes]", node)
    for export in config.exports:
        lines += _section("[exports]", export)
    for gateway in config.gateways:
        lines += _section("[gateways]", gateway)
    return "\n".join(lines) + "\n"


def render_gateway(gateway: GatewayConfig) -> str:
    """Return the text that adds *gateway* at the end of `gatefold.toml`."""
    return "\n".join(_section("[gateways]", gateway)) + "\n"


def _section(name: str, values: Any) -> list[str]:
    """Return a TOML table of the dataclass *values*."""
    settings = [f"{field.name} = {_toml(getattr(values, field.name))}" for field in fields(values)]
    return ["", f"[{name}]", *settings]


def _toml(value: Any) -> str:
    """Return a setting's value as TOML."""
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(each) for each in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    """Return *text* as a TOML basic string."""
    escaped = "".join(f"\\u{ord(char):04x}" if char < " " or char in '"\\\x7f' else char for char in text)
    return f'"{escaped}"'
