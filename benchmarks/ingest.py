"""Durable, scored ingest over HTTP into a real `heed serve` on SQLite with synchronous=FULL.

Two loads: columnar batches of 10,000 points (1,000 trained series, 10 steps each), and single points from 16 clients at
once. Every answer counted is a 202, which means committed, synced and judged. Beside them, in the same run, what a
row a point costs plain SQLite with the same settings, without HTTP and without any judging.
"""

from __future__ import annotations

import http.client
import json
import secrets
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from app.local_server import LocalServer, client_of, retrained

SERIES = 1_000
STEPS_PER_BATCH = 10
HISTORY_HOURS = 5 * 168
BATCHES = 40
HOUR = 3600
CLIENTS = 16
SINGLES_SECONDS = 10.0
SINGLES_HOURS = 48
"""Room for the single points: as many hours as each series may get."""
ALERTS_PER_WEEK = "0.01"
"""A batch of 10,000 hourly points is 60 weeks of a series: at the default budget it would open 15 alerts, which no
service meets every twentieth of a second. At this budget it opens one in two batches, candidates not counted."""
HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Measured:
    """One load: how many points and answers in how long, and how long the answers took (seconds, one each)."""

    name: str
    points: int
    seconds: float
    answers: list[float]

    @property
    def points_per_second(self) -> float:
        return self.points / self.seconds

    def quantile_ms(self, share: float) -> float:
        return float(np.quantile(self.answers, share)) * 1000


def main() -> None:
    console = Console()
    rng = np.random.default_rng(1)
    token = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="heed-bench-") as folder:
        environment = {
            "HEED_DATA_DIR": folder,
            "HEED_ADMIN_TOKEN": token,
            "HEED_ALERTS_PER_WEEK": ALERTS_PER_WEEK,
            "HEED_MAX_POINTS": "200000",
            "HEED_NEW_SERIES_PER_TOKEN": "100000",
        }
        with LocalServer(environment, log=Path(folder) / "serve.log") as server:
            hours = HISTORY_HOURS + BATCHES * STEPS_PER_BATCH + SINGLES_HOURS
            start = int(time.time()) // HOUR * HOUR - hours * HOUR
            _import_history(server.url, token, start, rng)
            live = start + HISTORY_HOURS * HOUR
            batches = [_batch(live + b * STEPS_PER_BATCH * HOUR, STEPS_PER_BATCH, rng) for b in range(BATCHES)]
            columnar = _post_batches(server.port, token, batches)
            singles = _post_singles(server.port, token, live + BATCHES * STEPS_PER_BATCH * HOUR)
        rows = _plain_rows(Path(folder) / "rows.db")
    console.print(_table([columnar, singles, rows]))


def _import_history(url: str, token: str, start: int, rng: np.random.Generator) -> None:
    with client_of(url, token, timeout_seconds=600.0) as client:
        for first in range(0, HISTORY_HOURS, 84):
            body = _batch(start + first * HOUR, 84, rng)
            client.post("/v1/points", params={"alert": "silent"}, content=body, headers=HEADERS).raise_for_status()
        asked = client.post("/v1/retrains", json={"reason": "benchmark"}).raise_for_status().json()
        retrained(client, asked["id"])


def _batch(first: int, steps: int, rng: np.random.Generator) -> bytes:
    """A columnar request: `steps` hourly points of each series, with a daily season and noise."""
    timestamps = first + HOUR * np.arange(steps)
    season = 100 + 40 * np.sin(2 * np.pi * (timestamps % 86400) / 86400)
    values = np.round(season + 5 * rng.standard_normal((SERIES, steps)), 2)
    series = [
        {
            "metric": "load",
            "dimensions": {"host": f"h{number}"},
            "timestamps": timestamps.tolist(),
            "values": values[number].tolist(),
        }
        for number in range(SERIES)
    ]
    return json.dumps({"series": series}, separators=(",", ":")).encode()


def _post_batches(port: int, token: str, batches: list[bytes]) -> Measured:
    """From two clients, so that one request is read while another is committed."""
    waiting = iter(batches)
    lock = threading.Lock()

    def next_body() -> bytes | None:
        with lock:
            return next(waiting, None)

    seconds, answers = _run_clients(2, port, token, lambda _client: iter(next_body, None))
    return Measured("columnar batches of 10,000", len(answers) * SERIES * STEPS_PER_BATCH, seconds, answers)


def _post_singles(port: int, token: str, first: int) -> Measured:
    def bodies(client: int) -> Iterator[bytes]:
        """Points of series of this client's own, until the time is up."""
        until = time.monotonic() + SINGLES_SECONDS
        own = range(client, SERIES, CLIENTS)
        step = 0
        while time.monotonic() < until:
            timestamp = first + step // len(own) * HOUR
            point = {
                "metric": "load",
                "dimensions": {"host": f"h{own[step % len(own)]}"},
                "timestamp": timestamp,
                "value": 100 + 40 * float(np.sin(2 * np.pi * (timestamp % 86400) / 86400)),
            }
            yield json.dumps({"points": [point]}).encode()
            step += 1

    seconds, answers = _run_clients(CLIENTS, port, token, bodies)
    return Measured(f"single points from {CLIENTS} clients", len(answers), seconds, answers)


def _run_clients(
    count: int, port: int, token: str, bodies: Callable[[int], Iterator[bytes]]
) -> tuple[float, list[float]]:
    """Post from so many connections at once; the time it all took and the time of each answer."""
    answers: list[float] = []

    def post_all(client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for body in bodies(client):
            began = time.perf_counter()
            connection.request("POST", "/v1/points", body, {**HEADERS, "Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != http.client.ACCEPTED:
                raise RuntimeError(f"{answer.status}: {text[:300]!r}")
            answers.append(time.perf_counter() - began)
        connection.close()

    began = time.perf_counter()
    with ThreadPoolExecutor(count) as clients:
        list(clients.map(post_all, range(count)))
    return time.perf_counter() - began, answers


def _plain_rows(path: Path) -> Measured:
    """The same batches as a row a point: the store that Heed does not have."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
    connection.execute(
        "CREATE TABLE point (series INT, time INT, value REAL, PRIMARY KEY (series, time)) WITHOUT ROWID"
    )
    answers = []
    began = time.perf_counter()
    for batch in range(10):
        first = time.perf_counter()
        rows = [(s, batch * STEPS_PER_BATCH + t, 1.5 * s) for s in range(SERIES) for t in range(STEPS_PER_BATCH)]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO point VALUES (?, ?, ?)", rows)
        connection.execute("COMMIT")
        answers.append(time.perf_counter() - first)
    seconds = time.perf_counter() - began
    connection.close()
    return Measured("plain rows in SQLite, no HTTP, not judged", 10 * SERIES * STEPS_PER_BATCH, seconds, answers)


def _table(measured: list[Measured]) -> Table:
    table = Table(title=f"Durable ingest: SQLite, synchronous=FULL, {SERIES:,} hourly series with a trained baseline")
    for heading in ("load", "points/s", "requests/s", "median ms", "p99 ms"):
        table.add_column(heading, justify="left" if heading == "load" else "right")
    for load in measured:
        table.add_row(
            load.name,
            f"{load.points_per_second:,.0f}",
            f"{len(load.answers) / load.seconds:,.0f}",
            f"{load.quantile_ms(0.5):.1f}",
            f"{load.quantile_ms(0.99):.1f}",
        )
    return table


if __name__ == "__main__":
    main()
