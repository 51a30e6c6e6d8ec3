"""A server between the browser and the service that can be told to fail.

It passes every request on as it is and the answer back, unless a path was told to behave
otherwise: to answer something else, to hold its answer back, or to break the connection.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Canned:
    """An answer that does not come from the service."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


Behaviour = Callable[["_Handler", bytes], bool]
"""Deals with a request and says whether it did; if not, the request is passed on."""


class Between(ThreadingHTTPServer):
    """Listens on a free port; `url` is where."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, service: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.service = urlsplit(service)
        self.host = f"127.0.0.1:{self.server_address[1]}"
        self.url = f"http://{self.host}"
        self.behaviours: dict[str, list[Behaviour]] = {}
        self.bodies: list[tuple[str, bytes]] = []
        self._gates: list[threading.Event] = []

    def behave(self, path: str, *behaviours: Behaviour) -> None:
        """One behaviour a request, in order; the last one stays."""
        self.behaviours[path] = list(behaviours)

    def answer(self, path: str, status: int, content: object, **headers: str) -> None:
        """Answer JSON, or bytes as they are, instead of asking the service."""
        self.behave(path, canned(status, content, **headers))

    def refuse(self, path: str, status: int, code: str, message: str = "", **detail: int) -> None:
        """Answer an error in the service's own shape."""
        self.answer(path, status, fault(code, message, **detail))

    def drop(self, path: str) -> None:
        """Break the connection without an answer."""
        self.behave(path, _drop)

    def hold(self, path: str) -> threading.Event:
        """Hold requests back until the event is set, then pass them on."""
        gate = threading.Event()
        self._gates.append(gate)

        def wait(_handler: _Handler, _body: bytes) -> bool:
            gate.wait()
            return False

        self.behave(path, wait)
        return gate

    def as_usual(self) -> None:
        """Pass everything on again."""
        self.behaviours.clear()
        self.bodies.clear()
        for gate in self._gates:
            gate.set()
        self._gates.clear()

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away is none of ours."""


def fault(code: str, message: str = "", **detail: int) -> dict:
    """An error's body as the service shapes it."""
    return {"error": {"code": code, "message": message, "detail": detail}}


def canned(status: int, content: object, **headers: str) -> Behaviour:
    """Answer this, whatever was asked."""
    raw = isinstance(content, bytes)
    body = content if raw else json.dumps(content).encode()
    kind = "image/png" if raw else "application/json"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _body: handler.send(Canned(status, body, {"content-type": kind} | named))


def keyed(key: str) -> Behaviour:
    """Ask for a key, as the service does; with the right one the request is passed on."""

    def ask(handler: _Handler, _body: bytes) -> bool:
        if handler.headers.get("x-api-key") == key:
            return False
        refusal = fault("unauthorised", "Send a known API key in the header X-API-Key.")
        return handler.send(Canned(401, json.dumps(refusal).encode()))

    return ask


def pass_on(_handler: _Handler, _body: bytes) -> bool:
    """As usual, in a row of behaviours."""
    return False


def _drop(handler: _Handler, _body: bytes) -> bool:
    handler.close_connection = True
    handler.connection.close()
    return True


class _Handler(BaseHTTPRequestHandler):
    server: Between
    protocol_version = "HTTP/1.1"

    def _deal(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.bodies.append((self.path, body))
        behaviours = self.server.behaviours.get(self.path, [])
        if behaviours:
            behaviour = behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]
            if behaviour(self, body):
                return
        self._pass_on(body)

    do_GET = do_POST = _deal  # noqa: N815 - the names that http.server asks for

    def _pass_on(self, body: bytes) -> None:
        service = self.server.service
        onward = http.client.HTTPConnection(service.hostname, service.port, timeout=60)
        with contextlib.closing(onward):
            onward.request(self.command, self.path, body, dict(self.headers))
            with onward.getresponse() as answer:
                passed = Canned(answer.status, answer.read(), dict(answer.getheaders()))
        self.send(passed)

    def send(self, answer: Canned) -> bool:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)
        return True

    def log_message(self, *_: object) -> None:
        """Say nothing."""
