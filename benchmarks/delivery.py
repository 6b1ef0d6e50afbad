"""From the POST of a point to the receipt of its alert at a webhook, by a real `heed serve` that takes 2,000 points/s.

The load is 20 POSTs a second of 100 points each, from one connection, on series of their own. Four times a second a
point that is far too low is posted to another trained series, one of ten of its metric, and the time runs from just
before that POST until the receiver has the message. A policy keeps each series in an alert of its own, and the channel
takes them all: else a hundred probes would be one alert, and five of them a message. A probe that is not told fails
the run.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from app.local_server import LocalServer, client_of, retrained

PROBES = 200
PROBES_A_METRIC = 10
PROBE_EVERY_SECONDS = 0.25
HISTORY_HOURS = 5 * 168
HOUR = 3600
LOAD_SERIES = 2_000
LOAD_BATCH = 100
LOAD_EVERY_SECONDS = 0.05
PATIENCE_SECONDS = 20.0
HEADERS = {"Content-Type": "application/json"}


class Receiver:
    """A webhook that notes when it was told of each probe."""

    def __init__(self) -> None:
        self.heard: dict[int, float] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at = time.perf_counter()
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for probe in re.findall(rb'"probe":"(\d+)"', body):
                    receiver.heard.setdefault(int(probe), at)
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"


def main() -> None:
    receiver, token = Receiver(), secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="heed-bench-") as folder:
        environment = {
            "HEED_DATA_DIR": folder,
            "HEED_ADMIN_TOKEN": token,
            "HEED_ALLOW_PRIVATE_TARGETS": "127.0.0.0/8",
            "HEED_MAX_POINTS": "500000",
            "HEED_MAX_BODY_MB": "64",
        }
        with LocalServer(environment, log=Path(folder) / "serve.log") as server:
            now = int(time.time()) // HOUR * HOUR
            _set_up(server.url, token, receiver.url)
            _import_history(server.url, token, now)
            quiet = _probe_all(server.port, token, receiver, now, range(PROBES))
            with _load(server.port, token):
                busy = _probe_all(server.port, token, receiver, now, range(PROBES, 2 * PROBES))
    console = Console()
    console.print(_table({"at rest": quiet, f"at {LOAD_BATCH / LOAD_EVERY_SECONDS:,.0f} points/s": busy}))
    console.print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if len(quiet) + len(busy) < 2 * PROBES:
        sys.exit(f"{2 * PROBES - len(quiet) - len(busy)} of {2 * PROBES} probes were not told")


def _set_up(url: str, token: str, receiver: str) -> None:
    channel = {"name": "bench", "kind": "webhook", "settings": {"url": receiver}, "most_messages": 1_000}
    policy = {"name": "bench", "settings": {"group_by": ["series"], "critical_change": 0.5}}
    with client_of(url, token, timeout_seconds=60.0) as client:
        client.post("/v1/channels", json=channel).raise_for_status()
        client.post("/v1/policies", json=policy).raise_for_status()


def _import_history(url: str, token: str, now: int) -> None:
    """Five normal weeks of each probe, hourly, up to the hour before this one."""
    rng = np.random.default_rng(1)
    timestamps = now - HOUR * np.arange(HISTORY_HOURS, 0, -1)
    season = 1000 + 300 * np.sin(2 * np.pi * (timestamps % 86400) / 86400)
    series = [
        {
            **_series_of(probe),
            "timestamps": timestamps.tolist(),
            "values": np.round(season + 20 * rng.standard_normal(HISTORY_HOURS), 1).tolist(),
        }
        for probe in range(2 * PROBES)
    ]
    with client_of(url, token, timeout_seconds=600.0) as client:
        client.post("/v1/points", params={"alert": "silent"}, json={"series": series}).raise_for_status()
        asked = client.post("/v1/retrains", json={"reason": "benchmark"}).raise_for_status().json()
        retrained(client, asked["id"])


def _series_of(probe: int) -> dict[str, object]:
    return {"metric": f"orders.{probe // PROBES_A_METRIC}", "dimensions": {"probe": str(probe)}}


def _probe_all(port: int, token: str, receiver: Receiver, now: int, probes: range) -> list[float]:
    """Seconds from POST to receipt, of those probes that were told in time."""
    posted: dict[int, float] = {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for probe in probes:
        point = {**_series_of(probe), "timestamp": now, "value": 100.0}
        posted[probe] = time.perf_counter()
        _post(connection, token, {"points": [point]})
        time.sleep(PROBE_EVERY_SECONDS)
    connection.close()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not posted.keys() <= receiver.heard.keys() and time.monotonic() < deadline:
        time.sleep(0.05)
    return [receiver.heard[probe] - at for probe, at in posted.items() if probe in receiver.heard]


@contextmanager
def _load(port: int, token: str) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=_post_load, args=(port, token, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _post_load(port: int, token: str, stop: threading.Event) -> None:
    """Each series gets a point a second, so each batch goes to the next hundred of them."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    began, sent = time.monotonic(), 0
    while not stop.is_set():
        first = sent * LOAD_BATCH % LOAD_SERIES
        at = int(time.time())
        points = [
            {"metric": "load", "dimensions": {"host": str(number)}, "timestamp": at, "value": float(number)}
            for number in range(first, first + LOAD_BATCH)
        ]
        _post(connection, token, {"points": points})
        sent += 1
        time.sleep(max(0.0, began + sent * LOAD_EVERY_SECONDS - time.monotonic()))
    connection.close()


def _post(connection: http.client.HTTPConnection, token: str, body: object) -> None:
    headers = {**HEADERS, "Authorization": f"Bearer {token}"}
    connection.request("POST", "/v1/points", json.dumps(body).encode(), headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != http.client.ACCEPTED:
        raise RuntimeError(f"{answer.status}: {text[:300]!r}")


def _table(measured: dict[str, list[float]]) -> Table:
    table = Table(title="From the POST of a point to the receipt of the webhook, SQLite, synchronous=FULL")
    for heading in ("load", "told", "median ms", "p95 ms", "p99 ms"):
        table.add_column(heading, justify="left" if heading == "load" else "right")
    for load, seconds in measured.items():
        quantiles = np.quantile(seconds, [0.5, 0.95, 0.99]) * 1000 if seconds else [np.nan] * 3
        table.add_row(load, f"{len(seconds)} of {PROBES}", *(f"{quantile:.0f}" for quantile in quantiles))
    return table


if __name__ == "__main__":
    main()
