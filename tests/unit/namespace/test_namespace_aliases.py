"""The alias grammar: a bijection between NFS names and S3 components, by its properties and by example."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from namespace import aliases
from namespace.aliases import NAME_MAX, directory_alias, file_alias, is_hashed, named_file, nfs_form, s3_form

PIECES = [
    *(b"~gf.", b"~gf.e-", b"~gf.l-", b"~gf.f-", b"~gf.d-body", b"~gf.h-", b"0123456789abcdef" * 3, b"-", b"a", b"."),
    *(b"..", b"%", b"%2E", b"%00", b"%FF", b"%01", b"%25", b"%41", b"%2F", b"%ef%bf%be", "é".encode()),
    *(b"\x01", b"\x7f", b"\n", b"\xef\xbf\xbf", "𝄞".encode(), b"x" * 120),
]
NOT_UTF8 = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x80"]
COMPONENTS = st.one_of(
    st.lists(st.sampled_from([*PIECES, b"\0"]), max_size=7).map(b"".join),
    st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), max_size=12).map(str.encode),
)
RAW = st.one_of(
    st.lists(st.sampled_from([*PIECES, *NOT_UTF8]), min_size=1, max_size=7).map(b"".join),
    st.binary(min_size=1, max_size=8),
)


def is_name(raw: bytes) -> bool:
    return 0 < len(raw) <= NAME_MAX and not {b"/"[0], 0} & set(raw) and raw not in {b".", b".."}


NAMES = RAW.filter(is_name)


def is_simple(name: bytes) -> bool:
    """Tell whether a name means a component, and is not the `f`, `d` or `h` alias of something."""
    return name != aliases.BODY_ALIAS and not is_hashed(name) and named_file(name) is None


@settings(max_examples=2000)
@given(NAMES.filter(is_simple))
@example(b"\xff")
@example(b"~gf.e-%FF")
@example(b"~gf.l-~gf.e-%FF")
@example(b"~gf.e-%01")
@example(b"~gf.l-~gf.f-\xff")
def test_an_nfs_name_comes_back_from_its_s3_form(name: bytes):
    component = s3_form(name)
    component.decode("utf-8")
    assert b"/" not in component
    assert b"\0" not in component or name.startswith(b"~gf.e-")
    assert nfs_form(component) == name


@settings(max_examples=2000)
@given(COMPONENTS)
@example(b"")
@example(b".")
@example(b"~gf.e-.")
@example(b"~gf.l-~gf.e-.")
@example(b"~gf.e-%FF")
@example(b"~gf.e-~gf.f-%FF")
@example(b"~gf.f-a")
@example(b"~gf.f-~gf.f-a")
@example(b"~gf.d-body")
@example(b"x" * 256)
def test_a_component_comes_back_from_its_nfs_form_unless_it_is_too_long(component: bytes):
    name = nfs_form(component)
    if len(name) <= NAME_MAX:
        assert is_name(name)
        assert is_simple(name)
        assert s3_form(name) == component


@given(COMPONENTS.filter(bool))
def test_a_file_beside_a_directory_has_another_name_that_means_it(component: bytes):
    alone = file_alias(component, beside_directory=False) or component
    beside = file_alias(component, beside_directory=True)
    directory = directory_alias(component) or component
    assert beside is not None
    assert is_name(beside)
    assert is_name(directory)
    assert beside != directory
    if not is_hashed(beside):
        meant = named_file(beside)
        assert meant == alone == directory
        assert s3_form(meant) == component


@given(COMPONENTS.filter(bool), COMPONENTS.filter(bool))
def test_two_things_never_have_one_name(one: bytes, other: bytes):
    if one == other:
        return
    names = [
        [
            file_alias(each, beside_directory=False) or each,
            file_alias(each, beside_directory=True),
            directory_alias(each) or each,
        ]
        for each in (one, other)
    ]
    assert not set(names[0]) & set(names[1])


@given(NAMES)
def test_what_looks_plain_is_the_same_on_both_sides(name: bytes):
    if aliases.is_plain(name):
        assert s3_form(name) == nfs_form(name) == name


@pytest.mark.parametrize(
    ("component", "name"),
    [
        (b"a", b"a"),
        ("é".encode(), "é".encode()),
        (b"~a", b"~a"),
        (b"~gf.a", b"~gf.a"),  # no code: an ordinary name
        (b"", b"~gf.e-"),
        (b".", b"~gf.e-."),
        (b"..", b"~gf.e-.."),
        (b"a\0b", b"~gf.e-a%00b"),
        (b"50%\n", b"~gf.e-50%25%0A"),
        (b"~gf.e-50%25%0A", b"50%\n"),  # the two sides change places
        (b"~gf.e-%FF\xc3\xa9", b"\xff\xc3\xa9"),
        (b"~gf.e-.", b"~gf.l-~gf.e-."),
        (b"~gf.l-~gf.e-.", b"~gf.l-~gf.l-~gf.e-."),
        (b"~gf.l-~gf.e-%FF", b"~gf.e-%FF"),
        (b"~gf.l-~gf.l-~gf.e-%FF", b"~gf.l-~gf.e-%FF"),
        (b"~gf.e-%2E", b"~gf.e-%2E"),  # not as an encoder writes it
        (b"~gf.e-%ff", b"~gf.e-%ff"),
        (b"~gf.f-a", b"~gf.l-~gf.f-a"),
        (b"~gf.f-~gf.f-a", b"~gf.f-~gf.f-a"),
        (b"~gf.d-body", b"~gf.l-~gf.d-body"),
        (b"~gf.d-bodies", b"~gf.d-bodies"),
        (b"~gf.f-~gf.e-", b"~gf.f-~gf.e-"),  # no file has the empty component
    ],
)
def test_by_example(component: bytes, name: bytes):
    assert nfs_form(component) == name
    assert s3_form(name) == component


def test_a_long_name_is_hashed_and_stays_readable():
    alias = file_alias(("é" * 200).encode(), beside_directory=False)
    assert alias is not None
    assert alias.startswith(b"~gf.h-")
    assert len(alias) == 255
    assert alias.decode().endswith("-" + "é" * 104)
    assert is_hashed(alias)
    assert directory_alias(b"x" * 300) != file_alias(b"x" * 300, beside_directory=True)
    assert file_alias(b"x" * 250, beside_directory=False) is None
    assert is_hashed(file_alias(b"x" * 250, beside_directory=True) or b"")
