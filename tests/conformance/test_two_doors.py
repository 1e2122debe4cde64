"""One namespace, two doors: what goes in by one is there through the other at once, byte for byte."""

from __future__ import annotations

import hashlib
import os
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from place import Place


def listed(s3: Any, place: Place) -> list[str]:
    """Return the keys below the test's folder, without its prefix, as S3 lists them."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=place.house.bucket, Prefix=place.name + "/")
    keys = [each["Key"].removeprefix(place.name + "/") for page in pages for each in page.get("Contents", [])]
    return [key for key in keys if key]  # mkdir made the folder itself a key


def test_objects_put_by_s3_are_files_with_the_same_bytes_sizes_and_times(place: Place, s3: Any):
    expected = {}
    for number, size in enumerate((0, 1, 4096, 65_537, 3_000_000)):
        key, data = f"sub{number % 2}/file {number}", os.urandom(size)
        s3.put_object(Bucket=place.house.bucket, Key=place.key(key), Body=data)
        changed = s3.head_object(Bucket=place.house.bucket, Key=place.key(key))["LastModified"]
        expected[key] = (size, int(changed.timestamp()), hashlib.sha256(data).hexdigest())
    script = """find . -type f | while read -r f; do echo "${f#./}|$(stat -c '%s|%Y' "$f")|$(sha256sum <"$f")"; done"""
    rows = [line.split("|") for line in place.run(script).check().text.splitlines()]
    assert {name: (int(size), int(time), digest.split()[0]) for name, size, time, digest in rows} == expected


def test_files_copied_in_by_the_kernel_are_objects_in_key_order(place: Place, s3: Any):
    said = place.run("""
        mkdir -p a a-b/c empty; head -c 70000 /dev/urandom >a/b; echo 1 >a.txt; echo 2 >a-b/c/d; : >a0; echo 3 >'ü é'
        touch -d '2001-02-03T04:05:06Z' a.txt; ln -s a.txt link; sha256sum a/b
    """)
    digest = said.check().text.split()[0]
    keys = listed(s3, place)
    assert keys == sorted(keys, key=str.encode)
    assert {key for key in keys if not key.endswith("/")} == {"a/b", "a.txt", "a-b/c/d", "a0", "ü é"}, "no symlink"
    assert {key for key in keys if key.endswith("/")} >= {"empty/"}, "mkdir makes an explicit folder"
    with closing(s3.get_object(Bucket=place.house.bucket, Key=place.key("a/b"))["Body"]) as body:
        assert hashlib.sha256(body.read()).hexdigest() == digest
    head = s3.head_object(Bucket=place.house.bucket, Key=place.key("a.txt"))
    assert (head["ContentLength"], head["ContentType"]) == (2, "text/plain")
    age = datetime.now(UTC) - head["LastModified"]
    assert abs(age.total_seconds()) < 120, "Last-Modified is the content's time, not what touch says"
    assert head["ETag"].strip('"').endswith("-1")
    page = s3.list_objects_v2(Bucket=place.house.bucket, Prefix=place.name + "/", Delimiter="/")
    prefixes = [each["Prefix"].removeprefix(place.name + "/") for each in page["CommonPrefixes"]]
    assert prefixes == ["a-b/", "a/", "empty/"]


def test_an_object_deleted_by_s3_is_gone_on_the_mount(place: Place, s3: Any):
    place.run("mkdir d; echo 1 >d/f; echo 2 >g").check()
    s3.delete_object(Bucket=place.house.bucket, Key=place.key("g"))
    s3.delete_object(Bucket=place.house.bucket, Key=place.key("d/f"))
    place.run('test ! -e g; test ! -e d/f; test -d d; test -z "$(ls d)"').check()


def test_a_rename_on_the_mount_is_a_new_key_and_the_old_one_is_gone(place: Place, s3: Any):
    s3.put_object(Bucket=place.house.bucket, Key=place.key("d/old"), Body=b"kept", Metadata={"colour": "red"})
    place.run("mv d/old d/new; mv d e").check()
    with closing(s3.get_object(Bucket=place.house.bucket, Key=place.key("e/new"))["Body"]) as body:
        assert body.read() == b"kept"
    assert s3.head_object(Bucket=place.house.bucket, Key=place.key("e/new"))["Metadata"] == {"colour": "red"}
    for old in ("d/old", "d/new", "e/old"):
        with pytest.raises(ClientError) as error:
            s3.head_object(Bucket=place.house.bucket, Key=place.key(old))
        assert error.value.response["Error"]["Code"] == "404"
    assert [key for key in listed(s3, place) if not key.endswith("/")] == ["e/new"]


def test_an_overwrite_by_s3_keeps_mode_and_owner_and_an_edit_on_the_mount_changes_the_etag(place: Place, s3: Any):
    place.run("echo first >f; chmod 640 f; chown 12:34 f").check()
    s3.put_object(Bucket=place.house.bucket, Key=place.key("f"), Body=b"second")
    first = s3.head_object(Bucket=place.house.bucket, Key=place.key("f"))["ETag"]
    assert first.strip('"') == hashlib.md5(b"second").hexdigest()
    place.run('test "$(cat f)" = second; test "$(stat -c %a:%u:%g f)" = 640:12:34; printf third >>f').check()
    again = s3.get_object(Bucket=place.house.bucket, Key=place.key("f"))
    with closing(again["Body"]) as body:
        assert body.read() == b"secondthird"
    assert again["ETag"] != first


def test_a_tree_removed_on_the_mount_leaves_no_key(place: Place, s3: Any):
    for number in range(30):
        s3.put_object(Bucket=place.house.bucket, Key=place.key(f"t/{number % 4}/{number}"), Body=b"x")
    place.run("rm -r t").check()
    assert [key for key in listed(s3, place) if key.startswith("t")] == []


def test_a_tree_whose_keys_are_no_paths_is_copied_by_the_kernel_as_it_is(place: Place, s3: Any):
    """`cp -a` goes by the names that READDIR tells: the copy has the same keys, collisions and bodies of folders."""
    bodies = {
        "x": "file",
        "x/y": "beside",
        "d/": "a folder's body",
        "d//e/../f": "dots",
        "n/tab\t": "tab",
        "~gf.e-.": "1",
    }
    for key, body in bodies.items():
        s3.put_object(Bucket=place.house.bucket, Key=place.key("from/" + key), Body=body.encode())
    place.run(r"""
        set -e; test -d from/x -a -f from/~gf.f-x -a -f from/d/~gf.d-body
        printf 1 >"from/caf$(printf '\351')"; cp -a from to; diff -r from to; rm -r from
    """).check()
    bodies["~gf.e-caf%E9"] = "1"
    keys = [key for key in listed(s3, place) if not key.endswith("/") or key == "to/d/"]
    assert keys == sorted(("to/" + key for key in bodies), key=str.encode)
    for key, body in bodies.items():
        with closing(s3.get_object(Bucket=place.house.bucket, Key=place.key("to/" + key))["Body"]) as got:
            assert got.read() == body.encode()
