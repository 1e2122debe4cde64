"""Tags and ACLs by raw HTTP: each operation's success, and each error that S3 documents for it."""

from __future__ import annotations

import pytest
from loop import House
from signing import ACCESS_KEY, CREDENTIAL, sign, signed, wire

from protocols.s3.codec.acl import ALL_USERS, AUTHENTICATED_USERS
from protocols.s3.codec.tagging import header_tags, read_tags
from protocols.s3.codec.xmlread import read_xml

ME, YOU = CREDENTIAL.owner, "b" * 64
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


@pytest.fixture
def house():
    house = House()
    house.namespace.buckets["bkt"] = {}
    assert ask(house, "PUT", "/bkt/key", body=b"hello")[0] == 200
    return house


def ask(house, method, path, headers=None, body=b""):
    return house.ask(signed("V4_HEADER", method, path, headers, body))


def code(answer):
    return read_xml(answer[2], "Error").value("Code")


def tagging(*pairs):
    rows = "".join(f"<Tag><Key>{name}</Key><Value>{value}</Value></Tag>" for name, value in pairs)
    return f"<Tagging><TagSet>{rows}</TagSet></Tagging>".encode()


def tags_of(answer):
    tags = read_xml(answer[2], "Tagging").children[0].children
    return {tag.value("Key"): tag.value("Value") for tag in tags}


# ---------------------------------------------------------------------- tags


def test_an_objects_tags_are_put_got_counted_and_deleted(house):
    assert ask(house, "GET", "/bkt/key?tagging")[2].endswith(b"<TagSet></TagSet></Tagging>")
    assert ask(house, "PUT", "/bkt/key?tagging", body=tagging(("a", "1"), ("b c", "")))[0] == 200
    assert tags_of(ask(house, "GET", "/bkt/key?tagging")) == {"a": "1", "b c": ""}
    for method in ("GET", "HEAD"):
        assert ask(house, method, "/bkt/key")[1]["x-amz-tagging-count"] == "2"
    assert ask(house, "PUT", "/bkt/key?tagging", body=tagging(("z", "&#43;=")))[0] == 200
    assert tags_of(ask(house, "GET", "/bkt/key?tagging")) == {"z": "+="}
    assert ask(house, "DELETE", "/bkt/key?tagging")[0] == 204
    assert tags_of(ask(house, "GET", "/bkt/key?tagging")) == {}
    assert "x-amz-tagging-count" not in ask(house, "HEAD", "/bkt/key")[1]


def test_a_put_brings_its_tags_in_a_header(house):
    headers = {"x-amz-tagging": "a=1&sp+ace=%C3%BC%20x&empty="}
    assert ask(house, "PUT", "/bkt/tagged", headers, b"x")[0] == 200
    assert tags_of(ask(house, "GET", "/bkt/tagged?tagging")) == {"a": "1", "sp ace": "ü x", "empty": ""}


BAD_TAGS = {
    "eleven": ([(f"k{number}", "") for number in range(11)], "BadRequest"),
    "twice": ([("a", "1"), ("a", "2")], "InvalidTag"),
    "long key": ([("k" * 129, "")], "InvalidTag"),
    "long value": ([("k", "v" * 257)], "InvalidTag"),
    "no key": ([("", "v")], "InvalidTag"),
    "system": ([("aws:a", "v")], "InvalidTag"),
    "System": ([("AWS:a", "v")], "InvalidTag"),
    "O10 quote": ([("a'; DROP TABLE inode; --", "v")], "InvalidTag"),
    "O10 percent": ([("a", "%")], "InvalidTag"),
    "O10 backslash": ([("a", "b\\")], "InvalidTag"),
    "O10 star": ([("a", "*)(uid=*")], "InvalidTag"),
    "O10 line": ([("a", "b\n")], "InvalidTag"),
}


@pytest.mark.parametrize("what", BAD_TAGS)
def test_o10_tags_that_cannot_be_are_refused_and_change_nothing(house, what):
    pairs, wanted = BAD_TAGS[what]
    assert ask(house, "PUT", "/bkt/key?tagging", body=tagging(("old", "one")))[0] == 200
    assert code(ask(house, "PUT", "/bkt/key?tagging", body=tagging(*pairs))) == wanted
    assert tags_of(ask(house, "GET", "/bkt/key?tagging")) == {"old": "one"}


BAD_HEADERS = {
    "a=1&a=2": "InvalidArgument",
    "a=%zz": "InvalidArgument",
    "a=%ff": "InvalidArgument",
    "&".join(f"k{number}=" for number in range(11)): "BadRequest",
    "a=%00": "InvalidTag",
    "a=%27%20OR%201": "InvalidTag",
}


