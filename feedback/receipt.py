"""The receipt: what a label changed, or would change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, TypeVar

from feedback import guards
from feedback.labels import EffectOn, Effects, LabelEvidence, Verdict
from feedback.missed import Replayed

T = TypeVar("T")

HINDSIGHT_DAYS = 60
"""How far back a receipt looks for alerts that would not, or would, have been sent."""


class Action(StrEnum):
    """What was done, or only tried."""

    LABELLED = "labelled"
    WOULD_LABEL = "would_label"
    UNDONE = "undone"
    WOULD_UNDO = "would_undo"


@dataclass(frozen=True)
class Change(Generic[T]):
    """One thing before the label and after it."""

    before: T
    after: T

    @property
    def is_none(self) -> bool:
        return self.before == self.after


@dataclass(frozen=True)
class Band:
    """What the next point is expected to be, and between which values it is not told, in the series' unit."""

    timestamp: datetime
    expected: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Power:
    """Share of injected drops and spikes, each of `size` of the expected value, that are told in a week.

    since: when that week begins; None: now.
    """

    drops: float
    spikes: float
    size: float = 0.3
    since: datetime | None = None


@dataclass(frozen=True)
class SeriesName:
    """A series as people know it."""

    series_id: int
    metric: str
    dimensions: Mapping[str, str]

    def __str__(self) -> str:
        if not self.dimensions:
            return self.metric
        return f"{self.metric} ({', '.join(f'{name} {value}' for name, value in sorted(self.dimensions.items()))})"


@dataclass(frozen=True)
class PowerOf:
    """How well one series is heard: if nobody had labelled anything, before this label, and after it."""

    series: SeriesName
    unlabelled: Power
    before: Power
    after: Power


@dataclass(frozen=True)
class PastAnomaly:
    """The rarest anomaly of an alert of the last weeks that the label decides on. rarity: log10 weeks.

    alert_id: None of an alert that was not sent.
    """

    anomaly_id: int
    alert_id: int | None
    series: SeriesName
    started_at: datetime
    direction: int
    rarity: float


@dataclass(frozen=True)
class Hindsight:
    """Some alerts of the last 60 days, newest first, each by its rarest anomaly, and how many there are in all."""

    count: int = 0
    anomalies: Sequence[PastAnomaly] = ()


@dataclass(frozen=True)
class Disagreement:
    """Another verdict on the same alert. Both are kept; `decides` says whether the other one is acted upon.

    on: what both act on.
    """

    other: LabelEvidence
    decides: bool
    on: Sequence[EffectOn] = tuple(EffectOn)


@dataclass(frozen=True)
class Statistics:
    """Alerts of the last 60 days by what people said of them."""

    alerts: int
    real: int
    false_alarm: int

    @property
    def unlabelled(self) -> int:
        return self.alerts - self.real - self.false_alarm


@dataclass(frozen=True)
class Receipt:
    """What a label did. tolerance, siblings: decades; `pinned_by`: labels that held it down.

    threshold: log10 weeks from which the like of what was labelled is told; of_repeats: where it comes back at the same
    hour of the week.

    worth: chance that people want to hear of the like of what was labelled. reasons: why that is so afterwards.
    beside: the other series of the alert, which the label is about as well. beyond: series that what it makes is about
    besides. power: of the first of all these, as far as it is known. created: what it makes besides, in words.
    band: None afterwards where the next point will not be judged. replayed: what comes of playing a missed span again.
    of_gap: the alert tells of lost data.
    """

    action: Action
    label_id: int | None
    verdict: Verdict
    author: str
    source: str
    series: SeriesName
    direction: int
    started_at: datetime
    ended_at: datetime
    effects: Effects
    tolerance: Change[float]
    siblings: Change[float]
    threshold: Change[float]
    threshold_of_repeats: Change[float]
    effective_from: datetime
    alert_id: int | None = None
    alert_status: Change[str] | None = None
    comment: str | None = None
    band: Change[Band | None] | None = None
    power: Sequence[PowerOf] = ()
    no_longer_sent: Hindsight = Hindsight()
    now_sent: Hindsight = Hindsight()
    worth: Change[float] | None = None
    reasons: Sequence[str] = ()
    pinned_by: Sequence[int] = ()
    disagreements: Sequence[Disagreement] = ()
    statistics: Statistics | None = None
    created: Sequence[str] = ()
    replayed: Replayed | None = None
    undo_url: str | None = None
    weight: float = field(default=guards.ANALYST_WEIGHT)
    half_life: timedelta = guards.HALF_LIFE
    beside: Sequence[SeriesName] = ()
    beyond: Sequence[SeriesName] = ()
    of_gap: bool = False

    @property
    def own_power(self) -> PowerOf | None:
        """Of the series that the receipt speaks of."""
        return next((each for each in self.power if each.series == self.series), None)

    @property
    def acts(self) -> bool:
        """False where another label on the same alert is heeded instead."""
        return not any(each.decides and EffectOn.TOLERANCE in each.on for each in self.disagreements)
