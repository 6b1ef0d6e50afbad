"""A real receiver on loopback that records what it got, and can fail, stall, redirect or ask for patience."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec


@dataclass(frozen=True)
class Received:
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    at: datetime
    status: int  # what it was answered

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> dict[str, object]:
        decoded: dict[str, object] = msgspec.json.decode(self.body)
        return decoded


@dataclass(frozen=True)
class Reply:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    stall_seconds: float = 0.0


class Receiver:
    """Records every request. `reply` decides the answer to each; the default accepts all."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.requests: list[Received] = []
        self.last_text = ""  # of the request that `reply` is to answer
        self.reply: Callable[[Receiver], Reply] = lambda _: Reply()
        self._arrived = threading.Condition()
        self._server = _Server((address, 0), _handler_of(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://{self._server.server_address[0]!s}:{self.port}"

    @property
    def accepted(self) -> list[Received]:
        return [request for request in self.requests if request.status < 300]

    def always(self, status: int, headers: Mapping[str, str] | None = None, stall_seconds: float = 0.0) -> None:
        self.reply = lambda _: Reply(status, headers or {}, stall_seconds=stall_seconds)

    def wait_for(self, count: int, timeout_seconds: float = 10.0) -> list[Received]:
        """The requests, once there are at least so many of them."""
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: len(self.requests) >= count, timeout_seconds)
        assert arrived, f"{len(self.requests)} of {count} requests arrived"
        return list(self.requests)

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        with self._arrived:
            self.last_text = body.decode(errors="replace")
            reply = self.reply(self)
            at = datetime.now(UTC)
            self.requests.append(Received(path, headers, body, at, reply.status))
            self._arrived.notify_all()
        time.sleep(reply.stall_seconds)
        return reply

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiving(address: str = "127.0.0.1") -> Iterator[Receiver]:
    receiver = Receiver(address)
    try:
        yield receiver
    finally:
        receiver.close()


@contextmanager
def dripping(first: bytes, drop: bytes) -> Iterator[int]:
    """The port of a server that says the first part of an answer and then a drop of it every 50 ms, for ever."""
    server = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        with suppress(OSError), server.accept()[0] as connection:
            connection.sendall(first)
            while True:
                connection.sendall(drop)
                time.sleep(0.05)

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    thread.join()
    server.close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A sender that hung up, or was killed, is part of what is tested."""


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = receiver.take(self.path, headers, body)
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler
