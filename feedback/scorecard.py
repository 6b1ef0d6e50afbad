"""How well it does, by what people said: precision and recall with their intervals, coverage, delay, and the budget.

What nobody answered is not guessed at: it shows in the coverage, and in how wide the intervals are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from feedback.labels import Verdict

CONFIDENCE = 0.9
RIGHT = frozenset({Verdict.REAL, Verdict.EVENT, Verdict.NEW_NORMAL})
"""Verdicts that say there was something to be told; *bad data* says neither that nor the opposite."""


@dataclass(frozen=True)
class Told:
    """An alert that people were told of. verdict: the one that decides, None where nobody has answered.

    groups: what it counts under, such as {"metric": "orders", "detector": "seasonal"}.
    """

    groups: Mapping[str, str]
    told_at: datetime
    verdict: Verdict | None = None
    answered_at: datetime | None = None


@dataclass(frozen=True)
class Missed:
    """A problem that nobody was told of and somebody reported. silenced: labels had raised its threshold above it."""

    groups: Mapping[str, str]
    silenced: bool = False


@dataclass(frozen=True)
class Silenced:
    """Anomalies that would have been told but for what labels taught."""

    groups: Mapping[str, str]
    count: int


@dataclass(frozen=True)
class Watched:
    """Series that were watched. series_weeks: of all together; budget: alerts a week that their owners put up with."""

    groups: Mapping[str, str]
    series: int
    series_weeks: float
    budget: float


@dataclass(frozen=True)
class Estimate:
    """A share, and the 90 % interval that it lies in (Wilson's), from so many cases."""

    value: float
    low: float
    high: float
    cases: int


@dataclass(frozen=True)
class Card:
    """The figures of one group.

    precision: share of answered alerts that told of something. recall: share of known problems that were told; both
    None without a case. coverage: share of alerts that were answered, None without an alert. alerts_a_week: of all
    series together, beside `budget`. saved: alerts that labels have spared people; cost: reported problems that labels
    had hidden.
    """

    series: int
    alerts: int
    right: int
    wrong: int
    bad_data: int
    missed: int
    precision: Estimate | None
    recall: Estimate | None
    coverage: float | None
    median_answer: timedelta | None
    alerts_a_week: float | None
    budget: float
    saved: int
    cost: int

    @property
    def unanswered(self) -> int:
        return self.alerts - self.right - self.wrong - self.bad_data

    @property
    def breaks_budget(self) -> bool:
        return self.alerts_a_week is not None and self.alerts_a_week > self.budget


@dataclass(frozen=True)
class Record:
    """All that happened in a window of time."""

    told: Sequence[Told] = ()
    missed: Sequence[Missed] = ()
    silenced: Sequence[Silenced] = ()
    watched: Sequence[Watched] = ()

    def of(self, kind: str, name: str) -> Record:
        """What of it counts under one name of one kind of group."""
        return Record(
            [each for each in self.told if each.groups.get(kind) == name],
            [each for each in self.missed if each.groups.get(kind) == name],
            [each for each in self.silenced if each.groups.get(kind) == name],
            [each for each in self.watched if each.groups.get(kind) == name],
        )

    def names(self, kind: str) -> list[str]:
        everything: Iterable[Told | Missed | Silenced | Watched] = [
            *self.told,
            *self.missed,
            *self.silenced,
            *self.watched,
        ]
        return sorted({each.groups[kind] for each in everything if kind in each.groups})


def card(record: Record) -> Card:
    """The figures of everything in the record."""
    verdicts = [each.verdict for each in record.told]
    right = sum(verdict in RIGHT for verdict in verdicts)
    wrong = verdicts.count(Verdict.FALSE_ALARM)
    real = verdicts.count(Verdict.REAL)
    missed = len(record.missed)
    answered = [each.answered_at - each.told_at for each in record.told if each.answered_at is not None]
    series = sum(each.series for each in record.watched)
    series_weeks = sum(each.series_weeks for each in record.watched)
    return Card(
        series=series,
        alerts=len(record.told),
        right=right,
        wrong=wrong,
        bad_data=verdicts.count(Verdict.BAD_DATA),
        missed=missed,
        precision=estimate(right, right + wrong),
        recall=estimate(real, real + missed),
        coverage=len(answered) / len(record.told) if record.told else None,
        median_answer=timedelta(seconds=float(np.median([each.total_seconds() for each in answered])))
        if answered
        else None,
        alerts_a_week=len(record.told) * series / series_weeks if series_weeks else None,
        budget=sum(each.budget for each in record.watched),
        saved=sum(each.count for each in record.silenced),
        cost=sum(each.silenced for each in record.missed),
    )


def cards(record: Record, kind: str) -> dict[str, Card]:
    """The figures of each group of a kind, by its name."""
    return {name: card(record.of(kind, name)) for name in record.names(kind)}


def estimate(count: int, cases: int) -> Estimate | None:
    """A share with its interval; None without a case."""
    if cases == 0:
        return None
    from statsmodels.stats.proportion import proportion_confint  # a second of a start, for a page now and then

    low, high = proportion_confint(count, cases, alpha=1 - CONFIDENCE, method="wilson")
    return Estimate(count / cases, float(low), float(high), cases)
