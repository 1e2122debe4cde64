"""ListBuckets and ListObjects in every parameter, by raw requests."""

from __future__ import annotations

import pytest
from hall import MemoryHall, run
from loop import House
from signing import CREDENTIAL, signed

from protocols.s3.codec.listing import encode_token
from protocols.s3.codec.xmlread import read_xml

ME = CREDENTIAL.caller
KEYS = ["a", "b/x", "b/y", "c d", "d%25", "é"]


@pytest.fixture
def house():
    house = House(MemoryHall().ns)
    run(house.namespace.create_bucket(ME, "bkt"))
    for key in KEYS:
        assert ask(house, "/bkt/" + key.replace(" ", "%20").replace("é", "%C3%A9"), "PUT")[0] == 200
    return house


def ask(house, path, method="GET", headers=None):
    return house.ask(signed("V4_HEADER", method, path, headers))


def code(answer):
    return read_xml(answer[2], "Error").value("Code")


def page(house, query):
    """Return keys, common prefixes and the tree of a listing."""
    tree = read_xml(ask(house, f"/bkt?{query}")[2], "ListBucketResult")
    keys = [each.value("Key") for each in tree.children if each.name == "Contents"]
    prefixes = [each.value("Prefix") for each in tree.children if each.name == "CommonPrefixes"]
    return keys, prefixes, tree


def test_a_list_of_version_one_names_its_next_marker_with_a_delimiter_alone(house):
    keys, _, tree = page(house, "max-keys=2")
    assert (keys, tree.value("IsTruncated"), tree.value("NextMarker")) == (["a", "b/x"], "true", None)
    keys, prefixes, tree = page(house, "max-keys=2&delimiter=%2F")
    assert (keys, prefixes, tree.value("NextMarker")) == (["a"], ["b/"], "b/")
    keys, prefixes, tree = page(house, "delimiter=%2F&marker=b%2F")
    assert (keys, prefixes, tree.value("IsTruncated"), tree.value("NextMarker")) == (
        ["c d", "d%", "é"],
        [],
        "false",
        None,
    )
    assert tree.value("Marker") == "b/"


def test_an_empty_delimiter_prefix_or_marker_is_none(house):
    keys, prefixes, tree = page(house, "delimiter=&prefix=&marker=")
    assert (len(keys), prefixes, tree.value("Delimiter"), tree.value("Prefix")) == (6, [], None, "")


@pytest.mark.parametrize("query", ["max-keys=0", "list-type=2&max-keys=0", "max-keys=0&delimiter=%2F"])
def test_no_keys_are_listed_when_none_are_asked_for(house, query):
    keys, prefixes, tree = page(house, query)
    assert (keys, prefixes, tree.value("IsTruncated"), tree.value("MaxKeys")) == ([], [], "false", "0")


def test_a_page_has_a_thousand_keys_at_most(house):
    assert page(house, "max-keys=2147483647")[2].value("MaxKeys") == "1000"


@pytest.mark.parametrize("query", ["max-keys=-1", "max-keys=x", "max-keys=", "max-keys=1e3", "encoding-type=base64"])
def test_a_list_that_cannot_be_asked_for_is_refused(house, query):
    for version in ("", "list-type=2&"):
        assert code(ask(house, f"/bkt?{version}{query}")) == "InvalidArgument"


def test_keys_are_encoded_when_asked_and_then_everywhere(house):
    _, prefixes, tree = page(house, "encoding-type=url&delimiter=%20&marker=c&max-keys=1")
    assert (prefixes, tree.value("EncodingType"), tree.value("Delimiter")) == (["c%20"], "url", "%20")
    assert tree.value("NextMarker") == "c%20"
    assert page(house, "encoding-type=url&prefix=%C3%A9")[0] == ["%C3%A9"]
    assert page(house, "prefix=%C3%A9")[0] == ["é"]


def test_owners_are_told_by_version_one_and_by_version_two_on_demand(house):
    def owner(query):
        found = next(each for each in page(house, query)[2].children if each.name == "Contents")
        return next((each.value("ID") for each in found.children if each.name == "Owner"), None)

    assert owner("") == CREDENTIAL.owner
    assert owner("list-type=2") is None
    assert owner("list-type=2&fetch-owner=false") is None
    assert owner("list-type=2&fetch-owner=true") == CREDENTIAL.owner


