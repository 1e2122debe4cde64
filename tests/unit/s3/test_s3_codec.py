from __future__ import annotations

import pytest
from botocore.compat import unquote_str
from hypothesis import example, given
from hypothesis import strategies as st

from namespace.api import Conditions, Listing, ListRequest
from protocols.s3.codec.conditions import parse_conditions
from protocols.s3.codec.dates import format_basic, format_http, format_xml, parse_basic, parse_http
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.listing import decode_token, encode_token, list_document, parse_limit, parse_list
from protocols.s3.codec.ranges import ByteRange, Unsatisfiable, resolve_range
from protocols.s3.codec.uri import Level, decode_query, parse_target, percent_decode, percent_encode, url_encode_key
from protocols.s3.codec.xmlread import MAX_DEPTH, read_xml
from protocols.s3.codec.xmlwrite import document, element, escape


def code_of(call, *args, **named):
    """Return the code of the S3Error that *call* raises, or None if it returns."""
    try:
        call(*args, **named)
    except S3Error as error:
        return error.code
    return None


@given(st.binary())
def test_percent_decoding_undoes_percent_encoding(raw):
    assert percent_decode(percent_encode(raw).encode()) == raw


@given(st.binary(max_size=200))
def test_random_targets_parse_or_raise_a_typed_error(raw):
    try:
        target = parse_target(b"/" + raw, "h", "s3.test")
    except S3Error:
        return
    assert len(target.key) <= 1024


@given(st.text(max_size=200))
def test_random_hosts_and_absolute_targets_parse_or_raise_a_typed_error(host):
    for target in (b"/b/k", b"http://" + host.encode()):
        try:
            parse_target(target, host, "s3.test")
        except S3Error:
            continue


def test_a_key_is_decoded_once_and_keeps_slashes_dots_and_plus():
    target = parse_target(b"/b/a%252Fb/..//%2e/c+d%20e%2F", "h", None)
    assert (target.bucket, target.key) == ("b", b"a%2Fb/..//./c+d e/")
    assert target.level is Level.OBJECT


@pytest.mark.parametrize(
    ("target", "code"),
    [
        (b"/b/%zz", "InvalidURI"),
        (b"/b/%2", "InvalidURI"),
        (b"/b/%ff", "InvalidURI"),
        (b"/b/k?a=%ff", "InvalidURI"),
        (b"/b/k#f", "InvalidURI"),
        (b"*", "InvalidURI"),
        (b"http://other/b/k", "InvalidURI"),
        (b"/b/" + b"k" * 1025, "KeyTooLongError"),
        (b"/b/k?" + b"a&" * 100, "InvalidURI"),
        (b"/b/k?a=1&a=2", "InvalidArgument"),
    ],
)
def test_targets_that_no_client_means_are_refused(target, code):
    with pytest.raises(S3Error) as caught:
        parse_target(target, "h", None)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("host", "target", "bucket", "key", "virtual"),
    [
        ("bkt.s3.test", b"/k", "bkt", b"k", True),
        ("BKT.s3.test:80", b"/k/l", "bkt", b"k/l", True),
        ("a.b.s3.test", b"/", "a.b", b"", True),
        ("s3.test", b"/bkt/k", "bkt", b"k", False),
        ("evils3.test", b"/bkt/k", "bkt", b"k", False),
        ("[::1]:80", b"/bkt/", "bkt", b"", False),
        ("h", b"http://H/bkt/k", "bkt", b"k", False),
    ],
)
def test_the_bucket_comes_from_the_host_or_from_the_path(host, target, bucket, key, virtual):
    parsed = parse_target(target, host, "s3.test")
    assert (parsed.bucket, parsed.key, parsed.virtual) == (bucket, key, virtual)


def test_query_parameters_keep_their_order_and_decode_plus_as_space():
    assert decode_query(b"a=1+2&b&c=%2B&&d==") == [("a", "1 2"), ("b", ""), ("c", "+"), ("d", "=")]


