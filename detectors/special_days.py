"""Days of a history that differ from others of their weekday, as the detector has learned them, for people to read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detectors.calendar import DAY
from detectors.contract import Bools, Fields, Floats, History, Ints
from detectors.days import DAY_OF_MONTH, place_in_month
from detectors.occasions import fit_occasions, is_holiday, occasions_in, ordinary
from detectors.profile import fit_profile, phase
from detectors.robust import center_and_unit, median
from detectors.transform import untransformed


@dataclass(frozen=True)
class SpecialDays:
    """Days of one kind. days: how many of them the history holds.

    share: by how much more or less is expected of them than of others of their weekday; None for series that go below
    zero. amount: the same in the series' unit.
    """

    which: str
    days: int
    share: float | None
    amount: float


@dataclass(frozen=True)
class Special:
    """monthly: places in the month with an effect of their own. holidays: None where the history holds none."""

    monthly: tuple[SpecialDays, ...] = ()
    holidays: SpecialDays | None = None


def special_days(history: History) -> list[Special]:
    """Of each series of a history; none where nobody tells what kinds of days there are."""
    kinds = history.kinds_of_day
    if kinds is None:
        return [Special()] * len(history.values)
    with np.errstate(all="ignore"):
        learned = fit_occasions(history)
        usual, shift = _usual_and_shift(history, learned)
    return [
        Special(
            monthly=_monthly(history, kinds, learned, row),
            holidays=_holidays(history, kinds, usual[row], shift[row], bool(learned["proportional"][row]), row),
        )
        for row in range(len(history.values))
    ]


def _usual_and_shift(history: History, learned: Fields) -> tuple[Floats, Floats]:
    """What is usual at each phase, and what the kind of the day adds to that: (S, N), in the series' units."""
    values = np.where(np.isfinite(history.values), history.values, np.nan)
    center, unit = center_and_unit(values)
    y = (values - center[:, None]) / unit[:, None]
    hours = fit_profile(ordinary(y, history, learned), history.local, history.cadence).hours
    hour, following, weight = phase(history.local, history.cadence)
    usual = hours[:, hour] * (1 - weight) + hours[:, following] * weight
    found = occasions_in(
        history, usual, learned | untransformed(len(usual)) | {"profile": hours, "center": center, "unit": unit}
    )
    return center[:, None] + unit[:, None] * usual, unit[:, None] * found.shift


def _monthly(history: History, kinds: Ints, learned: Fields, row: int) -> tuple[SpecialDays, ...]:
    effect = learned["occasion_effect"][row].astype(np.float64)
    proportional = bool(learned["proportional"][row])
    typical = float(np.nan_to_num(median(history.values[row : row + 1], 1))[0])
    size = typical if proportional else float(learned["occasion_unit"][row])
    return tuple(
        SpecialDays(
            which=place_in_month(kind),
            days=_days(history, (kinds == kind).any(axis=1), row),
            share=float(effect[kind]) if proportional else None,
            amount=float(effect[kind]) * size,
        )
        for kind in (DAY_OF_MONTH + np.flatnonzero(effect[DAY_OF_MONTH:])).tolist()
    )


def _holidays(
    history: History, kinds: Ints, usual: Floats, shift: Floats, proportional: bool, row: int
) -> SpecialDays | None:
    there = is_holiday(kinds)
    days, total = _days(history, there, row), float(usual[there].sum())
    if not days or not np.isfinite(total):
        return None
    share = float(shift[there].sum()) / total if proportional and total > 0 else None
    return SpecialDays("public holidays", days, share, float(shift[there].mean()))


def _days(history: History, columns: Bools, row: int) -> int:
    """How many days of those columns have points."""
    return len(np.unique(history.local[columns & np.isfinite(history.values[row])] // DAY))