@pytest.mark.parametrize(("text", "wanted"), BAD_HEADERS.items())
def test_o10_a_tagging_header_that_cannot_be_stores_nothing(house, text, wanted):
    assert code(ask(house, "PUT", "/bkt/new", {"x-amz-tagging": text}, b"x")) == wanted
    assert b"new" not in house.namespace.buckets["bkt"]


NO_TAGGING = [
    *(b"", b"<Tagging/>", b"<TagSet/>", b"<Tagging><TagSet/><TagSet/></Tagging>", b"x" * 200_000),
    b"<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>",
    b"<Tagging><TagSet><Tag><Key>a</Key><Key>b</Key><Value/></Tag></TagSet></Tagging>",
    b"<Tagging><TagSet><Other><Key>a</Key><Value/></Other></TagSet></Tagging>",
]


@pytest.mark.parametrize("body", NO_TAGGING)
@pytest.mark.parametrize("path", ["/bkt", "/bkt/key"])
def test_a_tagging_document_that_is_none_is_malformed(house, path, body):
    assert code(ask(house, "PUT", f"{path}?tagging", body=body)) == "MalformedXML"


def test_a_buckets_tags_are_put_got_and_deleted(house):
    assert code(ask(house, "GET", "/bkt?tagging")) == "NoSuchTagSet"
    assert ask(house, "PUT", "/bkt?tagging", body=tagging(*((f"k{n}", str(n)) for n in range(50))))[0] == 200
    assert len(tags_of(ask(house, "GET", "/bkt?tagging"))) == 50
    assert code(ask(house, "PUT", "/bkt?tagging", body=tagging(*((f"k{n}", "") for n in range(51))))) == "BadRequest"
    assert ask(house, "DELETE", "/bkt?tagging")[0] == 204
    assert code(ask(house, "GET", "/bkt?tagging")) == "NoSuchTagSet"


def test_header_and_document_mean_the_same_tags():
    assert header_tags("a=1&b=x%20y") == read_tags(tagging(("a", "1"), ("b", "x y")), 10)
    assert header_tags("") == {}


@pytest.mark.parametrize("sub_resource", ["tagging", "acl"])
def test_what_is_not_there_is_said_so(house, sub_resource):
    body = {"tagging": tagging(), "acl": b""}[sub_resource]
    headers = {"x-amz-acl": "private"} if sub_resource == "acl" else {}
    for method, sent in (("GET", b""), ("PUT", body)):
        extra = headers if method == "PUT" else {}
        assert code(ask(house, method, f"/bkt/none?{sub_resource}", extra, sent)) == "NoSuchKey"
        assert code(ask(house, method, f"/none?{sub_resource}", extra, sent)) == "NoSuchBucket"
        assert code(ask(house, method, f"/none/key?{sub_resource}", extra, sent)) == "NoSuchBucket"


@pytest.mark.parametrize("asked", ["POST /bkt?acl", "DELETE /bkt?acl", "POST /bkt/key?tagging", "DELETE /bkt/key?acl"])
def test_what_s3_does_not_have_is_not_the_plain_operation(house, asked):
    method, path = asked.split()
    assert code(ask(house, method, path)) == "NotImplemented"
    assert list(house.namespace.buckets["bkt"]) == [b"key"]


@pytest.mark.parametrize("sub_resource", ["tagging", "acl"])
def test_tags_and_acls_of_versions_are_not_served(house, sub_resource):
    assert code(ask(house, "GET", f"/bkt/key?{sub_resource}&versionId=1")) == "NotImplemented"


# ---------------------------------------------------------------------- ACLs


def policy(*grants, owner=ME):
    rows = "".join(
        f"<Grant><Grantee {XSI}>{who}</Grantee><Permission>{what}</Permission></Grant>" for who, what in grants
    )
    return (
        f"<AccessControlPolicy><Owner><ID>{owner}</ID></Owner>"
        f"<AccessControlList>{rows}</AccessControlList></AccessControlPolicy>"
    ).encode()


def user(account):
    return f"<ID>{account}</ID><DisplayName>x</DisplayName>"


def group(uri):
    return f"<URI>{uri}</URI>"


OWNS = (user(ME), "FULL_CONTROL")


def grants_of(answer):
    root = read_xml(answer[2], "AccessControlPolicy")
    owner = next(child for child in root.children if child.name == "Owner").value("ID")
    found = []
    for grant in next(child for child in root.children if child.name == "AccessControlList").children:
        grantee = grant.children[0]
        found.append((grantee.value("ID") or grantee.value("URI"), grant.value("Permission")))
    return owner, found


