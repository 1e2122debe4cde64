"""Attacks with XML, headers and HTTP framing at the S3 door; ids are those of the security checklist."""

from __future__ import annotations

import builtins
import re
import socket
import time
import tracemalloc
from dataclasses import replace

import loop
import pytest
from loop import House, send, statuses
from signing import CREDENTIAL, get, sign, signed, wire
from test_s3_matrix import ROWS, request
from twisted.logger import globalLogPublisher

from protocols.s3.auth.credential import AuthType, PayloadMode
from protocols.s3.codec.conditions import parse_conditions
from protocols.s3.codec.dates import parse_basic, parse_http, parse_xml
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.ranges import resolve_range
from protocols.s3.codec.xmlread import read_xml
from protocols.s3.http.head import MAX_HEAD_BYTES
from protocols.s3.operations.deletion import MAX_DOCUMENT_BYTES

#: As many as any document may have: those of 10,000 parts.
MAX_ELEMENTS = 60_002
#: Requests whose body is a document, and the document's root.
DOCUMENTS = {
    "Delete": ("POST", "/bkt?delete"),
    "CompleteMultipartUpload": ("POST", "/bkt/key2?uploadId=x"),
    "CreateBucketConfiguration": ("PUT", "/new-bkt"),
}
OBJECT = "<Object><Key>key</Key></Object>"


@pytest.fixture
def house():
    house = House()
    house.namespace.buckets |= {"bkt": {}, "empty-bkt": {}}
    house.ask(signed("V4_HEADER", "PUT", "/bkt/key", {}, b"hello"))
    return house


def bounded(work, seconds, most_bytes):
    """Do *work* twice: once on the clock, once counting memory."""
    started = time.process_time()
    work()
    assert time.process_time() - started < seconds
    tracemalloc.start()
    try:
        work()
        assert tracemalloc.get_traced_memory()[1] < most_bytes
    finally:
        tracemalloc.stop()


# ---------------------------------------------------------------------- documents


@pytest.mark.parametrize("root", DOCUMENTS)
@pytest.mark.parametrize(
    "prolog",
    [
        '<!DOCTYPE {0} SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE {0} [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE {0} [<!ENTITY % e SYSTEM "http://127.0.0.1:9/x.dtd"> %e;]>',
        '<!DOCTYPE {0} PUBLIC "x" "http://127.0.0.1:9/x.dtd">',
        '<?xml-stylesheet href="http://127.0.0.1:9/"?>',
    ],
)
def test_x01_a_document_reads_no_file_and_calls_nobody(house, monkeypatch, root, prolog):
    def never(*_args, **_how):
        raise AssertionError("the document was believed")

    monkeypatch.setattr(builtins, "open", never)
    monkeypatch.setattr(socket, "create_connection", never)
    monkeypatch.setattr(socket.socket, "connect", never)
    method, path = DOCUMENTS[root]
    document = f"{prolog.format(root)}<{root}>&e;{OBJECT}</{root}>".encode()
    status, _, answer = house.ask(signed("V4_HEADER", method, path, {}, document))
    assert (status, b"MalformedXML" in answer) == (400, True)
    assert b"key" in house.namespace.buckets["bkt"]


def bombs():
    """Yield (name, document)."""
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(10))
    yield "laughs", f"<!DOCTYPE A [{laughs}]><A>&l9;</A>".encode()
    yield "quadratic entity", f'<!DOCTYPE A [<!ENTITY e "{"x" * 100_000}">]><A>{"&e;" * 10_000}</A>'.encode()
    yield "depth", b"<A>" * 100_000
    yield "attributes", b"<A " + b" ".join(b'a%d="1"' % n for n in range(100_000)) + b"><B></A>"
    yield "attributes of many", (b"<A " + b" ".join(b'a%d="1"' % n for n in range(1_500)) + b"></A>") * 200
    yield "one long text", b"<A>" + b"t" * MAX_DOCUMENT_BYTES + b"</B>"
    yield "text between children", b"<A>" + (b"t" * 60 + b"<B/>") * 60_000 + b"</C>"
    yield "references", b"<A>" + b"&#65;" * 400_000 + b"</B>"
    yield "comments", b"<A>" + b"t<!---->" * 250_000 + b"</B>"
    yield "utf-7", b'<?xml version="1.0" encoding="UTF-7"?>+ADw-A+AD4-'
    yield "utf-32", "<A/>".encode("utf-32-be")
    yield "utf-16", "\ufeff<A/>".encode("utf-16-le")


BOMBS = dict(bombs())


