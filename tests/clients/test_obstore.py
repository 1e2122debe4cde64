"""obstore (the Rust crate object_store): conditional puts, parts, ranges, both copies, signed URLs."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
import pytest
from client_mount import digests_of
from client_programs import plain_http
from obstore.exceptions import AlreadyExistsError, NotFoundError, PreconditionError
from obstore.store import S3Store
from odd_keys import PLAIN, odd_files

if TYPE_CHECKING:
    from client_mount import Folder
    from house import House

MIB = 1 << 20


@pytest.fixture
def store(house: House, folder: Folder) -> S3Store:
    """Return a store that sees the test's folder alone."""
    access_key, secret_key = house.keys
    return S3Store(
        folder.bucket,
        prefix=folder.name,
        endpoint=house.endpoint,
        region="us-east-1",
        access_key_id=access_key,
        secret_access_key=secret_key,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )


def test_objects_are_put_listed_got_copied_and_deleted(store: S3Store, folder: Folder):
    obstore.put(store, "a", b"0123456789", attributes={"Content-Type": "text/plain", "colour": "red"})
    obstore.copy(store, "a", "sub/copy")
    obstore.rename(store, "sub/copy", "sub/moved")
    folder.write("by nfs", b"made")
    listed = [each for page in obstore.list(store) for each in page]
    sizes = {each["path"]: each["size"] for each in listed if each["path"]}  # the folder itself is a key too
    assert sizes == {"a": 10, "sub/moved": 10, "by nfs": 4}
    level = obstore.list_with_delimiter(store)
    assert [each["path"] for each in level["objects"] if each["path"]] == ["a", "by nfs"]
    assert level["common_prefixes"] == ["sub"]
    got = obstore.get(store, "a")
    assert (bytes(got.bytes()), got.attributes["Content-Type"]) == (b"0123456789", "text/plain")
    assert [bytes(part) for part in obstore.get_ranges(store, "a", starts=[0, 5], lengths=[2, 3])] == [b"01", b"567"]
    assert bytes(obstore.get(store, "by nfs").bytes()) == b"made"
    assert folder.digests() == digests_of({"a": b"0123456789", "sub/moved": b"0123456789", "by nfs": b"made"})
    obstore.delete(store, list(sizes))
    with pytest.raises((NotFoundError, FileNotFoundError)):
        obstore.head(store, "a")
    assert folder.digests() == {}


def test_large_objects_go_in_parts(store: S3Store, folder: Folder):
    data = os.urandom(MIB) * 18 + b"odd"
    obstore.put(store, "parts", data, use_multipart=True, chunk_size=5 * MIB, max_concurrency=3)
    with obstore.open_writer(store, "written", buffer_size=5 * MIB) as writer:
        for offset in range(0, len(data), 4 * MIB):
            writer.write(data[offset : offset + 4 * MIB])
    assert folder.digests() == digests_of({"parts": data, "written": data})
    assert b"".join(map(bytes, obstore.get(store, "parts").stream(min_chunk_size=MIB))) == data


def test_puts_are_conditional_and_an_edit_by_nfs_counts(store: S3Store, folder: Folder):
    first = obstore.put(store, "k", b"1", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "k", b"2", mode="create")
    second = obstore.put(store, "k", b"2", mode={"e_tag": first["e_tag"]})
    with pytest.raises(PreconditionError):
        obstore.put(store, "k", b"3", mode={"e_tag": first["e_tag"]})
    folder.mount.run(f"echo edited >{folder.key('k')}")
    with pytest.raises(PreconditionError):
        obstore.put(store, "k", b"3", mode={"e_tag": second["e_tag"]})
    with pytest.raises(PreconditionError):
        obstore.get(store, "k", options={"if_match": second["e_tag"]})
    obstore.put(store, "k", b"3", mode={"e_tag": obstore.head(store, "k")["e_tag"]})
    assert folder.read("k") == b"3"
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "k", os.urandom(6 * MIB), mode="create", use_multipart=False)


def test_signed_urls_need_no_credentials(store: S3Store, folder: Folder):
    assert plain_http("PUT", obstore.sign(store, "PUT", "signed", timedelta(minutes=1)), b"by url")[0] == 200
    url = obstore.sign(store, "GET", "signed", timedelta(minutes=1))
    assert plain_http("GET", url) == (200, b"by url")
    assert folder.read("signed") == b"by url"


def test_odd_names_reach_the_mount_and_come_back(store: S3Store, folder: Folder):
    keys = odd_files(PLAIN)
    for key, data in keys.items():
        obstore.put(store, key, data)
    # object_store itself encodes what it holds unsafe in names; what it made comes back by the same names.
    assert sorted(folder.digests().values()) == sorted(digests_of(keys).values())
    for key, data in keys.items():
        assert bytes(obstore.get(store, key).bytes()) == data, key
