"""Attacks with names at the S3 door; the letters and numbers are those of the project's security checklist."""

from __future__ import annotations

import unicodedata
from urllib.parse import unquote_to_bytes

import pytest
from form_signing import form
from hall import ROOT, run
from object_door import ObjectDoor
from signing import CREDENTIAL

from namespace.api import SetAttr
from protocols.s3.codec.uri import percent_encode

#: Keys that other stores took for paths. Here each is a key like any other, and names nothing but itself.
LITERAL = [
    *(b"../x", b"a/../x", b"a/./x", b"..", b".", b"a/..", b"..\\x", b"/x", b"a//x", b"/", b"%2e%2e/x", b"..%2fx"),
    *(b"a\0b", b"a\nb", b"c" * 256, b"/etc/passwd", b"../bucket/x", b"~gf.f-x"),
]
IMPOSSIBLE = [b"k" * 1025, b"\xff", b"a/\xc0\xae\xc0\xae/x"]
INNOCENT = {"x": b"innocent", "a/b": b"innocent"}


@pytest.fixture
def door():
    door = ObjectDoor()
    for key, body in INNOCENT.items():
        door.put(key, body)
    door.hall.put(b"theirs", b"innocent")
    return door


def root_of(door, bucket="bkt"):
    ns = door.hall.ns
    return run(ns.root(run(ns.head_bucket(CREDENTIAL.caller, bucket)).vol))


def encoded_keys(door):
    """Return the keys of the bucket, whatever bytes they have."""
    listed = door.ask("GET", "/bkt?list-type=2&encoding-type=url").xml("ListBucketResult")
    return [unquote_to_bytes(each.value("Key")) for each in listed.children if each.name == "Contents"]


def others_are_as_they_were(door):
    assert [door.ask("GET", f"/bkt/{key}").body for key in INNOCENT] == list(INNOCENT.values())
    assert door.keys("bucket") == ["theirs"]
    assert door.hall.get(b"theirs") == b"innocent"
    assert door.hall.findings() == []


@pytest.mark.parametrize("key", LITERAL)
def test_p01_a_key_is_its_bytes_in_every_operation_and_leads_nowhere_else(door, key):
    path = percent_encode(key, "/")
    assert door.ask("PUT", f"/bkt/{path}", body=b"mine").status == 200
    assert door.ask("GET", f"/bkt/{path}").body == b"mine"
    assert sorted(encoded_keys(door)) == sorted([*map(str.encode, INNOCENT), key])
    assert door.ask("PUT", "/bkt/copy", {"x-amz-copy-source": f"bkt/{path}"}).status == 200
    assert door.ask("GET", "/bkt/copy").body == b"mine"
    assert door.ask("PUT", f"/bkt/{path}", {"x-amz-copy-source": "bkt/copy"}).status == 200
    assert door.ask("GET", f"/bkt?list-type=2&prefix={percent_encode(key)}").status == 200
    others_are_as_they_were(door)
    if b"\0" not in key:  # XML has no word for it
        upload = door.begin(path)
        assert door.complete(path, upload, {1: door.part(path, upload, 1, b"parts")}).status == 200
        text = key.decode().replace("\n", "&#10;")
        deleted = door.ask("POST", "/bkt?delete", {}, f"<Delete><Object><Key>{text}</Key></Object></Delete>".encode())
        assert deleted.xml("DeleteResult").children[0].name == "Deleted"
    assert door.ask("DELETE", f"/bkt/{path}").status == 204
    assert sorted(encoded_keys(door)) == sorted([*map(str.encode, INNOCENT), b"copy"])
    others_are_as_they_were(door)


@pytest.mark.parametrize("key", IMPOSSIBLE)
def test_p01_what_is_no_key_is_refused_by_every_operation(door, key):
    path = percent_encode(key, "/")
    for method, query, body in (
        *(("PUT", "", b"v"), ("GET", "", b""), ("DELETE", "", b""), ("POST", "?uploads", b""), ("HEAD", "", b"")),
        *(("PUT", "?partNumber=1&uploadId=x", b"v"), ("GET", "?attributes", b"")),
    ):
        assert door.ask(method, f"/bkt/{path}{query}", body=body).status == 400
    assert door.ask("PUT", "/bkt/copy", {"x-amz-copy-source": f"bkt/{path}"}).status == 400
    document = b"<Delete><Object><Key>" + key + b"</Key></Object></Delete>"
    assert b"<Deleted>" not in door.ask("POST", "/bkt?delete", {}, document).body
    assert encoded_keys(door) == sorted(map(str.encode, INNOCENT))
    others_are_as_they_were(door)


