"""External data representation (RFC 4506): bytes in, values out, and back.

A type is anything with `pack(value, out)`, which appends buffers to a list, and `unpack(unpacker)`. The structures of
a protocol are `XdrStruct` classes whose annotations are their definition; the wire order is the order of the fields.

Decoding raises `XdrError`, or `struct.error` where the bytes end too early; `decode` turns the latter into the
former, so that a caller sees one error. Nothing is allocated by a length before that length is known to be there.
"""

from collections.abc import Callable
from enum import IntEnum
from struct import Struct as Layout
from struct import error as layout_error
from typing import Annotated, Any, ClassVar, Protocol, Self, TypeAlias, TypeVar, get_origin

from msgspec import Struct
from msgspec.structs import astuple

Buffer: TypeAlias = bytes | memoryview
T = TypeVar("T")

_UINT32 = Layout(">I")
_UINT64 = Layout(">Q")
#: Padding by length modulo 4.
PADS = (b"", b"\0\0\0", b"\0\0", b"\0")
#: Buffers at least this long are sent from where they lie; shorter ones are joined (a vector entry costs more).
JOIN_BELOW_BYTES = 8192


class XdrError(Exception):
    """The bytes are not a value of the type that was expected."""


class XdrType(Protocol):
    """What the wire form of a value looks like."""

    def pack(self, value: Any, out: list[Buffer]) -> None:
        """Append the wire form of *value* to *out*."""

    def unpack(self, unpacker: "Unpacker") -> Any:
        """Read one value; raise XdrError or struct.error."""


