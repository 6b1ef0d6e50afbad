"""Write batches and fold them in a child that is killed with SIGKILL again and again; check what is left each time.

Run as `python -m tests.store.killed_writer URL KILLS`; exits with an error that says what was lost.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial

import numpy as np

from app.store.database import Database
from app.store.points import PointBatch, append_log, fold, read_points
from tests.store.factories import NOW, PARTITION, new_series

SERIES = 40
BATCHES_PER_FOLD = 3
LONGEST_LIFE_SECONDS = 0.05
HOUR = 3600


def main(url: str, kills: int) -> None:
    rng = random.Random(0)
    with closing(Database(url)) as database, database.writing() as session:
        ids = np.array(new_series(session, SERIES))
    stored = 0
    for _ in range(kills):
        acknowledged = run_until_killed(partial(write, url, ids, stored), rng)
        with closing(Database(url)) as database:
            now_stored = stored_batches(database, ids)
        assert stored + acknowledged <= now_stored <= stored + acknowledged + 1, (
            f"{stored} batches were stored, {acknowledged} more acknowledged, {now_stored} are there"
        )
        stored = now_stored
    assert stored > kills, f"too few batches to tell: {stored}"
    sys.stdout.write(f"{stored}\n")


def run_until_killed(work: Callable[[Callable[[], object]], None], rng: random.Random) -> int:
    """How many times the work acknowledged something before it was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        work(lambda: os.write(writer, b"."))
    os.close(writer)
    acknowledged = len(os.read(reader, 1))
    time.sleep(rng.uniform(0, LONGEST_LIFE_SECONDS))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(reader, 4096):
        acknowledged += len(more)
    os.close(reader)
    return acknowledged


def write(url: str, ids: np.ndarray, first: int, acknowledge: Callable[[], object]) -> None:
    database = Database(url)
    for number in range(first, sys.maxsize):
        with database.writing() as session:
            append_log(
                session, partition=PARTITION, batch_id=str(number), received_at=NOW, batch=batch_of_number(ids, number)
            )
        acknowledge()
        if number % BATCHES_PER_FOLD == 0:
            with database.writing() as session:
                fold(session, PARTITION, {})


def batch_of_number(ids: np.ndarray, number: int) -> PointBatch:
    return PointBatch(ids, np.full(SERIES, number * HOUR), ids * 1000.0 + number)


def stored_batches(database: Database, ids: np.ndarray) -> int:
    """How many batches are there, each whole and with its values."""
    with database.reading() as session:
        points = read_points(session, ids.tolist(), 0, 1 << 40)
    numbers = points.timestamp // HOUR
    np.testing.assert_array_equal(points.value, points.series * 1000.0 + numbers)
    present, count = np.unique(numbers, return_counts=True)
    assert (count == SERIES).all(), "a batch is there in part"
    assert present.tolist() == list(range(len(present))), "a batch is missing between others"
    return len(present)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