FULL = (ME, "FULL_CONTROL")
SHOWN = {
    "private": [FULL],
    "public-read": [FULL, (ALL_USERS, "READ")],
    "public-read-write": [FULL, (ALL_USERS, "READ"), (ALL_USERS, "WRITE")],
    "authenticated-read": [FULL, (AUTHENTICATED_USERS, "READ")],
}


@pytest.mark.parametrize("acl", SHOWN)
@pytest.mark.parametrize("path", ["/bkt", "/bkt/key"])
def test_a_canned_acl_is_shown_as_its_grants_and_taken_back_as_them(house, path, acl):
    assert ask(house, "PUT", f"{path}?acl", {"x-amz-acl": acl})[0] == 200
    answer = ask(house, "GET", f"{path}?acl")
    assert grants_of(answer) == (ME, SHOWN[acl])
    assert b"<DisplayName>me</DisplayName>" in answer[2]
    assert ask(house, "PUT", f"{path}?acl", {"x-amz-acl": "private"})[0] == 200
    assert ask(house, "PUT", f"{path}?acl", body=answer[2])[0] == 200
    assert grants_of(ask(house, "GET", f"{path}?acl")) == (ME, SHOWN[acl])


def test_a_file_of_another_account_shows_its_owner_and_what_the_buckets_has(house):
    house.namespace.uid = 2000
    for acl, wanted in (("bucket-owner-read", "READ"), ("bucket-owner-full-control", "FULL_CONTROL")):
        assert ask(house, "PUT", "/bkt/key?acl", {"x-amz-acl": acl})[0] == 200
        answer = ask(house, "GET", "/bkt/key?acl")
        assert grants_of(answer) == (YOU, [(YOU, "FULL_CONTROL"), (ME, wanted)])
        house.namespace.acls.clear()
        assert ask(house, "PUT", "/bkt/key?acl", body=answer[2])[0] == 200
        assert house.namespace.acls["bkt", b"key"] == acl
    house.namespace.uid = 4711
    assert grants_of(ask(house, "GET", "/bkt/key?acl"))[0] == ME, "no account has that uid"


def test_grants_in_headers_mean_a_canned_acl(house):
    headers = {
        "x-amz-grant-read": f'uri="{ALL_USERS}", uri={AUTHENTICATED_USERS}',
        "x-amz-grant-full-control": f"id={ME}",
    }
    assert ask(house, "PUT", "/bkt/key?acl", headers)[0] == 200
    assert house.namespace.acls["bkt", b"key"] == "public-read"


@pytest.mark.parametrize("acl", ["bucket-owner-read", "bucket-owner-full-control"])
def test_an_acl_of_objects_alone_leaves_a_bucket_private(house, acl):
    assert ask(house, "PUT", "/bkt?acl", {"x-amz-acl": acl})[0] == 200
    assert house.namespace.acls["bkt", b""] == "private"


BAD_ACLS = {
    "no such": ({"x-amz-acl": "public"}, b"", "InvalidArgument"),
    "O10": ({"x-amz-acl": "private'; --"}, b"", "InvalidArgument"),
    "log": ({"x-amz-acl": "log-delivery-write"}, b"", "NotImplemented"),
    "nothing": ({}, b"", "MissingSecurityHeader"),
    "both headers": ({"x-amz-acl": "private", "x-amz-grant-read": f"id={ME}"}, b"", "InvalidRequest"),
    "header and body": ({"x-amz-acl": "private"}, policy(OWNS), "UnexpectedContent"),
    "no XML": ({}, b"<x", "MalformedACLError"),
    "no list": ({}, b"<AccessControlPolicy/>", "MalformedACLError"),
    "no grantee": ({}, policy(("", "READ"), OWNS), "MalformedACLError"),
    "no permission": ({}, policy((user(ME), "EVERYTHING")), "MalformedACLError"),
    "two of one": ({}, policy((user(ME) + group(ALL_USERS), "READ"), OWNS), "MalformedACLError"),
    "doctype": ({}, b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + policy(OWNS), "MalformedACLError"),
    "too many": ({}, policy(*[OWNS] * 101), "MalformedACLError"),
    "too long": ({}, b"<" + b"x" * 70_000, "MalformedXML"),
    "another owner": ({}, policy(OWNS, owner=YOU), "AccessDenied"),
    "not the owner's": ({}, policy((group(ALL_USERS), "READ")), "NotImplemented"),
    "write alone": ({}, policy(OWNS, (group(ALL_USERS), "WRITE")), "NotImplemented"),
    "of the ACL": ({}, policy(OWNS, (group(ALL_USERS), "READ_ACP")), "NotImplemented"),
    "everything": ({}, policy(OWNS, (group(ALL_USERS), "FULL_CONTROL")), "NotImplemented"),
    "another account": ({}, policy(OWNS, (user(YOU), "READ")), "NotImplemented"),
    "nobody's account": ({}, policy(OWNS, (user("c" * 64), "READ")), "InvalidArgument"),
    "O10 account": ({}, policy(OWNS, (user("' OR 1=1 --"), "READ")), "InvalidArgument"),
    "group": ({}, policy(OWNS, (group("http://acs.amazonaws.com/groups/s3/Other"), "READ")), "InvalidArgument"),
    "e-mail": ({}, policy(OWNS, ("<EmailAddress>a@b.c</EmailAddress>", "READ")), "NotImplemented"),
    "no header grant": ({"x-amz-grant-read": "everybody"}, b"", "InvalidArgument"),
}


