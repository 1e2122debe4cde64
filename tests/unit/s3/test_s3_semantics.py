"""What is served and what is not: the document, the routes, and AWS's own model of S3 agree."""

from __future__ import annotations

from pathlib import Path

import botocore.session
import pytest
from botocore.auth import HmacV1Auth
from loop import House
from s3_operation_names import OPERATIONS, SUPERSEDED
from signing import signed

from protocols.s3.codec.sigv2 import SIGNED_PARAMETERS
from protocols.s3.codec.uri import Level
from protocols.s3.codec.xmlread import read_xml
from protocols.s3.router import COPY, ROUTES

SEMANTICS = Path(__file__).resolve().parents[3] / "docs/SEMANTICS.md"
MODEL = botocore.session.get_session().get_service_model("s3")
SERVED = {operation.name: (key, operation) for key, operation in ROUTES.items()}
#: Headers of AWS's model that are read, or say nothing that could be different here.
SAID = {
    "x-amz-checksum-mode",
    "x-amz-expected-bucket-owner",
    "x-amz-max-parts",
    "x-amz-mp-object-size",
    "x-amz-object-attributes",
    "x-amz-part-number-marker",
    "x-amz-optional-object-attributes",
    "x-amz-request-payer",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-source-expected-bucket-owner",
}
#: Of checksums there are many; one that is not known is refused by its name.
CHECKSUM = "x-amz-checksum-"


def row(answer, names):
    return f"| {answer} | {', '.join(f'`{name}`' for name in sorted(names))} |"


def test_the_document_lists_every_operation_as_the_routes_serve_it():
    served = set(SERVED) | {"OptionsObject"}
    lines = SEMANTICS.read_text().splitlines()
    for line in (row("served", served), row("501", OPERATIONS - served)):
        assert line in lines, f"docs/SEMANTICS.md must say\n{line}"


def test_every_operation_that_aws_knows_is_in_the_list():
    assert set(MODEL.operation_names) - SUPERSEDED <= OPERATIONS
    assert set(SERVED) <= OPERATIONS


def test_sigv2_signs_the_parameters_that_botocore_signs():
    assert set(HmacV1Auth.QSAOfInterest) == SIGNED_PARAMETERS


def members(name, location):
    """Return what AWS's model says that an operation reads from headers or query, by lower-case or own name."""
    shape = MODEL.operation_model(name).input_shape if name in MODEL.operation_names else None
    found = {} if shape is None else shape.members
    places = [each.serialization for each in found.values() if each.serialization.get("location") == location]
    return {place["name"].lower() if location == "header" else place["name"] for place in places}


#: Tags and ACLs are of current versions.
OF_VERSIONS = {f"{verb}Object{what}" for verb in ("Get", "Put", "Delete") for what in ("Tagging", "Acl")}


def test_every_parameter_that_aws_documents_is_understood_by_the_operations_that_are_served():
    for name, (key, operation) in SERVED.items():
        missing = members(name, "querystring") - operation.params - {key[2].removesuffix(COPY)}
        assert missing == {"versionId"} if name in OF_VERSIONS else not missing, (name, missing)


HEADERS = sorted({(name, header) for name in SERVED for header in members(name, "header") if "x-amz-" in header})


@pytest.mark.parametrize(("name", "header"), HEADERS)
def test_every_header_that_aws_documents_is_served_refused_or_known_to_say_nothing(name, header):
    (method, level, sub_resource), operation = SERVED[name]
    if header in SAID or header in operation.headers or header.startswith(CHECKSUM) or sub_resource.endswith(COPY):
        return
    path = {Level.SERVICE: "/", Level.BUCKET: "/bkt", Level.OBJECT: "/bkt/key"}[level]
    path += f"?{sub_resource}=2" if sub_resource else ""
    house = House()
    answer = house.ask(signed("V4_HEADER", method, path, {header: "some value"}))
    assert answer[0] in (400, 501)
    if method != "HEAD":
        assert read_xml(answer[2], "Error").value("Code") in ("NotImplemented", "InvalidStorageClass")


def test_a_checksum_of_an_algorithm_that_is_not_known_is_refused():
    house = House()
    house.namespace.buckets["bkt"] = {}
    for algorithm in ("sha512", "md5", "xxhash3"):
        answer = house.ask(signed("V4_HEADER", "PUT", "/bkt/k", {CHECKSUM + algorithm: "AAAA"}, b"x"))
        assert read_xml(answer[2], "Error").value("Code") == "InvalidRequest"


def test_a_header_that_says_nothing_here_is_ignored():
    house = House()
    house.namespace.buckets["bkt"] = {}
    for headers in ({"x-amz-request-payer": "requester"}, {"x-amz-user-agent": "aws-sdk-js"}, {"x-amz-made-up": "1"}):
        assert house.ask(signed("V4_HEADER", "GET", "/bkt", headers))[0] == 200
