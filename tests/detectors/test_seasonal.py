"""What the default detector makes of a series whose noise differs by the hour."""

from __future__ import annotations

import numpy as np
import pytest

from app.backtest import Recorded, replay
from detectors.contract import Floats
from detectors.seasonal import Seasonal
from tests.detectors.checks import DAY, HOUR, Judged, history, judge, times

PAST, LATER = 6 * 168, 168
SERIES = 20


def quiet_nights_and_noisy_noons(*, drop: float = 0.0) -> Judged:
    """A week of series with 1 % noise at night and 15 % at noon, judged; each loses a share on its third day.

    At night from 3, and at noon from 12 o'clock, for one hour.
    """
    timestamp = times(PAST + LATER)
    hour = timestamp // HOUR % 24
    noise = np.where((hour >= 8) & (hour < 20), 0.15, 0.01)
    values = 100 * (1 + noise * np.random.default_rng(1).standard_normal((SERIES, len(timestamp))))
    values[:, [PAST + 2 * 24 + 3, PAST + 2 * 24 + 12]] = 100 * (1 - drop)
    baseline, state = Seasonal().fit(history(values[:, :PAST]))
    return judge(Seasonal(), baseline, state, timestamp[PAST:], values[:, PAST:])


def test_the_band_is_narrow_in_quiet_nights_and_wide_at_noisy_noons() -> None:
    judged = quiet_nights_and_noisy_noons()
    width = (judged.upper - judged.lower).reshape(7, 24, SERIES)
    night, noon = (np.median(width[:, hours], axis=(0, 1)) for hours in ([2, 3, 4], [11, 12, 13]))
    assert (noon > 2.5 * night).all()


def test_a_drop_of_a_fifth_is_news_at_night_and_none_at_noon() -> None:
    judged = quiet_nights_and_noisy_noons(drop=0.2)
    night, noon = (judged.rarity[2 * 24 + hour] for hour in (3, 12))
    assert (night > 1.0).mean() > 0.9
    assert (noon < 0.0).mean() > 0.9


def test_what_adds_up_in_less_than_hours_must_be_rarer_to_speak_by_itself() -> None:
    """Fifty points off by one and a half times the noise: days of an hourly series, an hour of a minutely one."""
    hourly, minutely = (_rarest_in_a_long_fall(cadence) for cadence in (HOUR, HOUR // 60))
    assert (hourly > 1.0).mean() > 0.9
    assert (minutely < 0.0).mean() > 0.9


def _rarest_in_a_long_fall(cadence: int) -> Floats:
    past, fall = 6 * 168, 50
    timestamp = times(past + fall, cadence)
    values = 100 + np.random.default_rng(2).standard_normal((SERIES, past + fall))
    values[:, past:] -= 1.5
    baseline, state = Seasonal().fit(history(values[:, :past], cadence=cadence))
    judged = judge(Seasonal(), baseline, state, timestamp[past:], values[:, past:], cadence=cadence)
    return np.asarray(judged.rarity.max(axis=0))


def test_one_alert_a_week_is_about_one_a_week_of_finer_points_too() -> None:
    """Plain noise at every five minutes, judged for a week."""
    series, past, later = 24, 10 * 288, 7 * 288
    timestamp = times(past + later, 300)
    values = 100 + 5 * np.random.default_rng(3).standard_normal((series, past + later))
    recorded = [Recorded(str(row), timestamp, each) for row, each in enumerate(values)]
    replayed = replay(recorded, alerts_per_week=1.0, train_until=int(timestamp[past]))
    assert 0.5 < sum(int(one.alert.sum()) for one in replayed) / series < 1.5


def test_what_shows_in_every_kind_nearly_every_day_is_no_longer_rare() -> None:
    """A spike every 25 hours, so at no hour of its own, beside one a week, after five weeks of it."""
    every_day, every_week = (_rarity_of_the_next_spike(hours) for hours in (25, 169))
    assert (every_day < 0.5).all()
    assert (every_week > 1.0).all()


def _rarity_of_the_next_spike(every: int) -> Floats:
    past = 5 * 168 // every * every
    timestamp = times(past + 1)
    values = 100 + np.random.default_rng(4).standard_normal((SERIES, past + 1))
    values[:, ::every] += 30
    baseline, state = Seasonal().fit(history(values[:, :past]))
    judged = judge(Seasonal(), baseline, state, timestamp[past:], values[:, past:])
    return np.asarray(judged.rarity[0])


@pytest.mark.parametrize(("lowest", "is_negative"), [(0.0, False), (-1.0, True)])
def test_less_than_nothing_is_expected_only_of_what_was_ever_negative(lowest: float, is_negative: bool) -> None:
    at = times(5 * 168 + 60)
    values = np.maximum(100 - 100 * np.cos(2 * np.pi * at / DAY), lowest + 1) - 1
    values[..., 5 * 168 :] = lowest
    past = slice(5 * 168)
    baseline, state = Seasonal().fit(history(values[None, past]))
    judged = judge(Seasonal(), baseline, state, at[5 * 168 :], values[None, 5 * 168 :])
    assert (judged.expected.min() < lowest) == is_negative
    assert (judged.lower <= judged.expected).all()
    assert (judged.expected <= judged.upper).all()
