"""What it takes to be heard: how much rarer than the alert budget asks a candidate must be, by all that was learned.

What people taught of its like (triage) and of its series (tolerance) is bounded here, so that no label makes Heed deaf:

* what is as rare as `guards.SEVERE` is told, unless it repeats a labelled false alarm: the same way, hardly larger, at
  the same hour of the week; or the change is small, and no rarer than what was called a false alarm on its metric;
* what is no repeat is asked for a little more by each false alarm: one alone says little of what looks otherwise;
* what is halved is told from `guards.GENERAL_CEILING` decades on, and once it lasts from the budget's threshold on;
  neither that nor what is tripled is a repeat;
* what goes on when it was called a false alarm is silent to its end, if it does not grow;
* a series with a new normal is asked for more until it has settled, be it halved or not: its level may still be wrong;
* a repeat of a real problem is told, settled or not; one of a missed one that was less rare than the budget asks, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.contract import Bools, Floats, Ints
from feedback import guards, triage
from feedback.labels import Looks
from feedback.tolerance import Judgement, Tolerances

WEEK = 604_800


@dataclass(frozen=True)
class Heard:
    """Candidates as they stand: arrays (n,). rarer: decades above the budget's threshold.

    at: unix seconds of the point, opened_at: of the run's first one. cadence: seconds, 0 where it is not known.
    seen: (n, features), see `triage.features`; zeros where they are not known, which is then learned nothing from.
    """

    series_id: Ints
    metric: Sequence[str]
    direction: Floats
    rarer: Floats
    actual: Floats
    expected: Floats
    at: Ints
    opened_at: Ints
    cadence: Ints
    seen: Floats


def decades(learned: Tolerances, of: Heard, general: Floats, base_threshold: Floats) -> Floats:
    """Decades that each must be rarer than the budget asks: (n,), negative where less will do.

    general: tolerance of their series and direction, wider for those with a new normal, see `Tolerances.asked`.
    base_threshold: log10 weeks that their budgets ask for; (n,) each.
    """
    wider = np.array([learned.widened.get(each, 0.0) for each in of.series_id.tolist()])
    taught = learned.triage.decades(of.seen, of.series_id, of.metric, of.direction)
    taught = np.clip(taught, -guards.MOST_LOWERED, _most_taught(learned, of, base_threshold))
    general = np.minimum(general - wider, guards.GENERAL_CEILING)
    asked = np.where(taught >= 0, np.maximum(taught, general), taught)
    asked = np.where(_is_halved(of), np.minimum(asked, np.where(_lasts(of), 0.0, guards.GENERAL_CEILING)), asked)
    asked += wider
    concerned = [row for row, each in enumerate(of.series_id.tolist()) if each in learned.judgements]
    for row in concerned:
        asked[row] = _by_judgements(learned, of, row, float(asked[row]))
    return asked


def _most_taught(learned: Tolerances, of: Heard, base_threshold: Floats) -> Floats:
    """Decades that triage may ask of each: of small changes as many as false alarms on their metric called for.

    No more than there are voices for.
    """
    who = [
        (each, name, int(way))
        for each, name, way in zip(of.series_id.tolist(), of.metric, of.direction.tolist(), strict=True)
    ]
    called = [learned.furthest(name, way) for _, name, way in who]
    voices = np.array([learned.heard_of(*each) for each in who])
    most = guards.most_taught(base_threshold)
    most = np.where(_is_small(of), np.maximum(most, called), most)
    return np.minimum(most, np.maximum(guards.VOICE * voices, guards.GENERAL_CEILING))


def _is_small(of: Heard) -> Bools:
    share = np.where(of.direction < 0, guards.SMALL_FALL, guards.SMALL_RISE)
    return np.asarray(np.abs(of.actual - of.expected) < share * np.abs(of.expected))


def _is_halved(of: Heard) -> Bools:
    """Business stands still, or nearly."""
    return np.asarray((of.direction < 0) & (of.expected - of.actual >= guards.SEVERE_FALL * np.abs(of.expected)))


def _lasts(of: Heard) -> Bools:
    """Strange for several points; False where the cadence is not known."""
    return np.asarray((of.cadence > 0) & (of.at - of.opened_at >= (guards.LASTING_POINTS - 1) * of.cadence))


def _by_judgements(learned: Tolerances, of: Heard, row: int, asked: float) -> float:
    """What people said of single anomalies: repeats of false alarms are silent, repeats of real problems told."""
    series, direction = int(of.series_id[row]), int(of.direction[row])
    repeated = [each for each in learned.judgements[series] if each.direction == direction]
    severe = guards.is_severe(direction, float(of.actual[row]), float(of.expected[row]))
    if any(_excuses(each, of, row, severe=severe) for each in repeated):
        asked = max(asked, learned.of(series, of.metric[row], direction))
    for each in repeated:
        if each.is_real and asked > each.decades and _repeats(each, of, row):
            asked -= each.hold * (asked - each.decades)
    return asked


def _excuses(judged: Judgement, of: Heard, row: int, *, severe: bool) -> bool:
    """Whether a false alarm of this way was about the very same, or about the same an earlier week."""
    if judged.is_real or abs(of.actual[row] - of.expected[row]) > judged.larger * judged.looks.deviation:
        return False
    return _goes_on(judged, of, row) or (not severe and _is_that_time_of_the_week(judged, int(of.at[row])))


def _goes_on(judged: Judgement, of: Heard, row: int) -> bool:
    """Whether the labelled anomaly simply went on: its run was let go when it was labelled."""
    since = int(of.opened_at[row]) - judged.started_at
    pause = max(2 * int(of.cadence[row]), guards.SAME_OCCURRENCE_SECONDS)
    return 0 <= since <= judged.ended_at - judged.started_at + pause


def _is_that_time_of_the_week(judged: Judgement, at: int) -> bool:
    lasted = judged.ended_at - judged.started_at
    room = min(max(guards.SAME_HOUR_SECONDS, lasted), guards.LONGEST_ROOM_SECONDS)
    early = guards.SAME_HOUR_SECONDS
    return (at - judged.started_at + early) % WEEK <= early + lasted + room


def _repeats(judged: Judgement, of: Heard, row: int) -> bool:
    """Whether a candidate is about as strong as a real problem, and of much the same evidence."""
    if of.rarer[row] < judged.decades:
        return False
    if abs(of.actual[row] - of.expected[row]) < guards.SMALLER * judged.looks.deviation:
        return False
    kept = judged.looks.features
    return triage.shape_distance(of.seen[row], triage.vector(kept), known=kept) <= guards.SHAPES_APART


def one(series_id: int, metric: str, direction: int, rarer: float, looks: Looks, *, at: int, opened_at: int) -> Heard:
    """A single candidate of which only its looks are left."""
    return Heard(
        np.array([series_id]),
        [metric],
        np.array([float(direction)]),
        np.array([rarer]),
        np.array([looks.actual]),
        np.array([looks.expected]),
        np.array([at]),
        np.array([opened_at]),
        np.array([0]),
        triage.vector(looks.features)[None],
    )