@given(st.text(min_size=1, max_size=50))
def test_url_encoded_keys_are_what_botocore_decodes(key):
    assert unquote_str(url_encode_key(key.encode())) == key


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_dates_survive_both_wire_forms(seconds):
    assert parse_http(format_http(seconds)) == seconds
    assert parse_basic(format_basic(seconds)) == seconds


@given(st.text(max_size=70))
def test_random_dates_are_refused_without_an_exception(text):
    for parse in (parse_http, parse_basic):
        assert parse(text) is None or isinstance(parse(text), int)


def test_dates_are_read_in_every_form_that_clients_send():
    assert parse_http("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777
    assert parse_http("Sunday, 06-Nov-94 08:49:37 GMT") == 784111777
    assert parse_http("Sun, 06 Nov 1994 09:49:37 +0100") == 784111777
    assert parse_basic("19941106T084937Z") == 784111777
    assert parse_basic("19941306T084937Z") is None
    assert format_xml(784111777_999_999_999) == "1994-11-06T08:49:37.000Z"


@given(st.text(max_size=40), st.integers(min_value=0, max_value=2**63))
def test_random_ranges_are_ignored_or_lie_inside_the_object(header, size):
    try:
        part = resolve_range(header, size)
    except Unsatisfiable:
        return
    assert part is None or (part.length > 0 and part.offset >= 0 and part.offset + part.length <= size)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 100))
def test_a_range_names_the_bytes_that_python_slices(first, last, size):
    body = bytes(range(size))
    if last < first:
        assert resolve_range(f"bytes={first}-{last}", size) is None
    elif first >= size:
        with pytest.raises(Unsatisfiable):
            resolve_range(f"bytes={first}-{last}", size)
    else:
        part = resolve_range(f"bytes={first}-{last}", size)
        assert body[part.offset : part.offset + part.length] == body[first : last + 1]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=5-", ByteRange(5, 5)),
        ("bytes=-3", ByteRange(7, 3)),
        ("bytes=-99", ByteRange(0, 10)),
        ("bytes=0-9223372036854775807", ByteRange(0, 10)),
        ("bytes=0-1,3-4", None),
        ("bytes=-", None),
        ("bytes= 0-1", None),
        ("bits=0-1", None),
        ("bytes=5-2", None),
        ("bytes=" + "9" * 5000 + "-", None),
        (None, None),
    ],
)
def test_h12_one_range_is_served_and_anything_else_is_ignored(header, expected):
    assert resolve_range(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-11", "bytes=-0", "bytes=9223372036854775808-"])
def test_h12_a_range_past_the_end_is_unsatisfiable(header):
    with pytest.raises(Unsatisfiable):
        resolve_range(header, 10)


def test_conditions_lose_quotes_and_weakness_and_ignore_bad_dates():
    headers = {"if-match": 'W/"a", "b"', "if-none-match": "*", "if-modified-since": "nonsense"}
    assert parse_conditions(headers) == Conditions((b"a", b"b"), (b"*",), None, None)
    assert parse_conditions({"if-unmodified-since": "Sun, 06 Nov 1994 08:49:37 GMT"}).if_unmodified_since == 784111777


def test_an_empty_if_match_matches_nothing():
    assert parse_conditions({"if-match": ""}).if_match == ()


@given(st.binary(max_size=1024))
@example(b"k" * 5120)  # of a path that NFS made
def test_continuation_tokens_carry_any_key_bytes(key):
    token = encode_token(key)
    assert decode_token(token) == key
    assert token.isascii()
    assert not set(token) & set("+/=&")


@given(st.text(max_size=60))
def test_random_tokens_decode_or_raise_a_typed_error(token):
    refused = code_of(decode_token, token)
    assert refused == "InvalidArgument" or encode_token(decode_token(token)) == token


@given(st.text(max_size=20))
def test_page_sizes_are_bounded_integers_or_typed_errors(text):
    refused = code_of(parse_limit, text, "max-keys")
    assert refused == "InvalidArgument" or 0 <= parse_limit(text, "max-keys") <= 1000


@given(st.text(max_size=300))
def test_escaped_text_reads_back_except_what_xml_cannot_say(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    cannot = any(ord(char) < 32 and char not in "\t\n\r" for char in text) or set(text) & {"\ufffe", "\uffff"}
    written = document("A", element("B", text))
    if cannot:
        with pytest.raises(S3Error):
            read_xml(written, "A")
    else:
        assert read_xml(written, "A").value("B") == text


@given(st.binary(max_size=200))
def test_random_xml_reads_or_raises_malformed_xml(raw):
    for text in (raw, b"<Delete>" + raw + b"</Delete>"):
        assert code_of(read_xml, text, "Delete") in (None, "MalformedXML")


LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10 if n else b"ha") for n in range(10))