@pytest.mark.parametrize("name", BOMBS)
def test_x02_no_document_costs_more_than_its_size(name):
    document = BOMBS[name]

    def read():
        with pytest.raises(S3Error, match="MalformedXML"):
            read_xml(document, "A", MAX_ELEMENTS)

    bounded(read, 0.5, 4 * MAX_DOCUMENT_BYTES + 4 * len(document))


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("root", DOCUMENTS)
def test_x03_a_document_that_is_too_long_is_refused_however_it_begins(house, root, framing):
    method, path = DOCUMENTS[root]
    document = f"<{root}>{OBJECT}</{root}>".encode() + b" " * (5 << 20)
    target, sent = sign("V4_HEADER", method, f"http://localhost{path}", {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
    sent.pop("Content-Length", None)
    sent |= {"Transfer-Encoding": "chunked"} if framing == "chunked" else {"Content-Length": str(len(document))}
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(document), document) if framing == "chunked" else document
    connection = send(house, wire(method, target, sent), *(body[at : at + 65536] for at in range(0, len(body), 65536)))
    assert statuses(connection.taken())[0] == 400
    assert list(house.namespace.buckets) == ["bkt", "empty-bkt"]
    assert b"key" in house.namespace.buckets["bkt"]


@pytest.mark.parametrize(
    ("root", "content"),
    [
        ("Delete", OBJECT + "<Unknown/>"),
        ("Delete", OBJECT + "<Quiet>true</Quiet><Quiet>false</Quiet>"),
        ("Delete", "<Object><Key>key</Key><Key>other</Key></Object>"),
        ("Delete", "<Object/>"),
        ("Delete", f'{OBJECT}<x xmlns="http://elsewhere/"/>'),
        ("CompleteMultipartUpload", "<Part><PartNumber>-1</PartNumber><ETag>e</ETag></Part>"),
        ("CompleteMultipartUpload", "<Part><PartNumber>18446744073709551617</PartNumber><ETag>e</ETag></Part>"),
        ("CompleteMultipartUpload", "<Part><PartNumber>1e1</PartNumber><ETag>e</ETag></Part>"),
        ("CompleteMultipartUpload", "<Part><PartNumber>1</PartNumber><PartNumber>2</PartNumber><ETag>e</ETag></Part>"),
        ("CompleteMultipartUpload", "<Unknown/>"),
        ("CreateBucketConfiguration", "<LocationConstraint>a</LocationConstraint><LocationConstraint/>"),
    ],
)
def test_x04_what_no_document_of_s3_says_is_refused_and_nothing_is_done(house, root, content):
    method, path = DOCUMENTS[root]
    before = repr(house.namespace.buckets)
    assert house.ask(signed("V4_HEADER", method, path, {}, f"<{root}>{content}</{root}>".encode()))[0] == 400
    assert repr(house.namespace.buckets) == before


# ---------------------------------------------------------------------- headers


@pytest.mark.parametrize("value", ["a%0d%0aX-Injected:%201", "a%0aX-Injected:%201", "%00", "a%0db", "%e2%80%a8"])
def test_h01_nothing_that_a_request_says_makes_a_second_header(house, value):
    for path in (f"/bkt/key?response-content-disposition={value}", f"/bkt/{value}", f"/bkt?list-type=2&prefix={value}"):
        connection = send(house, signed("V4_HEADER", "GET", path))
        head = connection.taken().partition(b"\r\n\r\n")[0]
        assert statuses(head)
        assert b"\r\nx-injected" not in head.lower()
        assert head.count(b"\r") == head.count(b"\n")
    presigned = signed("V4_QUERY", "PUT", f"/bkt/other?x-amz-meta-a={value}")
    assert statuses(send(house, presigned).taken()) == [400]
    assert list(house.namespace.buckets["bkt"]) == [b"key"]


@pytest.mark.parametrize(
    "line", ["x-amz-meta-a: b\0c", "x-amz-meta-a: b\rc", "x-amz-meta a: b", "x-amz-meta-a\0: b", ": b"]
)
def test_h01_a_header_that_http_does_not_know_is_refused(house, line):
    put = signed("V4_HEADER", "PUT", "/bkt/other", {}, b"hello").replace(b"\r\n", f"\r\n{line}\r\n".encode(), 1)
    connection = send(house, put, get())
    assert statuses(connection.taken()) == [400]
    assert list(house.namespace.buckets["bkt"]) == [b"key"]


def test_h02_metadata_of_more_than_two_kib_is_refused(house):
    for size, wanted in ((2047, 200), (2048, 400)):
        answer = house.ask(signed("V4_HEADER", "PUT", "/bkt/key", {"x-amz-meta-a": "v" * size}, b"hello"))
        assert (answer[0], b"MetadataTooLarge" in answer[2]) == (wanted, wanted == 400)


@pytest.mark.parametrize("endless", [b"1;" + b"e" * 70_000, b"0\r\nX: " + b"a" * 70_000, b"0\r\n" + b"X" * 70_000])
def test_h03_what_stands_between_chunks_is_bounded(house, endless):
    put = signed("V4_HEADER", "PUT", "/bkt/new", {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
    head = re.sub(rb"Content-Length: 0\r\n", b"", put)[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
    connection = send(house, head, *(endless[at : at + 1000] for at in range(0, len(endless), 1000)), get())
    assert statuses(connection.taken()) == [431]
    assert connection.half_closed
    assert (house.namespace.aborted, list(house.namespace.buckets["bkt"])) == (1, [b"key"])
    assert len(connection.protocol._parser._pairs) < 128
    assert connection.protocol._parser._open_bytes <= 2 * MAX_HEAD_BYTES + 1000


def test_h04_pipelined_requests_of_two_callers_are_answered_in_order_to_the_right_one(house, monkeypatch):
    other = replace(
        CREDENTIAL, access_key="AKIDOTHER", secret="another secret", caller=CREDENTIAL.caller.__class__(7, 7)
    )
    known = {CREDENTIAL.access_key: CREDENTIAL, other.access_key: other}
    monkeypatch.setattr(loop, "credentials", known.get)
    house = House()
    house.namespace.buckets["bkt"] = {}
    asked, open_object = [], house.namespace.open_object

    async def opened(caller, bucket, key, conditions):
        asked.append((caller.uid, key))
        return await open_object(caller, bucket, key, conditions)

    house.namespace.open_object = opened
    requests = b""
    for number in range(20):
        house.ask(signed("V4_HEADER", "PUT", f"/bkt/{number}", {}, b"body %d" % number))
        who = (other if number % 2 else CREDENTIAL).access_key, (other if number % 2 else CREDENTIAL).secret
        target, sent = sign("V4_HEADER", "GET", f"http://localhost/bkt/{number}", who=who)
        requests += wire("GET", target, sent)
    forged = requests.replace(b"Credential=AKIDOTHER", b"Credential=" + CREDENTIAL.access_key.encode())
    connection = send(house, *(requests[at : at + 777] for at in range(0, len(requests), 777)))
    answers = connection.taken()
    assert re.findall(rb"body \d+", answers) == [b"body %d" % number for number in range(20)]
    assert asked == [(7 if number % 2 else 1000, b"%d" % number) for number in range(20)]
    assert statuses(send(house, forged).taken()) == [200, 403] * 10


@pytest.mark.parametrize(
    "long", [b"*" * 8000, b"a," * 8000, b'"' * 16_000, b"0" * 16_000, b" " * 16_000, b"-" * 16_000]
)
def test_h07_every_header_is_read_in_linear_time(long):
    text = long.decode()

    def read():
        for parse in (parse_basic, parse_http, parse_xml):
            assert parse(text) is None
        assert resolve_range(f"bytes={text}", 10) is None
        names = ("if-match", "if-none-match", "if-modified-since")
        parse_conditions(dict.fromkeys(names, text))

    bounded(read, 0.1, 1 << 20)


def test_h09_no_browser_guesses_what_an_answer_is(house):
    house.ask(signed("V4_HEADER", "PUT", "/bkt/page", {"Content-Type": "text/html"}, b"<script>alert(1)</script>"))
    for path in ("/bkt/page", "/bkt/none", "/", "/bkt?list-type=2"):
        assert house.ask(signed("V4_HEADER", "GET", path))[1]["x-content-type-options"] == "nosniff"
    _, headers, body = house.ask(signed("V4_HEADER", "GET", "/bkt/%3Cscript%3Ealert(1)%3C%2Fscript%3E"))
    assert headers["content-type"] == "application/xml"
    assert b"<script>" not in body


def test_h11_an_address_that_a_request_says_of_itself_is_believed_nowhere(house):
    lines = []
    globalLogPublisher.addObserver(lines.append)
    try:
        spoofed = dict.fromkeys(("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP"), "10.9.8.7")
        plain, said = (house.ask(signed("V4_HEADER", "GET", "/bkt/key", headers)) for headers in ({}, spoofed))
    finally:
        globalLogPublisher.removeObserver(lines.append)
    assert (plain[0], plain[2]) == (said[0], said[2])
    assert not [line for line in lines if "10.9.8.7" in str(line)]


def test_h12_ten_thousand_ranges_are_none(house):
    many = "bytes=" + ",".join(f"{at}-{at}" for at in range(3000))
    assert house.ask(signed("V4_HEADER", "GET", "/bkt/key", {"Range": many}))[::2] == (200, b"hello")
    for text, wanted in (
        ("bytes=-0", 416),
        ("bytes=9223372036854775808-", 416),
        ("bytes=3-1", 200),
        ("bytes=0-0,0-0", 200),
    ):
        assert house.ask(signed("V4_HEADER", "GET", "/bkt/key", {"Range": text}))[0] == wanted


@pytest.mark.parametrize("name", ROWS)
def test_h13_a_bug_in_any_operation_is_answered_without_a_word_of_it(house, name):
    house.namespace.error = RuntimeError("SELECT secret FROM /var/lib/gatefold at 0x7f")
    connection = house.connect()
    how = (AuthType.V4_FORM, PayloadMode.ABSENT) if name == "PostObject" else (AuthType.V4_HEADER, PayloadMode.SIGNED)
    connection.protocol.dataReceived(request(name, *how))
    answer = connection.taken()
    assert statuses(answer) == [500]
    for word in (b"SELECT", b"gatefold at", b"Traceback", b"RuntimeError", b".py"):
        assert word not in answer
    assert b"x-amz-request-id: " in answer
