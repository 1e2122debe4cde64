"""Sharing with pages of other origins: what a browser is told, and what it is not."""

from __future__ import annotations

import time

import pytest
from form_signing import form
from hypothesis import given
from hypothesis import strategies as st
from loop import House
from signing import signed, wire

from foundation.errors import AccessDenied
from protocols.s3.codec.xmlread import read_xml
from protocols.s3.cors import CorsRules

ALLOW = "access-control-allow-origin"
RULES = CorsRules(
    ("https://app.test", "https://*.example.com", "http://localhost:*"),
    ("GET", "PUT", "POST"),
    ("content-type", "x-amz-*"),
    ("ETag", "x-amz-version-id"),
    600,
)


@pytest.fixture
def house():
    return made(RULES)


def made(rules):
    house = House(cors=rules)
    house.namespace.buckets["bkt"] = {}
    return house


def preflight(house, origin=None, method="GET", headers=None, path="/bkt/key"):
    sent = {"Host": "h"}
    sent |= {} if origin is None else {"Origin": origin}
    sent |= {} if method is None else {"Access-Control-Request-Method": method}
    sent |= {} if headers is None else {"Access-Control-Request-Headers": headers}
    return house.ask(wire("OPTIONS", path, sent))


def code(answer):
    return read_xml(answer[2], "Error").value("Code")


def test_a_preflight_of_an_allowed_origin_is_told_what_it_may_do(house):
    status, headers, body = preflight(house, "https://app.test", "PUT", "Content-Type, X-Amz-Meta-A,,")
    assert (status, body) == (200, b"")
    assert headers[ALLOW] == "https://app.test"
    assert headers["access-control-allow-methods"] == "GET, PUT, POST"
    assert headers["access-control-allow-headers"] == "content-type, x-amz-meta-a"
    assert headers["access-control-max-age"] == "600"
    assert "Origin" in headers["vary"]
    assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize(
    ("origin", "method", "asked"),
    [
        ("https://other.test", "GET", None),
        ("https://app.test", "DELETE", None),
        ("https://app.test", "get", None),
        ("https://app.test", "PUT", "x-other"),
        ("https://app.test", "PUT", "content-type, x-amz"),
    ],
)
def test_a_preflight_that_no_rule_allows_is_forbidden(house, origin, method, asked):
    answer = preflight(house, origin, method, asked)
    assert (answer[0], code(answer)) == (403, "AccessForbidden")
    assert ALLOW not in answer[1]
    assert b"CORSResponse: This CORS request is not allowed." in answer[2]


def test_a_preflight_that_asks_nothing_is_refused(house):
    for origin, method in ((None, "GET"), ("https://app.test", None), ("https://app.test", "A B")):
        answer = preflight(house, origin, method)
        assert (answer[0], code(answer)) == (400, "BadRequest")


def test_without_rules_nothing_is_shared_and_no_answer_speaks_of_it():
    house = made(CorsRules())
    answer = preflight(house, "https://app.test")
    assert (answer[0], code(answer)) == (403, "AccessForbidden")
    headers = house.ask(signed("V4_HEADER", "GET", "/bkt", {"Origin": "https://app.test"}))[1]
    assert not {ALLOW, "vary"} & headers.keys()


def test_a_preflight_needs_no_signature_asks_nobody_and_is_the_same_whatever_exists(house):
    house.namespace.error = ZeroDivisionError()
    answers = {preflight(house, "https://app.test", path=path)[0] for path in ("/", "/none", "/bkt/key?uploads")}
    assert answers == {200}
    assert house.namespace.error is not None


def answer_to(house, origin, method="GET", path="/bkt"):
    return house.ask(signed("V4_HEADER", method, path, {} if origin is None else {"Origin": origin}))


def test_an_answer_tells_an_allowed_origin_that_its_page_may_read_it(house):
    status, headers, _ = answer_to(house, "https://app.test")
    assert (status, headers[ALLOW]) == (200, "https://app.test")
    assert headers["access-control-expose-headers"] == "ETag, x-amz-version-id"
    refused = answer_to(house, "https://app.test", path="/none")
    assert (refused[0], refused[1][ALLOW]) == (404, "https://app.test")
    house.namespace.error = AccessDenied()
    unsigned = house.ask(wire("GET", "/bkt", {"Host": "h", "Origin": "https://app.test"}))
    assert (unsigned[0], unsigned[1][ALLOW]) == (403, "https://app.test")
    posted = house.ask(form("V4_FORM", {"key": "k"}, headers={"Origin": "https://app.test"}))
    assert (posted[0], posted[1][ALLOW]) == (204, "https://app.test")


def test_an_answer_that_depends_on_the_origin_says_so_to_caches(house):
    for origin in (None, "https://app.test", "https://other.test"):
        assert answer_to(house, origin)[1]["vary"].startswith("Origin")


def test_a_method_or_origin_without_a_rule_is_served_and_not_shared(house):
    assert ALLOW not in answer_to(house, "https://app.test", "HEAD")[1]
    status, headers, _ = answer_to(house, "https://other.test")
    assert status == 200
    assert ALLOW not in headers


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://a.example.com", True),
        ("https://a.b.example.com", True),
        ("http://localhost:3000", True),
        ("https://example.com", False),
        ("https://evilexample.com", False),
        ("https://a.example.com.evil.test", False),
        ("https://a.example.com:8443", False),
        ("https://evil.test/.example.com", False),
        ("https://evil.test#.example.com", False),
        ("https://evil.test\\.example.com", False),
        ("https://evil.test?.example.com", False),
        ("https://user@evil.example.com", False),
        ("http://a.example.com", False),
        ("https://app.test.evil.test", False),
        ("https://app.tes", False),
        ("https://APP.test", False),
        ("http://localhost:3000.evil.test", False),
        ("http://localhost:", False),
        ("null", False),
        ("", False),
        ("*", False),
        ("https://*.example.com", False),
    ],
)
def test_h10_an_origin_is_one_of_the_rules_or_gets_no_header(house, origin, allowed):
    headers = answer_to(house, origin)[1]
    assert headers.get(ALLOW) == (origin if allowed else None)
    assert preflight(house, origin)[0] == (200 if allowed else 403)


def test_h10_a_rule_for_all_names_none_and_lets_no_credentials_in():
    house = made(CorsRules(("*",)))
    for origin in ("https://evil.test", "null"):
        headers = answer_to(house, origin)[1]
        assert headers[ALLOW] == "*"
        assert "access-control-allow-credentials" not in headers


def test_h07_rules_take_linear_time_whatever_is_asked():
    house = made(CorsRules(("https://" + "a" * 200 + "*" + "b" * 200,), headers=("x-" + "a" * 60 + "*",)))
    began = time.process_time()
    for _ in range(10):
        preflight(house, "https://" + "a" * 16_000)
        preflight(house, "https://" + "a" * 200 + "ab" * 4000 + "c")
        preflight(house, "https://x.test", headers=",".join(["x-" + "a" * 200] * 80))
        preflight(house, "https://x.test", method="*" * 16_000)
    assert (time.process_time() - began) / 40 < 0.01


@given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60))
def test_random_origins_are_shared_with_only_if_they_are_one_of_the_rules(origin):
    headers = dict(RULES.headers_of("GET", {"origin": origin}))
    assert headers.get(ALLOW) in (None, origin)
    if ALLOW in headers:
        assert origin.isascii()
        assert origin == "https://app.test" or origin.endswith(".example.com") or origin.startswith("http://localhost:")
