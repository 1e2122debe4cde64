"""How clients are found and run: programs of the tests' environment or Debian's, with the keys in theirs alone."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from house import House


def absent(what: str) -> NoReturn:
    """Skip the test for want of *what*, but fail in CI, which must have all."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def program(name: str, *, debian: bool = False) -> str:
    """Return the path of a client: of the tests' environment, or Debian's; where it is not, skip, but fail in CI."""
    folder = "/usr/bin" if debian else str(Path(sys.executable).parent)
    found = shutil.which(name, path=folder)
    if found is None:
        absent(f"no {name} in {folder}: `make test` installs it")
    return found


def key_environment(house: House, home: Path) -> dict[str, str]:
    """Return an environment that has the house's keys and nothing of this user's configuration."""
    access_key, secret_key = house.keys
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def plain_http(
    method: str, url: str, body: bytes = b"", headers: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, bytes]:
    """Send what a browser or a script would, no header added, and return status and body."""
    parts = urlsplit(url)
    with closing(HTTPConnection(str(parts.hostname), parts.port, timeout=10)) as connection:
        connection.request(method, f"{parts.path}?{parts.query}", body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()


def browser_form(fields: Mapping[str, str], file: bytes) -> tuple[dict[str, str], bytes]:
    """Return headers and body of a form with *fields* and a *file* (RFC 7578)."""
    names = [*(f'"{name}"\r\n\r\n{value}' for name, value in fields.items()), '"file"; filename="x"\r\n\r\n']
    head = "\r\n".join(f"--frontier\r\nContent-Disposition: form-data; name={name}" for name in names)
    headers = {"Content-Type": "multipart/form-data; boundary=frontier"}
    return headers, head.encode() + file + b"\r\n--frontier--\r\n"
