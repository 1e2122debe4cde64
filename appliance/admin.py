"""The gateway's admin socket: one line asks, one line of JSON answers. Only the home's owner can reach it.

A line is a question's name, and behind it what is asked of, as a JSON object, where there is anything.
The socket lies in `run/`, which is 0700. A home's path may be longer than a socket's address (108 bytes) can hold, so
both ends name it through a descriptor of the folder.
"""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any, TypeAlias

from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver

from appliance.config import FIRST_GATEWAY
from foundation.aio import spawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from appliance.home import Home

log = Logger()
_TIMEOUT_SECONDS = 10.0
_MAX_ANSWER_BYTES = 64 << 20

#: A question's name, and who answers it: a coroutine function of what is asked of.
Answers: TypeAlias = "Mapping[str, Callable[..., Awaitable[Mapping[str, Any]]]]"


class NotRunning(Exception):
    """No gateway of this home runs."""


class NotAnswering(NotRunning):
    """A gateway of this home runs, and gives no answer."""


def ask(home: Home, question: str, gateway: str = FIRST_GATEWAY, **of: Any) -> dict[str, Any]:
    """Put *question* to a running gateway and return its answer; raise NotRunning or NotAnswering."""
    line_asked = f"{question} {json.dumps(of)}" if of else question
    try:
        directory = os.open(home.run_path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise NotRunning(str(error)) from error
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT_SECONDS)
            connection.connect(_address(directory, gateway))
            connection.sendall(line_asked.encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline(_MAX_ANSWER_BYTES)
    except (ConnectionRefusedError, FileNotFoundError) as error:
        raise NotRunning(str(error)) from error
    except OSError as error:
        raise NotAnswering(str(error)) from error
    finally:
        os.close(directory)
    try:
        answer = json.loads(line)
    except ValueError:
        raise NotAnswering("the gateway ended while it answered") from None
    assert isinstance(answer, dict)
    if "error" in answer:
        raise NotAnswering(f"the gateway could not answer: {answer['error']}")
    return answer


class AdminServer:
    """Answers questions on the admin socket."""

    def __init__(self, reactor: Any, home: Home, answers: Answers, gateway: str = FIRST_GATEWAY) -> None:
        """Prepare to answer each question to *gateway* by the coroutine that *answers* has for it."""
        self._gateway = gateway
        self._reactor = reactor
        self._run_path = home.run_path
        self._answers = answers
        self._directory = -1
        self._port: Any = None

    def start(self) -> None:
        """Listen; an old socket of a gateway that was killed is replaced."""
        self._directory = os.open(self._run_path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        (self._run_path / _socket(self._gateway)).unlink(missing_ok=True)
        factory = Factory.forProtocol(lambda: _Asked(self._answers))
        factory.noisy = False
        self._port = self._reactor.listenUNIX(_address(self._directory, self._gateway), factory, mode=0o600)

    async def stop(self) -> None:
        """Listen no more."""
        if self._port is not None:
            await self._port.stopListening()
            os.close(self._directory)
            self._port = None


class _Asked(LineOnlyReceiver):
    """One connection that asks."""

    MAX_LENGTH = 1024
    delimiter = b"\n"

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        """Answer a question."""
        spawn("admin", self._answer(line.decode(errors="replace")))

    async def _answer(self, line: str) -> None:
        question, brace, rest = line.partition(" {")
        answer: Mapping[str, Any]
        if question not in self._answers:
            answer = {"error": f"no such question: {question}"}
        else:
            try:
                answer = await self._answers[question](**(json.loads(brace + rest) if brace else {}))
            except Exception as error:  # noqa: BLE001 - whatever it is, who asked must hear of it
                log.failure("cannot answer {question}", question=question)
                answer = {"error": f"{type(error).__name__}: {error}"}
        transport: Any = self.transport
        transport.write(json.dumps(answer).encode() + b"\n")


def _socket(gateway: str) -> str:
    return "admin.sock" if gateway == FIRST_GATEWAY else f"admin-{gateway}.sock"


def _address(directory: int, gateway: str) -> str:
    return f"/proc/self/fd/{directory}/{_socket(gateway)}"