class Unpacker:
    """A place in received bytes, moving on as values are read."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        """Read *data* from offset *at* on."""
        self.data = data
        self.at = at

    def uint32(self) -> int:
        """Read an unsigned integer (RFC 4506, section 4.2)."""
        at = self.at
        self.at = at + 4
        value: int = _UINT32.unpack_from(self.data, at)[0]
        return value

    def uint64(self) -> int:
        """Read an unsigned hyper integer (RFC 4506, section 4.5)."""
        at = self.at
        self.at = at + 8
        value: int = _UINT64.unpack_from(self.data, at)[0]
        return value

    def opaque(self, length: int) -> bytes:
        """Read *length* bytes and their padding (RFC 4506, section 4.9)."""
        start, stop = self._skip(self.at, length)
        return self.data[start:stop]

    def counted(self, longest: int | None) -> tuple[int, int]:
        """Pass over a count, so many bytes and their padding; return where the bytes start and stop.

        Raises XdrError for more than *longest* bytes, or more than there are.
        """
        at = self.at
        length: int = _UINT32.unpack_from(self.data, at)[0]
        if longest is not None and length > longest:
            raise XdrError(f"{length} bytes announced, at most {longest} allowed")
        return self._skip(at + 4, length)

    def _skip(self, start: int, length: int) -> tuple[int, int]:
        """Pass over *length* bytes from *start* and their padding, which must be zero."""
        stop = start + length
        end = stop + (-length & 3)
        if end > len(self.data):
            raise XdrError(f"{length} bytes announced, {len(self.data) - start} there")
        if end != stop and self.data[stop:end] != PADS[length & 3]:
            raise XdrError("padding is not zero")
        self.at = end
        return start, stop

    def layout(self, layout: Layout) -> tuple[Any, ...]:
        """Read the fixed fields of *layout*."""
        at = self.at
        self.at = at + layout.size
        return layout.unpack_from(self.data, at)

    def rest(self) -> int:
        """Return how many bytes are left."""
        return len(self.data) - self.at


class _Integer:
    """An integer of a fixed layout."""

    def __init__(self, code: str) -> None:
        self.code = code
        self._layout = Layout(">" + code)

    def pack(self, value: int, out: list[Buffer]) -> None:
        """Append *value*."""
        out.append(self._layout.pack(value))

    def unpack(self, unpacker: Unpacker) -> int:
        """Read an integer."""
        value: int = unpacker.layout(self._layout)[0]
        return value


UINT32 = _Integer("I")
UINT64 = _Integer("Q")


class _Bool:
    """A boolean: 0 or 1 and nothing else (RFC 4506, section 4.4)."""

    def pack(self, value: bool, out: list[Buffer]) -> None:
        """Append *value*."""
        out.append(b"\0\0\0\1" if value else b"\0\0\0\0")

    def unpack(self, unpacker: Unpacker) -> bool:
        """Read a boolean."""
        value = unpacker.uint32()
        if value > 1:
            raise XdrError(f"{value} is no boolean")
        return value == 1


BOOL = _Bool()


class Enumeration:
    """A member of an IntEnum (RFC 4506, section 4.3)."""

    def __init__(self, kind: type[IntEnum]) -> None:
        """Allow the members of *kind*."""
        self._members = {int(member): member for member in kind}

    def pack(self, value: int, out: list[Buffer]) -> None:
        """Append *value*."""
        out.append(_UINT32.pack(value))

    def unpack(self, unpacker: Unpacker) -> IntEnum:
        """Read a member; raise XdrError for a number that is none."""
        value = unpacker.uint32()
        member = self._members.get(value)
        if member is None:
            raise XdrError(f"{value} is not in the enumeration")
        return member


class FixedOpaque:
    """Exactly so many bytes (RFC 4506, section 4.9)."""

    def __init__(self, length: int) -> None:
        """Hold *length* bytes."""
        self._length = length

    def pack(self, value: bytes, out: list[Buffer]) -> None:
        """Append *value*, whose length must be right."""
        if len(value) != self._length:
            raise XdrError(f"{len(value)} bytes where {self._length} belong")
        out.append(value)
        out.append(PADS[self._length & 3])

    def unpack(self, unpacker: Unpacker) -> bytes:
        """Read the bytes."""
        return unpacker.opaque(self._length)


class Opaque:
    """A counted run of bytes (RFC 4506, sections 4.10 and 4.11); it also stands for strings."""

    def __init__(self, longest: int | None = None) -> None:
        """Allow at most *longest* bytes, or whatever the record holds."""
        self._longest = longest

    def pack(self, value: Buffer, out: list[Buffer]) -> None:
        """Append *value* with its count and padding."""
        length = len(value)
        if self._longest is not None and length > self._longest:
            raise XdrError(f"{length} bytes where at most {self._longest} belong")
        out += (_UINT32.pack(length), value, PADS[length & 3])

    def unpack(self, unpacker: Unpacker) -> bytes:
        """Read the bytes."""
        start, stop = unpacker.counted(self._longest)
        return unpacker.data[start:stop]


class OpaqueView(Opaque):
    """A counted run of bytes that is read without being copied."""

    def unpack(self, unpacker: Unpacker) -> memoryview:  # type: ignore[override]  # a view, by purpose
        """Read the bytes as a view into the record."""
        start, stop = unpacker.counted(self._longest)
        return memoryview(unpacker.data)[start:stop]


class OpaquePieces:
    """A counted run of bytes given as a tuple of buffers, none of which is copied."""

    def pack(self, value: tuple[Buffer, ...], out: list[Buffer]) -> None:
        """Append the joined *value* with its count and padding."""
        length = sum(map(len, value))
        out.append(_UINT32.pack(length))
        out += value
        out.append(PADS[length & 3])

    def unpack(self, unpacker: Unpacker) -> tuple[Buffer, ...]:
        """Read the bytes as one view."""
        start, stop = unpacker.counted(None)
        return (memoryview(unpacker.data)[start:stop],)


class Optional:
    """A value that may be missing: None (RFC 4506, section 4.19)."""

    def __init__(self, kind: XdrType) -> None:
        """Let a value of *kind* be missing."""
        self.kind = kind

    def pack(self, value: Any, out: list[Buffer]) -> None:
        """Append *value*."""
        if value is None:
            out.append(b"\0\0\0\0")
        else:
            out.append(b"\0\0\0\1")
            self.kind.pack(value, out)

    def unpack(self, unpacker: Unpacker) -> Any:
        """Read the value, or None."""
        return self.kind.unpack(unpacker) if BOOL.unpack(unpacker) else None


class LinkedList:
    """A tuple sent as the linked list of RFC 4506, section 4.19: each item is announced, then the end is."""

    def __init__(self, kind: XdrType) -> None:
        """Hold items of *kind*, none of which has an empty wire form."""
        self._kind = kind

    def pack(self, value: tuple[Any, ...], out: list[Buffer]) -> None:
        """Append all items of *value*."""
        pack = self._kind.pack
        for item in value:
            out.append(b"\0\0\0\1")
            pack(item, out)
        out.append(b"\0\0\0\0")

    def unpack(self, unpacker: Unpacker) -> tuple[Any, ...]:
        """Read the items; each takes bytes of the record, which bounds their number."""
        items = []
        while BOOL.unpack(unpacker):
            items.append(self._kind.unpack(unpacker))
        return tuple(items)


class Array:
    """A counted tuple (RFC 4506, section 4.13)."""

    def __init__(self, kind: XdrType, longest: int) -> None:
        """Hold at most *longest* items of *kind*."""
        self._kind = kind
        self._longest = longest

    def pack(self, value: tuple[Any, ...], out: list[Buffer]) -> None:
        """Append the count and the items of *value*."""
        if len(value) > self._longest:
            raise XdrError(f"{len(value)} items where at most {self._longest} belong")
        out.append(_UINT32.pack(len(value)))
        for item in value:
            self._kind.pack(item, out)

    def unpack(self, unpacker: Unpacker) -> tuple[Any, ...]:
        """Read the items."""
        count = unpacker.uint32()
        if count > self._longest:
            raise XdrError(f"{count} items announced, at most {self._longest} allowed")
        return tuple([self._kind.unpack(unpacker) for _ in range(count)])


def _type_of(annotation: Any) -> XdrType:
    """Return the wire form that the annotation of a field names."""
    if get_origin(annotation) is Annotated:
        kind: XdrType = annotation.__metadata__[0]
        return kind
    if isinstance(annotation, type) and issubclass(annotation, IntEnum):
        return Enumeration(annotation)
    if annotation is bool:
        return BOOL
    assert hasattr(annotation, "unpack"), annotation
    struct: XdrType = annotation
    return struct


class XdrStruct(Struct, frozen=True, gc=False):
    """A structure (RFC 4506, section 4.14), defined by the annotations of its fields."""

    types: ClassVar[tuple[XdrType, ...]] = ()
    _packers: ClassVar[tuple[Callable[[Any, list[Buffer]], None], ...]] = ()
    _unpackers: ClassVar[tuple[Callable[[Unpacker], Any], ...]] = ()

    def __init_subclass__(cls) -> None:
        """Read the wire form of the fields from the annotations of *cls*."""
        super().__init_subclass__()
        notes: list[Any] = list(cls.__annotations__.values())
        cls.types = tuple(_type_of(note) for note in notes if get_origin(note) is not ClassVar)
        cls._packers = tuple(kind.pack for kind in cls.types)
        cls._unpackers = tuple(kind.unpack for kind in cls.types)

    def pack(self, out: list[Buffer]) -> None:
        """Append the wire form of all fields to *out*."""
        for pack, value in zip(self._packers, astuple(self), strict=True):
            pack(value, out)

    @classmethod
    def unpack(cls, unpacker: Unpacker) -> Self:
        """Read all fields."""
        return cls(*[unpack(unpacker) for unpack in cls._unpackers])


class FixedStruct(XdrStruct, frozen=True, gc=False):
    """A structure of integers alone, packed and unpacked in one go."""

    layout: ClassVar[Layout] = Layout("")

    def __init_subclass__(cls) -> None:
        """Join the layouts of the fields."""
        super().__init_subclass__()
        codes = [kind.code for kind in cls.types if isinstance(kind, _Integer)]
        assert len(codes) == len(cls.types), cls
        cls.layout = Layout(">" + "".join(codes))

    def pack(self, out: list[Buffer]) -> None:
        """Append all fields to *out*."""
        out.append(self.layout.pack(*astuple(self)))

    @classmethod
    def unpack(cls, unpacker: Unpacker) -> Self:
        """Read all fields."""
        return cls(*unpacker.layout(cls.layout))


def decode(unpack: Callable[[Unpacker], T], unpacker: Unpacker) -> T:
    """Read the one value that fills the rest of *unpacker*; raise XdrError for anything else."""
    try:
        value = unpack(unpacker)
    except layout_error as error:
        raise XdrError("the bytes end too early") from error
    if unpacker.rest():
        raise XdrError(f"{unpacker.rest()} bytes follow the value")
    return value


def encode(value: Any, kind: XdrType | None = None) -> bytes:
    """Return the wire form of *value*, by *kind* or by its own class."""
    out: list[Buffer] = []
    (kind or type(value)).pack(value, out)
    return b"".join(out)


def gather(parts: list[Buffer]) -> list[Buffer]:
    """Join runs of short buffers and keep long ones as they are, so that no body is copied."""
    gathered: list[Buffer] = []
    run: list[Buffer] = []
    for part in parts:
        if len(part) < JOIN_BELOW_BYTES:
            run.append(part)
            continue
        if run:
            gathered.append(b"".join(run))
            run = []
        gathered.append(part)
    if run:
        gathered.append(b"".join(run))
    return gathered


uint32 = Annotated[int, UINT32]
uint64 = Annotated[int, UINT64]
