"""A running Heed in this process, on any database, and points to post to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from app.alerts.rules import Delivery
from app.formats.contract import Floats, Ints, PostedPoints
from app.main import Heed
from app.pipeline import train
from app.pipeline.ingest import IngestOutcome
from app.security import Bearer
from app.settings import Settings
from app.store.series import identity
from app.store.tables import Alert, Anomaly, Notification

HOUR, DAY, WEEK = 3_600, 86_400, 604_800
MONDAY = 1_767_571_200
"""5 January 2026, midnight UTC."""


@contextmanager
def running(database_url: str, folder: Path, **settings: Any) -> Iterator[Heed]:
    """A started Heed that is stopped at the end."""
    heed = Heed(settings_of(database_url, folder, **settings))
    with heed:
        yield heed


def settings_of(database_url: str, folder: Path, **settings: Any) -> Settings:
    complete: dict[str, Any] = {"database_url": database_url, "data_dir": folder, "clock": "event"} | settings
    return Settings(**complete)


def posted(metric: str, timestamps: Ints, values: Sequence[float] | Floats, **dimensions: str) -> PostedPoints:
    """Points of one series as a format would have decoded them."""
    count = len(timestamps)
    return PostedPoints(
        [identity(metric, dimensions)],
        np.zeros(count, np.int32),
        np.asarray(timestamps, np.int64),
        np.asarray(values, np.float64),
        np.arange(count),
        [],
    )


@dataclass
class Shop:
    """Hourly orders of one series with a day and noise, posted as they happen. Hours count from MONDAY."""

    heed: Heed
    country: str = "DE"
    metric: str = "orders"
    seed: int = 3
    clock: int = field(default=0, init=False)

    def values(self, hours: Ints) -> Floats:
        noise = np.random.default_rng(self.seed).normal(0, 3, 24 * 7 * 30)
        weekend = np.where(hours // 24 % 7 >= 5, 0.8, 1.0)
        return np.asarray((100 + 40 * np.sin(2 * np.pi * hours / 24)) * weekend + noise[hours])

    def send(
        self,
        hours: int,
        *,
        factor: float = 1.0,
        at_once: bool = False,
        delivery: Delivery | None = None,
        bearer: Bearer | None = None,
    ) -> list[IngestOutcome]:
        """The next so many hours, times a factor, an hour a POST or all in one."""
        span = np.arange(self.clock, self.clock + hours)
        self.clock += hours
        parts = [span] if at_once else np.split(span, len(span))
        return [
            self.heed.committer.submit(
                posted(self.metric, MONDAY + HOUR * part, factor * self.values(part), country=self.country),
                bearer,
                delivery,
            ).result()
            for part in parts
        ]

    def has_history(self, weeks: int = 5) -> None:
        """Weeks of normal days that nobody is told of, trained on."""
        self.send(weeks * 168, at_once=True, delivery=Delivery.SILENT)

    def is_known(self) -> None:
        """Five weeks of trained history, and a quiet day."""
        self.has_history()
        train.train(self.heed.committer, now=self.heed.clock.now(), reason="test", wanted=train.everything)
        self.send(24)


def alerts(heed: Heed) -> list[Alert]:
    with heed.database.reading() as session:
        return list(session.scalars(sa.select(Alert).order_by(Alert.id)))


def anomalies(heed: Heed) -> list[Anomaly]:
    with heed.database.reading() as session:
        return list(session.scalars(sa.select(Anomaly).order_by(Anomaly.id)))


def notification_reasons(heed: Heed) -> list[str]:
    with heed.database.reading() as session:
        query = sa.select(Notification.reason).order_by(Notification.alert_id, Notification.step)
        return list(session.scalars(query))
