"""Guarantee 12: killed at any moment around sending, nothing is lost and nothing is told more than once too often."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from app.pipeline.notify import LEASE
from app.store.database import Database
from tests.pipeline.outbox import NOW, add_alerts, add_channel, outbox, statuses
from tests.receiver import Receiver, Reply, receiving

ROOT = Path(__file__).parents[2]


def test_killed_around_sending_nothing_is_lost(database: Database, database_url: str) -> None:
    """Guarantee 12, with 20 kills; all 200 of them in the soak test."""
    kill_around_sending(database, database_url, kills=20)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_killed_two_hundred_times_around_sending_nothing_is_lost(database: Database, database_url: str) -> None:
    """Guarantee 12."""
    kill_around_sending(database, database_url, kills=200)


def kill_around_sending(database: Database, database_url: str, kills: int) -> None:
    rng = np.random.default_rng(12)
    with receiving() as receiver, delivering(database_url) as victim:
        add_channel(database, "webhook", receiver.url)
        now, killed_while_alive = NOW, 0
        for round_number in range(kills):
            add_alerts(database, 1, now)
            killed_while_alive += victim.killed_at(MOMENTS[round_number % len(MOMENTS)], receiver, now, rng)
            now += LEASE + timedelta(seconds=1)
            receiver.reply = lambda _: Reply()
            victim.deliver(now)

        sent = outbox(database)
        received = Counter(request.headers["webhook-id"] for request in receiver.requests)

    assert statuses(database) == ["sent"] * kills
    assert set(received) == {notification.id for notification in sent}
    assert max(received.values()) <= 2
    assert killed_while_alive >= kills * 0.8
    assert sum(received.values()) > kills  # some were killed between the answer and the record, as was meant


MOMENTS = ("while it is being sent", "just after the answer", "at any time")


class Victim:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def deliver(self, now: datetime) -> None:
        self._start(now)
        assert self._answer() == "ended"

    def killed_at(self, moment: str, receiver: Receiver, now: datetime, rng: np.random.Generator) -> bool:
        """Whether it was still at work when it was killed."""
        arrived = threading.Event()

        def reply(_: Receiver) -> Reply:
            arrived.set()
            return Reply(stall_seconds=0.3 if moment == MOMENTS[0] else 0.0)

        receiver.reply = reply
        child = self._start(now)
        if moment == "at any time":
            time.sleep(rng.uniform(0, 0.05))
        else:
            assert arrived.wait(10)
            time.sleep(rng.uniform(0, 0.004) if moment == "just after the answer" else 0)
        is_alive = Path(f"/proc/{child}").exists()
        if is_alive:
            os.kill(child, signal.SIGKILL)
        assert self._answer() == "ended"
        return is_alive

    def _start(self, now: datetime) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{now.isoformat()}\n")
        self._process.stdin.flush()
        return int(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def delivering(database_url: str) -> Iterator[Victim]:
    command = [sys.executable, "-m", "tests.pipeline.delivering", database_url]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield Victim(process)
        process.kill()