def test_a_token_goes_before_start_after_and_an_empty_one_is_none(house):
    keys, _, tree = page(house, "list-type=2&start-after=b%2Fx")
    assert (keys[0], tree.value("StartAfter"), tree.value("KeyCount")) == ("b/y", "b/x", "4")
    token = encode_token(b"c d")
    keys, _, tree = page(house, f"list-type=2&start-after=a&continuation-token={token}")
    assert (keys, tree.value("ContinuationToken"), tree.value("StartAfter")) == (["d%", "é"], token, "a")
    keys, _, tree = page(house, "list-type=2&start-after=c&continuation-token=")
    assert (keys[0], tree.value("ContinuationToken")) == ("c d", "")


@pytest.mark.parametrize("token", ["x", "AA", "AmE", "%00", "a" * 8000])
def test_a_token_that_is_none_of_ours_is_refused(house, token):
    answer = ask(house, f"/bkt?list-type=2&continuation-token={token}")
    assert answer[0] in (400, 414)
    assert ask(house, f"/?continuation-token={token}")[0] in (400, 414)


def test_a_token_whose_bytes_are_no_text_lists_buckets_all_the_same(house):
    assert ask(house, f"/?continuation-token={encode_token(bytes([255]))}")[0] == 200


def test_attributes_that_no_object_here_has_are_not_missed(house):
    assert ask(house, "/bkt?list-type=2", headers={"x-amz-optional-object-attributes": "RestoreStatus"})[0] == 200


def test_a_list_of_no_bucket_or_of_another_version_is_refused(house):
    assert code(ask(house, "/none")) == "NoSuchBucket"
    assert code(ask(house, "/none?list-type=2&max-keys=0")) == "NoSuchBucket"
    assert code(ask(house, "/bkt?list-type=3")) == "InvalidArgument"
    for query in ("list-type=2&marker=a", "start-after=a", "continuation-token=a", "fetch-owner=true"):
        assert code(ask(house, f"/bkt?{query}")) == "NotImplemented"


def buckets(house, query=""):
    tree = read_xml(ask(house, f"/?{query}")[2], "ListAllMyBucketsResult")
    rows = next(each for each in tree.children if each.name == "Buckets").children
    return [each.value("Name") for each in rows], rows, tree


def test_all_buckets_are_listed_to_a_client_that_asks_for_no_pages():
    house = House()
    house.namespace.buckets = {f"bucket-{number:04}": {} for number in range(1200)}
    names, rows, tree = buckets(house)
    assert (len(names), tree.value("ContinuationToken"), rows[0].value("BucketRegion")) == (1200, None, None)


def test_a_page_of_buckets_names_its_region_and_prefix(house):
    run(house.namespace.create_bucket(ME, "bkt2"))
    names, rows, tree = buckets(house, "prefix=bk&max-buckets=1")
    assert (names, rows[0].value("BucketRegion"), tree.value("Prefix")) == (["bkt"], "us-east-1", "bk")
    assert buckets(house, f"max-buckets=1&continuation-token={tree.value('ContinuationToken')}")[0] == ["bkt2"]
    assert buckets(house, "bucket-region=us-east-1")[0] == ["bkt", "bkt2"]
    assert buckets(house, "bucket-region=eu-west-1")[0] == []


@pytest.mark.parametrize("number", ["0", "-1", "x", ""])
def test_a_page_of_no_buckets_cannot_be_asked_for(house, number):
    assert code(ask(house, f"/?max-buckets={number}")) == "InvalidArgument"


def test_a_bucket_of_another_account_is_neither_listed_nor_told_of(house):
    run(house.namespace.create_bucket(ME.__class__(7, 7, account="other"), "theirs", "private"))
    assert buckets(house)[0] == ["bkt"]
    assert ask(house, "/theirs", "HEAD")[0] == 403
    assert code(ask(house, "/theirs?location")) == "AccessDenied"
    assert code(ask(house, "/theirs", "PUT")) == "BucketAlreadyExists"
    assert code(ask(house, "/theirs", "DELETE")) == "AccessDenied"
    for sub_resource in ("cors", "policy", "logging", "versioning"):
        assert code(ask(house, f"/theirs?{sub_resource}")) == "AccessDenied"


def test_a_bucket_that_is_not_there_is_not_found_by_any_operation(house):
    assert ask(house, "/none", "HEAD")[0] == 404
    for path, method in (
        ("/none?location", "GET"),
        ("/none", "DELETE"),
        ("/none?cors", "GET"),
        ("/none?logging", "GET"),
    ):
        assert code(ask(house, path, method)) == "NoSuchBucket"
    assert code(ask(house, "/bkt", "PUT")) == "BucketAlreadyOwnedByYou"
    assert code(ask(house, "/bkt", "DELETE")) == "BucketNotEmpty"
