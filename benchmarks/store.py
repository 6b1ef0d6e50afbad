"""How fast points are stored and read, beside a row a point in SQLite: `python -m benchmarks.store [--url URL]`."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import numpy as np
import sqlalchemy as sa
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sqlalchemy.orm import InstrumentedAttribute

from app.store import series
from app.store.database import Database
from app.store.migrate import upgrade
from app.store.points import PointBatch, append_log, fold, read_grids, read_log, read_points, stored_values
from app.store.tables import LogBatch, Tile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOUR = 3600
WEEK = 168  # hours
START = 1_767_225_600  # 2026-01-01
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOG, PLAIN = "log, tiles", "a row a point"


@dataclass(frozen=True)
class Line:
    """One row of the table: how many points went through a step, and in what time."""

    layout: str
    step: str
    points: int
    seconds: float
    cpu_seconds: float
    note: str = ""


def main(
    series_count: int = 10_000,
    weeks: int = 5,
    plain_points: int = 1_000_000,
    url: Annotated[str, typer.Option(help="An empty database instead of SQLite in a temporary directory.")] = "",
) -> None:
    """Hourly counts, revenue, ratios and latencies of many series, in batches of one hour of all of them."""
    values = simulated_values(series_count, weeks * 168)
    with tempfile.TemporaryDirectory() as directory:
        lines = list(plain_rows(Path(directory) / "plain.db", values[: plain_points // series_count]))
        lines += log_and_tiles(f"sqlite:///{directory}/unscored.db", values, scored=False)
        lines += log_and_tiles(url or f"sqlite:///{directory}/scored.db", values, scored=True)
    Console(width=130).print(as_table(lines, f"{series_count:,} series, {weeks} weeks hourly"))


def as_table(lines: list[Line], title: str) -> Table:
    table = Table(title=title)
    for name in ("layout", "step"):
        table.add_column(name, no_wrap=True)
    for name in ("points", "points/s", "a CPU second", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        rates = (f"{line.points / seconds:,.0f}" for seconds in (line.seconds, line.cpu_seconds))
        table.add_row(line.layout, line.step, f"{line.points:,}", *rates, line.note)
    return table


def simulated_values(series_count: int, steps: int) -> Floats:
    """(steps, series): counts, money, ratios and latencies with a daily and a weekly season."""
    rng = np.random.default_rng(1)
    hour = np.arange(steps)[:, None]
    season = 1 + 0.6 * np.sin(2 * np.pi * hour / 24) + 0.2 * np.sin(2 * np.pi * hour / 168)
    counts = rng.poisson(season * 10 ** rng.uniform(0, 4, series_count)).astype(np.float64)
    kind = np.arange(series_count) % 4
    price = rng.lognormal(3, 0.1, counts.shape)
    latency = np.round(rng.lognormal(np.log(120), 0.2, counts.shape), 3)
    ratio = counts / np.maximum(1, counts + rng.poisson(counts))
    return np.choose(kind, [counts, np.round(counts * price, 2), ratio, latency])


def batch_of_hour(ids: Ints, hour: int, values: Floats, *, scored: bool) -> PointBatch:
    timestamp = np.full(len(ids), START + hour * HOUR)
    if not scored:
        return PointBatch(ids, timestamp, values)
    rng = np.random.default_rng(hour)
    expected = values * rng.normal(1, 0.05, len(ids))
    half_band = 0.2 * np.abs(values).clip(0.01)
    rarity = rng.normal(-2, 0.5, len(ids))
    scores = (expected, expected - half_band, expected + half_band, rarity)
    return PointBatch(ids, timestamp, values, *(each.astype(np.float32) for each in scores))


def log_and_tiles(url: str, values: Floats, *, scored: bool) -> Iterator[Line]:
    layout = f"{LOG}, scored" if scored else LOG
    hours, series_count = values.shape
    end = START + hours * HOUR
    with closing(Database(url)) as database:
        upgrade(database)
        ids = new_series(database, series_count)
        batches = [batch_of_hour(ids, hour, row, scored=scored) for hour, row in enumerate(values)]

        def line(step: str, points: int, work: Callable[[], object], *, times: int = 1, note: str = "") -> Line:
            return Line(layout, step, points, *best(work, times), note)

        a_week = WEEK * series_count
        yield line("append, a commit a batch", a_week, lambda: append(database, batches[:WEEK]))
        note = f"{stored_bytes(database, LogBatch.columns) / a_week:.1f} B/point"
        yield line("replay the log", a_week, lambda: replay(database), note=note)
        yield line("fold a week of new series", a_week, lambda: fold_all(database, ids))
        append(database, batches[WEEK : WEEK + 1])
        yield line("fold an hour", series_count, lambda: fold_all(database, ids))
        append(database, batches[WEEK + 1 : 2 * WEEK])
        yield line("fold a week", a_week - series_count, lambda: fold_all(database, ids))
        append(database, batches[2 * WEEK :])
        fold_all(database, ids)
        sizes = [stored_bytes(database, column) / values.size for column in (Tile.values, Tile.scores)]
        note = f"{sizes[0]:.1f} B/point" + (f" + {sizes[1]:.1f} as judged" if scored else "")
        yield line("bulk read", values.size, lambda: read_all(database, end), times=3, note=note)
        yield line("read one series", hours, lambda: read_one(database, int(ids[7]), end), times=3)
        old = np.full(series_count, START + 30 * HOUR)
        yield line("look up old points", series_count, lambda: look_up(database, ids, old), times=3)


def new_series(database: Database, count: int) -> Ints:
    identities = [series.identity("m", {"n": str(number)}) for number in range(count)]
    with database.writing() as session:
        rows = series.find_or_create(session, identities, partition_count=1, timezone="UTC", token_id=None, now=NOW)
    return np.array([row.id for row in rows])


def append(database: Database, batches: list[PointBatch]) -> None:
    for batch in batches:
        with database.writing() as session:
            append_log(session, partition=0, batch_id=str(uuid4()), received_at=NOW, batch=batch)


def replay(database: Database) -> None:
    with database.reading() as session:
        for _ in read_log(session, 0):
            pass


def fold_all(database: Database, ids: Ints) -> None:
    with database.writing() as session:
        fold(session, 0, dict.fromkeys(ids.tolist(), HOUR))


def read_all(database: Database, end: int) -> None:
    with database.reading() as session:
        for _ in read_grids(session, 0, START, end):
            pass


def read_one(database: Database, series_id: int, end: int) -> None:
    with database.reading() as session:
        read_points(session, [series_id], START, end)


def look_up(database: Database, ids: Ints, timestamp: Ints) -> None:
    with database.reading() as session:
        _, exists = stored_values(session, ids, timestamp)
    assert exists.all()


def stored_bytes(database: Database, column: InstrumentedAttribute[bytes] | InstrumentedAttribute[bytes | None]) -> int:
    with database.reading() as session:
        return int(session.scalar(sa.select(sa.func.sum(sa.func.length(column)))) or 0)


def plain_rows(path: Path, values: Floats) -> Iterator[Line]:
    """A row a point with the key (series, time), as most would do first; as durable as the rest."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(
            "CREATE TABLE point (series INTEGER, time INTEGER, value REAL, PRIMARY KEY (series, time)) WITHOUT ROWID"
        )
        write = best(lambda: write_rows(connection, values), 1)
        yield Line(PLAIN, "append, a commit a batch", values.size, *write)
        query = "SELECT series, time, value FROM point ORDER BY series, time"
        read = best(lambda: np.array(connection.execute(query).fetchall()), 3)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        note = f"{path.stat().st_size / values.size:.1f} B/point"
        yield Line(PLAIN, "bulk read", values.size, *read, note)


def write_rows(connection: sqlite3.Connection, values: Floats) -> None:
    for hour, row in enumerate(values):
        points = [(number, START + hour * HOUR, value) for number, value in enumerate(row.tolist())]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT OR REPLACE INTO point VALUES (?, ?, ?)", points)
        connection.execute("COMMIT")


def best(work: Callable[[], object], times: int) -> tuple[float, float]:
    """Seconds and CPU seconds of the fastest of so many runs."""
    return min(timed(work) for _ in range(times))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    begun, cpu_begun = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begun, time.process_time() - cpu_begun


if __name__ == "__main__":
    typer.run(main)
