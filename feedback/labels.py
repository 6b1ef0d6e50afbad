"""Verdicts, and what each does: five effects that are separate primitives, of which a button is a named combination."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class Verdict(StrEnum):
    """A person's judgement of an alert, or of a span of a series."""

    FALSE_ALARM = "false_alarm"
    REAL = "real"
    MISSED = "missed"
    EVENT = "event"
    NEW_NORMAL = "new_normal"
    BAD_DATA = "bad_data"


class AlertEffect(StrEnum):
    """What becomes of the labelled alert."""

    STAYS = "stays"
    CLOSED = "closed"
    OPENED_SILENTLY = "opened_silently"
    WITHDRAWN = "withdrawn"


class TrainingEffect(StrEnum):
    """What trainings make of the labelled span."""

    INCLUDED = "included"
    EXCLUDED = "excluded"
    LEVEL_FORGOTTEN = "level_forgotten"


class ToleranceEffect(StrEnum):
    """What becomes of the tolerance of similar anomalies."""

    UNCHANGED = "unchanged"
    RAISED = "raised"
    PINNED = "pinned"
    LOWERED = "lowered"
    WIDENED = "widened"


class Creates(StrEnum):
    """What the label brings into being besides."""

    NOTHING = "nothing"
    EVENT = "event"
    DESENSITISATION = "desensitisation"
    GAP = "gap"


class EffectOn(StrEnum):
    """What a verdict acts on; a label may be told to act on some of it only."""

    ALERT = "alert"
    TRAINING = "training"
    TOLERANCE = "tolerance"
    CREATES = "creates"


@dataclass(frozen=True)
class Effects:
    """What one verdict does; by default nothing."""

    alert: AlertEffect = AlertEffect.STAYS
    training: TrainingEffect = TrainingEffect.INCLUDED
    tolerance: ToleranceEffect = ToleranceEffect.UNCHANGED
    creates: Creates = Creates.NOTHING

    def only(self, wanted: Collection[EffectOn] | None) -> Effects:
        """Those of its effects alone; all if nothing is said."""
        if wanted is None:
            return self
        return Effects(**{each.value: getattr(self, each.value) for each in wanted})

    @property
    def separable(self) -> set[EffectOn]:
        """On what it may act alone: some of it is done by what is created, and not without."""
        by_what_is_created: dict[Creates, set[EffectOn]] = {
            Creates.DESENSITISATION: {EffectOn.TRAINING, EffectOn.TOLERANCE},
            Creates.GAP: {EffectOn.ALERT},
        }
        acting = {each for each in EffectOn if self.only([each]) != Effects()}
        return acting - by_what_is_created.get(self.creates, set())


EFFECTS = {
    Verdict.FALSE_ALARM: Effects(AlertEffect.CLOSED, TrainingEffect.INCLUDED, ToleranceEffect.RAISED),
    Verdict.REAL: Effects(AlertEffect.STAYS, TrainingEffect.EXCLUDED, ToleranceEffect.PINNED),
    Verdict.MISSED: Effects(AlertEffect.OPENED_SILENTLY, TrainingEffect.EXCLUDED, ToleranceEffect.LOWERED),
    Verdict.EVENT: Effects(AlertEffect.CLOSED, TrainingEffect.EXCLUDED, ToleranceEffect.UNCHANGED, Creates.EVENT),
    Verdict.NEW_NORMAL: Effects(
        AlertEffect.CLOSED, TrainingEffect.LEVEL_FORGOTTEN, ToleranceEffect.WIDENED, Creates.DESENSITISATION
    ),
    Verdict.BAD_DATA: Effects(AlertEffect.WITHDRAWN, TrainingEffect.EXCLUDED, ToleranceEffect.UNCHANGED, Creates.GAP),
}

SOON = timedelta(minutes=30)
"""An anomaly is over only after so much calm, so a label within it finds the anomaly still going on."""


@dataclass(frozen=True)
class Looks:
    """What an anomaly looked like at its strangest point.

    features: what triage learns from, by name; empty where that is not known.
    """

    actual: float
    expected: float
    features: Mapping[str, float] = field(default_factory=dict)

    @property
    def deviation(self) -> float:
        return abs(self.actual - self.expected)


