"""POST forms for tests, with policies signed by botocore: an oracle that this project did not write."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from hmac import digest

from botocore.auth import HmacV1PostAuth, S3SigV4PostAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from signing import ACCESS_KEY, REGION, SECRET

BOUNDARY = "xYzZY"


def expiration(seconds=600):
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def signed_fields(auth, fields, conditions, *, expires=None, who=(ACCESS_KEY, SECRET)):
    """Return *fields* with a signed policy of *conditions*; the fields of the signature are covered by botocore."""
    request = AWSRequest(method="POST", url="http://localhost/bkt")
    policy = {"expiration": expires or expiration(), "conditions": list(conditions)}
    request.context["s3-presign-post-fields"] = dict(fields)
    request.context["s3-presign-post-policy"] = policy
    signers = {"V4_FORM": lambda: S3SigV4PostAuth(BotoCredentials(*who), "s3", REGION)}
    signers["V2_FORM"] = lambda: HmacV1PostAuth(BotoCredentials(*who))
    signers[auth]().add_auth(request)
    return dict(request.context["s3-presign-post-fields"])


def resigned(fields, change, secret=SECRET):
    """Return V2 *fields* with a policy that *change* made of the old one's text, signed again."""
    policy = b64encode(change(b64decode(fields["policy"]))).decode()
    return {
        **fields,
        "policy": policy,
        "signature": b64encode(digest(secret.encode(), policy.encode(), "sha1")).decode(),
    }


def covering(fields, bucket="bkt"):
    """Return conditions that allow exactly these fields in *bucket*."""
    return [{"bucket": bucket}, *({name: value} for name, value in fields.items())]


def part(name, value, *, filename=None, headers=()):
    said = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    lines = "".join(f"{line}\r\n" for line in (f"Content-Disposition: {said}", *headers))
    value = value if isinstance(value, bytes) else value.encode()
    return f"--{BOUNDARY}\r\n{lines}\r\n".encode() + value + b"\r\n"


def form_body(fields, file=b"hello", filename="f.txt", behind=b""):
    parts = [part(name, value) for name, value in fields.items()]
    parts.append(part("file", file, filename=filename, headers=("Content-Type: text/plain",)))
    return b"".join(parts) + behind + f"--{BOUNDARY}--\r\n".encode()


def post(path, body, *, host="localhost", headers=None, method="POST"):
    """Return the bytes of a request that sends a form."""
    sent = {"Host": host, "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    sent |= headers or {}
    if "Transfer-Encoding" not in sent:
        sent.setdefault("Content-Length", str(len(body)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def form(auth, fields, conditions=None, *, path="/bkt", file=b"hello", **how):
    """Return the bytes of a whole signed form; without *conditions*, the policy allows exactly it."""
    conditions = covering(fields) if conditions is None else conditions
    expires = how.pop("expires", None)
    return post(path, form_body(signed_fields(auth, fields, conditions, expires=expires), file), **how)


def policy_of(fields):
    return json.loads(b64decode(fields["policy"]))
