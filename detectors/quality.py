"""What the values of a history are like, before anybody asks what can be told by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from detectors.calendar import DAY
from detectors.contract import Bools, Floats, History, Ints
from detectors.profile import fit_profile, phase
from detectors.robust import center_and_unit, median, spread
from detectors.training import SLOWEST_CADENCE

FAR = 10.0
"""An outlier is so many usual deviations from what is usual at its time of the week."""
LONGEST_OUTLIER = 2
SLOWER = 1.1
OFTEN = 0.01
"""What is far off more often than this is how the series is."""
SHORTEST_FREEZE = 6
BY_CHANCE = 0.01
MANY_MISSING, MANY_REPEATED, MANY_ZERO = 0.05, 0.5, 0.2


@dataclass(frozen=True)
class Arrival:
    """How the points of a series came: how many repeated a time, how many came after a later one; None: not known.

    sharing: how many lie in one step of the grid with a later one, which alone counts. spacing: usual seconds from one
    to the next, 0 where not known.
    """

    duplicates: int | None = None
    late: int | None = None
    sharing: int = 0
    spacing: int = 0


@dataclass(frozen=True)
class Quality:
    """What the history is like. Shares are of the columns between its first and last known point.

    missing: no value. repeated: same value as just before. zero: exactly 0. usual_value: share of the commonest value.
    frozen: points of the longest run of one value that chance does not explain. outliers: single values far from all
    others. duplicates, late, sharing, spacing: as in `Arrival`. findings: what a reader should know.
    """

    points: int
    days: float
    missing: float
    repeated: float
    zero: float
    findings: tuple[str, ...]
    usual_value: float = 0.0
    frozen: int = 0
    outliers: int = 0
    duplicates: int | None = None
    late: int | None = None
    sharing: int = 0
    spacing: int = 0

    @property
    def is_too_slow(self) -> bool:
        """Whether points come more rarely than any cadence that can be watched."""
        return self.spacing > SLOWER * SLOWEST_CADENCE


def arrival_of(timestamp: Ints) -> Arrival:
    """How points came, their times in the order of their coming. A history written newest first is not late."""
    late = min(int((each < np.maximum.accumulate(each)).sum()) for each in (timestamp, timestamp[::-1]))
    return Arrival(duplicates=len(timestamp) - len(np.unique(timestamp)), late=late)


def qualities_of(history: History, arrivals: Sequence[Arrival] = ()) -> list[Quality]:
    """The quality of each series of a history."""
    came = arrivals or [Arrival()] * len(history.values)
    far = _far_off(history)
    return [_quality(*each, history.cadence) for each in zip(history.values, far, came, strict=True)]


def _quality(values: Floats, far: Bools, arrival: Arrival, cadence: int) -> Quality:
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return Quality(0, 0.0, 1.0, 0.0, 0.0, ("no values",))
    inside, present = values[known[0] : known[-1] + 1], values[known]
    _, counts = np.unique(present, return_counts=True)
    frozen_at, frozen = _longest_freeze(present)
    outliers = _single(far[known])
    quality = Quality(
        points=len(known),
        days=len(inside) * cadence / DAY,
        missing=1 - len(known) / len(inside),
        repeated=float((np.diff(present) == 0).mean()) if len(present) > 1 else 0.0,
        zero=float((present == 0).mean()),
        findings=(),
        usual_value=float(counts.max() / len(present)),
        frozen=frozen,
        outliers=len(outliers),
        duplicates=arrival.duplicates,
        late=arrival.late,
        sharing=arrival.sharing,
        spacing=arrival.spacing,
    )
    stuck_at, example = (present[frozen_at], present[outliers[0]] if len(outliers) else None)
    return replace(quality, findings=tuple(_findings(quality, float(stuck_at), example)))


def _findings(quality: Quality, stuck_at: float, outlier: float | None) -> list[str]:
    """In words, the gravest first."""
    said = _unsteady(quality)
    if quality.repeated > MANY_REPEATED:
        said.append(f"{_percent(quality.repeated)} of the points repeat the one before")
    elif quality.frozen and (stuck_at != 0 or quality.zero <= MANY_ZERO):
        said.append(f"it was stuck at {stuck_at:g} for {quality.frozen} points")
    if quality.zero > MANY_ZERO:
        said.append(f"{_percent(quality.zero)} of the points are 0: make sure that 0 is not what missing looks like")
    if quality.outliers == 1:
        said.append(f"one value is far from all others: {outlier:g}")
    elif quality.outliers:
        said.append(f"{quality.outliers} values are far from all others, such as {outlier:g}")
    if quality.duplicates:
        said.append(f"{_counted(quality.duplicates, 'point')} came twice for one time: the last one counts")
    if quality.late:
        said.append(f"{_counted(quality.late, 'point')} came after a later one")
    return said


def _unsteady(quality: Quality) -> list[str]:
    """What is to be said of when points came."""
    if quality.is_too_slow:
        return ["points come more rarely than once a week, which is not supported"]
    said = []
    if quality.sharing > MANY_MISSING * quality.points:
        said.append("points come irregularly")
    if quality.sharing:
        said.append(f"{_counted(quality.sharing, 'point')} fell into one step with a later one, which alone counts")
    if quality.missing > MANY_MISSING:
        said.append(f"{_percent(quality.missing)} of the {'steps have no point' if said else 'points are missing'}")
    elif quality.missing:
        missing = round(quality.points * quality.missing / (1 - quality.missing))
        said.append(f"{_counted(missing, 'point')} {'is' if missing == 1 else 'are'} missing")
    return said


def _far_off(history: History) -> Bools:
    """Which values (S, N) are far from what is usual at their time of the week."""
    with np.errstate(all="ignore"):
        values = np.where(np.isfinite(history.values), history.values, np.nan)
        center, unit = center_and_unit(values)
        y = (values - center[:, None]) / unit[:, None]
        profile = fit_profile(y, history.local, history.cadence)
        hour, following, weight = phase(history.local, history.cadence)
        rest = y - (profile.hours[:, hour] * (1 - weight) + profile.hours[:, following] * weight)
        rest -= median(rest, 1)[:, None]
        far = np.abs(rest) > FAR * spread(rest)[:, None]
        return np.asarray(far & (far.mean(axis=1) <= OFTEN)[:, None])


def _single(far: Bools) -> Ints:
    """Places of those that are far off alone or in pairs: longer runs are something that happened."""
    before, length = _runs(far)
    return np.flatnonzero(far & (length[before] <= LONGEST_OUTLIER))


def _longest_freeze(values: Floats) -> tuple[int, int]:
    """Where the longest run of one value begins, and how long it is; 0 where chance may well have made it."""
    run, lengths = _runs(values)
    longest = int(np.argmax(lengths))
    length, at = int(lengths[longest]), int(np.flatnonzero(run == longest)[0])
    again = max(int((values == values[at]).sum()) - length, 1) / len(values)
    by_chance = len(values) * again**length
    return at, length if length >= SHORTEST_FREEZE and by_chance < BY_CHANCE else 0


def _runs(values: Floats | Bools) -> tuple[Ints, Ints]:
    """The run that each place belongs to, and the lengths of the runs."""
    run = np.concatenate([[0], np.cumsum(values[1:] != values[:-1])]).astype(np.int64)
    return run, np.bincount(run)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _counted(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"
