"""A Heed on this machine, started for a while and spoken to: by the demo, an import, a benchmark, a test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

START_TIMEOUT_SECONDS = 120
STOP_TIMEOUT_SECONDS = 20
LOOK_AGAIN_SECONDS = 0.1


class ServerDidNotStart(Exception):
    """The text holds what the server said last."""


class LocalServer:
    """`heed serve` as a process of its own, on a free port of the loopback address, until the block ends.

    `environment` holds its `HEED_…` variables; those of this process are not handed on, and the address is its own.
    """

    def __init__(self, environment: Mapping[str, str], *, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.upper().startswith("HEED_")},
            **environment,
            "HEED_HOST": "127.0.0.1",
            "HEED_PORT": str(self.port),
            "HEED_PUBLIC_URL": self.url,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it is ready. Raises `ServerDidNotStart`."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "serve"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is ours to answer, not the server's
            )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not is_ready(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerDidNotStart(f"Heed did not start. It said:\n{self._last_words()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ask it to end, and insist after a while."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """`kill -9`: what a power cut looks like to a process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


def client_of(url: str, token: str, *, timeout_seconds: float = 120.0) -> httpx.Client:
    """Speaks to the Heed at `url` as the bearer of `token`."""
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=timeout_seconds)


def retrained(
    client: httpx.Client, retrain_id: int, *, show: Callable[[int, int], None] = lambda _done, _total: None
) -> str:
    """How a retrain ended, once it has; meanwhile shows of how many series it has decided."""
    while True:
        retrain = client.get(f"/v1/retrains/{retrain_id}").raise_for_status().json()
        show(retrain["series_done"], retrain["series_total"])
        if retrain["status"] not in ("scheduled", "running"):
            return str(retrain["status"])
        time.sleep(LOOK_AGAIN_SECONDS)


def is_ready(url: str) -> bool:
    """Whether a Heed answers there that it can take points."""
    try:
        return httpx.get(f"{url}/readyz", timeout=2.0).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