@pytest.mark.parametrize("path", ["/bkt", "/bkt/key"])
@pytest.mark.parametrize("what", BAD_ACLS)
def test_an_acl_that_cannot_be_is_refused_and_changes_nothing(house, what, path):
    headers, body, wanted = BAD_ACLS[what]
    assert code(ask(house, "PUT", f"{path}?acl", headers, body)) == wanted
    assert grants_of(ask(house, "GET", f"{path}?acl")) == (ME, [FULL])


def test_a_canned_acl_comes_with_what_it_is_made_for(house):
    assert ask(house, "PUT", "/bkt/key", {"x-amz-acl": "public-read"}, b"x")[0] == 200
    assert house.namespace.put_acl == "public-read"
    assert ask(house, "PUT", "/new", {"x-amz-acl": "public-read"})[0] == 200
    assert house.namespace.acls["new", b""] == "public-read"
    assert code(ask(house, "PUT", "/newer", {"x-amz-acl": "no"})) == "InvalidArgument"
    assert code(ask(house, "PUT", "/newer", {"x-amz-object-ownership": "ObjectWriter"})) == "NotImplemented"


# ---------------------------------------------------------------------- owners, and keys that go


def test_a_list_tells_whose_each_object_is(house):
    for uid, owner in ((1000, ME), (2000, YOU), (0, ME)):
        house.namespace.uid = uid
        for path in ("/bkt", "/bkt?list-type=2&fetch-owner=true"):
            listed = read_xml(ask(house, "GET", path)[2], "ListBucketResult")
            (contents,) = (child for child in listed.children if child.name == "Contents")
            (shown,) = (child for child in contents.children if child.name == "Owner")
            assert (shown.value("ID"), shown.value("DisplayName")) == (owner, "me" if owner == ME else "you")
    assert b"<Owner>" not in ask(house, "GET", "/bkt?list-type=2")[2]


def test_nobody_learns_how_many_tags_there_are(house):
    ask(house, "PUT", "/bkt/key?tagging", body=tagging(("a", "1")))
    assert "x-amz-tagging-count" not in house.ask(wire("GET", "/bkt/key", {"Host": "h"}))[1]


def test_a24_a_key_that_is_removed_opens_nothing_more(house):
    assert ask(house, "GET", "/bkt/key")[0] == 200
    house.removed.add(ACCESS_KEY)
    assert code(ask(house, "GET", "/bkt/key")) == "InvalidAccessKeyId"


@pytest.mark.parametrize("path", ["/bkt/key", "/bkt/key?tagging", "/bkt?tagging", "/bkt/key?acl"])
def test_a24_what_a_key_began_to_send_is_not_done_once_the_key_is_removed(house, path):
    body = tagging(("a", "1"))
    before = repr(house.namespace.buckets), repr(house.namespace.bucket_tags)
    target, sent = sign("V4_HEADER", "PUT", f"http://localhost{path}", {"Expect": "100-continue"}, body)
    client = house.connect()
    client.protocol.dataReceived(wire("PUT", target, sent))
    assert client.taken().startswith(b"HTTP/1.1 100 ")
    house.removed.add(ACCESS_KEY)
    client.protocol.dataReceived(body)
    assert b"<Code>InvalidAccessKeyId</Code>" in client.taken()
    assert (repr(house.namespace.buckets), repr(house.namespace.bucket_tags)) == before
    assert house.namespace.aborted == (path == "/bkt/key")