@pytest.mark.parametrize(
    "text",
    [
        b'<!DOCTYPE A SYSTEM "file:///etc/passwd"><A/>',
        b'<!DOCTYPE A [<!ENTITY e SYSTEM "file:///etc/passwd">]><A>&e;</A>',
        b'<!DOCTYPE A [<!ENTITY % e SYSTEM "http://127.0.0.1:1/"> %e;]><A/>',
        b"<!DOCTYPE A [" + LAUGHS + b"]><A>&l9;</A>",
        b"<!DOCTYPE A><A/>",
        b"<?target x?><A/>",
        b"<A>" * (MAX_DEPTH + 1) + b"</A>" * (MAX_DEPTH + 1),
        b"<A>" + b"<B/>" * 20_001 + b"</A>",
        b"<A>" * 100_000,
        "<A/>".encode("utf-16"),
        "<A/>".encode("utf-32"),
        b'<A xmlns="http://elsewhere/"/>',
        b"<A/><A/>",
        b"<A>",
        b"",
        b"<B/>",
        b"\xef\xbb\xbf\xef\xbb\xbf<A/>",
    ],
)
def test_x01_x02_documents_that_no_client_sends_are_malformed(text):
    with pytest.raises(S3Error) as caught:
        read_xml(text, "A")
    assert caught.value.code == "MalformedXML"


def test_a_document_is_read_with_and_without_the_namespace_of_s3():
    for text in (b"<A><B>1</B></A>", b'<A xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><B>1</B></A>'):
        assert read_xml(text, "A").value("B") == "1"
    with pytest.raises(S3Error):
        read_xml(b"<A><B>1</B><B>2</B></A>", "A").value("B")


def test_control_characters_become_references():
    assert escape("a<b>&\"\x01\x7f'") == "a&lt;b&gt;&amp;&quot;&#x1;&#x7f;'"


def test_a_list_of_version_one_and_two_take_their_own_parameters():
    params = {"prefix": "p/", "delimiter": "/", "marker": "m", "start-after": "s", "max-keys": "7"}
    assert parse_list(params, version=1) == ListRequest(b"p/", b"/", b"m", 7)
    assert parse_list(params, version=2) == ListRequest(b"p/", b"/", b"s", 7)
    params["continuation-token"] = encode_token("ü".encode())
    assert parse_list(params, version=2).after == "ü".encode()
    with pytest.raises(S3Error):
        parse_list({"encoding-type": "gzip"}, version=1)
    with pytest.raises(S3Error):
        parse_list({"max-keys": "-1"}, version=2)


def test_a_list_document_says_how_to_go_on():
    request = ListRequest(b"", b"/", b"", 2)
    listing = Listing((), (b"a b/",), b"a b/")
    params = {"delimiter": "/", "encoding-type": "url"}
    tree = read_xml(list_document("bkt", params, request, listing, lambda _info: ("id", "me"), 2), "ListBucketResult")
    assert tree.value("IsTruncated") == "true"
    assert decode_token(tree.value("NextContinuationToken")) == b"a b/"
    assert tree.value("KeyCount") == "1"
    first = read_xml(list_document("bkt", params, request, listing, lambda _info: ("id", "me"), 1), "ListBucketResult")
    assert first.value("NextMarker") == "a%20b/"
