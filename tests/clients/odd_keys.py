"""Keys that are not plain paths, and what docs/SEMANTICS.md calls them on the mount."""

from __future__ import annotations

from urllib.parse import quote

#: Keys that are the same on both sides, though a client may have to encode them.
PLAIN = [
    "spaces in a name.txt",
    "ünïcödé/日本語.txt",
    "plus+and%41&amp;?#.txt",
    "quotes'\"`$(x).txt",
    "semi;comma,=@:!*()~.txt",
    "deep/" * 20 + "end",
    "c/" + "x" * 255,
]
#: S3 key -> path on the mount.
ALIASED = {
    "double//slash": "double/~gf.e-/slash",
    "beside": "~gf.f-beside",
    "beside/below": "beside/below",
    "body/": "body/~gf.d-body",
    "tab\there": "~gf.e-tab%09here",
    "dot/./x": "dot/~gf.e-./x",
    "dot/../x": "dot/~gf.e-../x",
    "~gf.e-.": "~gf.l-~gf.e-.",
}
#: A component that is too long for NFS, and the beginning of what it is called there.
LONG, LONG_ALIAS = "long/" + "y" * 300, "long/~gf.h-"
#: Path on the mount -> S3 key, for files that NFS makes: names that S3 cannot say, and aliases typed by hand.
MADE_BY_NFS = {
    b"caf\xe9": "~gf.e-caf%E9",
    b"~gf.e-typed%0A": "typed\n",
    b"~gf.e-/under": "/under",
    b"plain name": "plain name",
}
#: What clients that clean or split paths can send of ALIASED.
TAME = ["beside", "beside/below", "tab\there", "~gf.e-."]


def odd_files(keys: list[str]) -> dict[str, bytes]:
    """Return bytes of its own for each of *keys*."""
    return {key: quote(key).encode() * 7 for key in keys}


def path_of(key: str) -> str:
    """Return where the mount shows *key*, one of this module's."""
    return ALIASED.get(key, key)
