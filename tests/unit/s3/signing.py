"""Signs requests for tests and benches with botocore's own signers: an oracle that this project did not write."""

from __future__ import annotations

from botocore.auth import HmacV1Auth, HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from namespace.api import Caller
from protocols.s3.server import Credential

ACCESS_KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
REGION = "us-east-1"
CREDENTIAL = Credential(ACCESS_KEY, SECRET, Caller(1000, 1000, account="f" * 64), "f" * 64, "me")


class _Payload(S3SigV4Auth):
    """Signs with the x-amz-content-sha256 that the test wants."""

    wanted = None

    def payload(self, request):
        return self.wanted or super().payload(request)


_SIGNERS = {
    "V4_HEADER": lambda who: _Payload(who, "s3", REGION),
    "V4_QUERY": lambda who: S3SigV4QueryAuth(who, "s3", REGION, expires=600),
    "V2_HEADER": HmacV1Auth,
    "V2_QUERY": lambda who: HmacV1QueryAuth(who, expires=600),
}


def credentials(access_key):
    return CREDENTIAL if access_key == ACCESS_KEY else None


def sign(auth, method, url, headers=None, body=b"", who=(ACCESS_KEY, SECRET)):
    """Return (target, headers) of a request signed by botocore, as it would go over the wire."""
    headers = dict(headers or {})
    if auth == "ANONYMOUS":
        authority, _, rest = url.removeprefix("http://").partition("/")
        return f"/{rest}", {"Host": authority, **headers, **({"Content-Length": str(len(body))} if body else {})}
    signer = _SIGNERS[auth](BotoCredentials(*who))
    if auth == "V4_HEADER":
        signer.wanted = headers.pop("x-amz-content-sha256", None)
    # botocore takes the data of a request to presign for parameters.
    request = AWSRequest(method=method, url=url, headers=headers, data=b"" if auth == "V4_QUERY" else body)
    signer.add_auth(request)
    prepared = request.prepare()
    authority, _, rest = prepared.url.removeprefix("http://").partition("/")
    sent = {"Host": authority}
    for name, value in prepared.headers.items():
        sent[name] = value.decode() if isinstance(value, bytes) else value
    if body and "Content-Length" not in sent:
        sent["Content-Length"] = str(len(body))
    return f"/{rest}", sent


def wire(method, target, headers, body=b""):
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body


def signed(auth, method, path, headers=None, body=b"", host="localhost"):
    """Return the bytes of a signed request."""
    target, sent = sign(auth, method, f"http://{host}{path}", headers, body)
    return wire(method, target, sent, body)


def get():
    """Return a GET, signed now: a long run outlives a signature."""
    return signed("V4_HEADER", "GET", "/bkt/key")


def put():
    """Return a PUT, signed now."""
    return signed("V4_HEADER", "PUT", "/bkt/key", body=b"hello")
