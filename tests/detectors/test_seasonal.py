"""What the default detector makes of a series whose noise differs by the hour."""

from __future__ import annotations

import numpy as np

from detectors.seasonal import Seasonal
from tests.detectors.checks import HOUR, Judged, history, judge, times

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