@dataclass(frozen=True)
class LabelEvidence:
    """A standing label, as far as learning needs it.

    direction: +1 the labelled anomaly was too high, -1 too low, 0 not known.
    rarity: log10 weeks of that anomaly at its peak so far; None where there was no anomaly in the span.
    started_at, ended_at: the labelled span, of an anomaly its first and its latest abnormal point.
    weight: how much its author counts, in (0, 1].
    looks: of that anomaly when it was labelled; None where that is not known.
    share: of one judgement; a label on an alert of many series is one to whoever learns from all of them together.
    of_whole_alert: it was given on the alert, whatever series that has.
    only: what it acts on; None: all that its verdict acts on.
    """

    label_id: int
    verdict: Verdict
    series_id: int
    metric: str
    direction: int
    rarity: float | None
    weight: float
    author: str
    started_at: datetime
    ended_at: datetime
    created_at: datetime
    alert_id: int | None = None
    looks: Looks | None = None
    share: float = 1.0
    of_whole_alert: bool = False
    only: frozenset[EffectOn] | None = None

    def acts_on(self, effect: EffectOn) -> bool:
        return self.only is None or effect in self.only

    def in_common(self, other: LabelEvidence) -> list[EffectOn]:
        """On what both act."""
        return [each for each in EffectOn if self.acts_on(each) and other.acts_on(each)]

    @property
    def effects(self) -> Effects:
        return EFFECTS[self.verdict].only(self.only)

    @property
    def subject(self) -> Hashable:
        """What was judged: two labels of one subject may disagree."""
        if self.alert_id is not None:
            return self.alert_id, self.series_id
        return self.series_id, self.started_at, self.ended_at

    @property
    def was_growing(self) -> bool:
        """True where it was labelled so soon that it may not have been at its peak yet."""
        return self.created_at - self.ended_at < max(SOON, self.ended_at - self.started_at)

    @property
    def authority(self) -> tuple[float, datetime, int]:
        """The stronger identity decides; of equals, the newest."""
        return self.weight, self.created_at, self.label_id


def decisive(labels: Iterable[LabelEvidence]) -> list[LabelEvidence]:
    """Of the labels on each subject the one that acts, in an order that does not depend on that of `labels`."""
    by_subject: defaultdict[Hashable, list[LabelEvidence]] = defaultdict(list)
    for label in labels:
        by_subject[label.subject].append(label)
    return sorted((max(each, key=_authority) for each in by_subject.values()), key=_canonical)


def deciding_on(effect: EffectOn, labels: Iterable[LabelEvidence]) -> list[LabelEvidence]:
    """Of the labels on each subject the one that decides on this effect: of two, each decides on what it acts on."""
    return decisive(label for label in labels if label.acts_on(effect))


def said_of_alerts(labels: Iterable[LabelEvidence]) -> dict[int, LabelEvidence]:
    """By alert, the label that tells what the alert was.

    Of those that decide for its series one that says *real* counts, since it was right to tell of that one; else the
    one of the most authority.
    """
    found: dict[int, LabelEvidence] = {}
    deciding = deciding_on(EffectOn.TOLERANCE, labels)
    for each in sorted(deciding, key=lambda each: (each.verdict is Verdict.REAL, each.authority)):
        if each.alert_id is not None:
            found[each.alert_id] = each
    return found


def disagreeing(label: LabelEvidence, others: Iterable[LabelEvidence]) -> list[LabelEvidence]:
    """The labels that give the same subject another verdict, and act on some of the same, oldest first."""
    same_subject = (other for other in others if other.subject == label.subject and other.label_id != label.label_id)
    opposed = (other for other in same_subject if other.verdict != label.verdict and label.in_common(other))
    return sorted(opposed, key=lambda other: other.created_at)


def _authority(label: LabelEvidence) -> tuple[float, datetime, int]:
    return label.authority


def _canonical(label: LabelEvidence) -> tuple[int, datetime, datetime, int]:
    return label.series_id, label.started_at, label.created_at, label.label_id
