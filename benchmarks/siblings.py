"""How far a few answers go: sibling series in a simulated week, through the whole pipeline on the event clock.

Fifteen series of one metric blip by a quarter for an hour now and then, which nobody wants to hear of. In the first
week somebody calls twenty such alerts on ten of them false alarms. In the second week as many blips come to all
fifteen, once in a Heed that was answered and once in one that was not; so do real problems, falls that last.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
import structlog
from rich.console import Console
from rich.table import Table

from app.alerts.rules import Delivery
from app.formats.contract import PostedPoints
from app.main import Heed
from app.pipeline import train
from app.pipeline.learn import label_alert
from app.settings import Settings
from app.store.series import identity
from app.store.tables import Alert, Anomaly, Series

HOUR = 3_600
MONDAY = 1_767_571_200  # 5 January 2026, midnight UTC
WEEK_HOURS = 168
SERIES, LABELLED, LABELS = 15, 10, 20
BLIP, FALL, FALL_HOURS = 1.25, 0.6, 5
BLIPS_A_WEEK, FALLS_A_WEEK = 3, 1


@dataclass(frozen=True)
class Week:
    """Alerts of one week: false ones on series that were labelled and on their siblings, and real problems told."""

    false_of_labelled: int
    false_of_siblings: int
    real: int
    problems: int

    @property
    def false(self) -> int:
        return self.false_of_labelled + self.false_of_siblings


def main() -> int:
    """Print both weeks, answered and not."""
    logging.disable(logging.INFO)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    table = Table(title=f"The week after {LABELS} labels on {LABELLED} of {SERIES} sibling series")
    for column in ("", "false alerts", "on labelled series", "on unlabelled siblings", "real problems told"):
        table.add_column(column, justify="right" if column else "left")
    for name, week in zip(("nobody answers", "somebody answers"), second_weeks(), strict=True):
        figures = (week.false, week.false_of_labelled, week.false_of_siblings, f"{week.real} of {week.problems}")
        table.add_row(name, *map(str, figures))
    Console().print(table)
    return 0


def second_weeks(*, seed: int = 1) -> tuple[Week, Week]:
    """What is told in the second week where nobody answers, and where somebody does; the first week is the same one."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(prefix="heed-bench-") as folder:
        silent, answered = Path(folder) / "silent", Path(folder) / "answered"
        with _heed(silent) as heed:
            fleet = Fleet(heed, seed)
            fleet.send(5 * WEEK_HOURS, Delivery.SILENT)
            train.train(heed.committer, now=heed.clock.now(), reason="history", wanted=train.everything)
            fleet.live_through(_happenings(rng, fleet.clock))
        shutil.copytree(silent, answered)
        happenings = _happenings(rng, fleet.clock)
        with _heed(silent) as heed:
            nobody = _second_week(Fleet(heed, seed, fleet.clock), happenings)
        with _heed(answered) as heed:
            _answer(heed)
            somebody = _second_week(Fleet(heed, seed, fleet.clock), happenings)
    return nobody, somebody


class Fleet:
    """Hourly orders of all series, posted together. clock: hours since MONDAY."""

    def __init__(self, heed: Heed, seed: int, clock: int = 0) -> None:
        rng = np.random.default_rng(seed + 1)
        self.heed, self.clock = heed, clock
        self.level = rng.uniform(100, 600, SERIES)
        self.noise = rng.normal(0, 0.03, (SERIES, 8 * WEEK_HOURS))
        self.identities = [identity("orders", {"shop": f"{number:02}"}) for number in range(SERIES)]

    def live_through(self, happenings: Mapping[tuple[int, int], float]) -> None:
        """A week hour by hour. happenings: by series and hour, what its orders are multiplied by."""
        for _ in range(WEEK_HOURS):
            factor = np.array([happenings.get((series, self.clock), 1.0) for series in range(SERIES)])
            self.send(1, None, factor)

    def send(self, hours: int, delivery: Delivery | None, factor: float | np.ndarray = 1.0) -> None:
        span = np.arange(self.clock, self.clock + hours)
        self.clock += hours
        season = (1 + 0.4 * np.sin(2 * np.pi * span / 24)) * np.where(span // 24 % 7 >= 5, 0.8, 1.0)
        values = (self.level * factor)[:, None] * (season + self.noise[:, span])
        series = np.repeat(np.arange(SERIES, dtype=np.int32), hours)
        timestamp = np.tile(MONDAY + HOUR * span, SERIES)
        posted = PostedPoints(self.identities, series, timestamp, values.ravel(), np.arange(series.size), [])
        self.heed.committer.submit(posted, None, delivery).result()


def _happenings(rng: np.random.Generator, first_hour: int) -> dict[tuple[int, int], float]:
    """A week of blips and falls, each series' on days of their own."""
    found: dict[tuple[int, int], float] = {}
    for series in range(SERIES):
        days = rng.permutation(7)
        for day in days[:BLIPS_A_WEEK]:
            found[series, first_hour + 24 * int(day) + int(rng.integers(1, 18))] = BLIP + rng.uniform(0, 0.1)
        for day in days[BLIPS_A_WEEK : BLIPS_A_WEEK + FALLS_A_WEEK]:
            start = first_hour + 24 * int(day) + int(rng.integers(1, 18))
            found |= {(series, hour): FALL for hour in range(start, start + FALL_HOURS)}
    return found


def _answer(heed: Heed) -> None:
    """Two alerts about rises on each of the first series are called false alarms."""
    given: Counter[str] = Counter()
    for alert_id, shop, direction, _ in _told(heed):
        if direction > 0 and int(shop) < LABELLED and given[shop] < LABELS // LABELLED:
            given[shop] += 1
            said: dict[str, Any] = {"author": "ana", "source": "api", "now": heed.clock.now()}
            label_alert(
                heed, alert_id, "false_alarm", **said, confirmed=True
            )  # 13 ask for it: blips are near the owner's size


def _second_week(fleet: Fleet, happenings: Mapping[tuple[int, int], float]) -> Week:
    begin = MONDAY + HOUR * fleet.clock
    fleet.live_through(happenings)
    told = [each for each in _told(fleet.heed) if each[3] >= begin]
    false = [int(shop) < LABELLED for _, shop, direction, _ in told if direction > 0]
    falls = {(series, hour) for (series, hour), factor in happenings.items() if factor < 1}
    hit = {
        (int(shop), at // (24 * HOUR))
        for _, shop, direction, at in told
        if direction < 0 and (int(shop), (at - MONDAY) // HOUR) in falls
    }
    return Week(sum(false), len(false) - sum(false), len(hit), SERIES * FALLS_A_WEEK)


def _told(heed: Heed) -> list[tuple[int, str, int, int]]:
    """Of each alert its id, its series, its direction, and when it was told."""
    query = (
        sa.select(Alert.id, Series.dimensions, Anomaly.direction, Alert.created_at)
        .join(Anomaly, Anomaly.alert_id == Alert.id)
        .join(Series, Series.id == Anomaly.series_id)
        .order_by(Alert.id)
    )
    with heed.database.reading() as session:
        rows = session.execute(query).all()
    return [(row[0], row[1]["shop"], row[2], int(row[3].timestamp())) for row in rows]


@contextmanager
def _heed(folder: Path) -> Iterator[Heed]:
    folder.mkdir(exist_ok=True)
    settings = {"database_url": f"sqlite:///{folder}/heed.db", "data_dir": folder, "clock": "event"}
    with Heed(Settings.model_validate(settings | {"alerts_per_week": 1.0})) as heed:
        yield heed


if __name__ == "__main__":
    sys.exit(main())