@pytest.mark.parametrize("upload_id", ["..", "../../x", "a/b", "%00", "x" * 4000, "%ff"])
def test_p01_an_upload_is_named_by_its_id_alone(door, upload_id):
    assert door.ask("PUT", f"/bkt/k?partNumber=1&uploadId={upload_id}", body=b"v").status in {400, 404}
    assert door.ask("GET", f"/bkt/k?uploadId={upload_id}").status in {400, 404}
    others_are_as_they_were(door)


@pytest.mark.parametrize(
    "path", ["//x", "/%2f/x", "/../x", "/bkt%2f..%2fbucket/secret", "/bkt%2fx", "/BKT/x", "/./bkt/x"]
)
def test_p01_a_bucket_is_one_name_and_never_a_path(door, path):
    assert door.ask("GET", path).status in {400, 404}
    assert door.ask("PUT", path, body=b"v").status in {400, 404}
    others_are_as_they_were(door)


@pytest.mark.parametrize("key", ["public/../private", "public/./../private", "public/..", "private", "/public/x"])
def test_p02_a_policy_for_a_prefix_lets_nothing_out_of_it(door, key):
    door.put("private", b"innocent")
    sent = form("V4_FORM", {"key": key}, [{"bucket": "bkt"}, ["starts-with", "$key", "public/"]])
    assert door.house.ask(sent)[0] in {400, 403}
    assert door.ask("GET", "/bkt/private").body == b"innocent"
    assert sorted(door.keys()) == sorted([*INNOCENT, "private"])


def test_p03_what_the_house_keeps_for_itself_shows_nowhere(door):
    upload = door.begin("big")
    door.part("big", upload, 1, b"unfinished")
    assert sorted(door.keys()) == sorted(INNOCENT)
    names = [each.value("Name") for each in door.ask("GET", "/").xml("ListAllMyBucketsResult").children[1].children]
    assert names == ["bkt"]
    for bucket in (".gatefold", ".sys", ".minio.sys", ".trash", "~gf.u", "%2e", "0", "1"):
        assert door.ask("GET", f"/{bucket}?list-type=2").status in {400, 404}
        assert door.ask("PUT", f"/{bucket}/k", body=b"v").status in {400, 404}
        assert door.ask("PUT", f"/{bucket}").status == 400
        assert door.ask("PUT", "/bkt/copy", {"x-amz-copy-source": f"{bucket}/k"}).status in {400, 404}


@pytest.mark.parametrize("target", [b"/etc/passwd", b"../../..", b"loop", b"x", b"t" * 4096])
def test_p06_a_symbolic_link_is_no_object_and_is_never_followed(door, target):
    root = root_of(door)
    run(door.hall.ns.symlink(CREDENTIAL.caller, root, b"loop", target, SetAttr()))
    for method in ("GET", "HEAD", "DELETE"):
        answer = door.ask(method, "/bkt/loop")
        assert answer.status == (204 if method == "DELETE" else 404)
        assert b"root:" not in answer.body
    assert door.ask("PUT", "/bkt/loop", body=b"v").status == 409
    assert door.ask("PUT", "/bkt/loop/inside", body=b"v").status == 409
    assert door.ask("PUT", "/bkt/copy", {"x-amz-copy-source": "bkt/loop"}).status == 404
    assert run(door.hall.ns.readlink(ROOT, run(door.hall.ns.lookup(ROOT, root, b"loop")).file.file))
    assert sorted(door.keys()) == sorted(INNOCENT)
    others_are_as_they_were(door)


def test_p07_names_that_look_alike_are_different_objects(door):
    names = ["Caf\u00e9", unicodedata.normalize("NFD", "Caf\u00e9"), "caf\u00e9", "CAF\u00c9", "Cafe", "Caf\u0435"]
    for number, name in enumerate(names):
        door.put(percent_encode(name.encode()), b"%d" % number)
    for number, name in enumerate(names):
        assert door.ask("GET", "/bkt/" + percent_encode(name.encode())).body == b"%d" % number
    files = {run(door.hall.ns.lookup(ROOT, root_of(door), name.encode())).file.file for name in names}
    assert len(files) == len(names)
    assert {each.decode() for each in encoded_keys(door)} == {*INNOCENT, *names}
