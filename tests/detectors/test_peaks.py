"""Return periods are counted from what a series' own six-hour peaks are, not from what its incidents were."""

from __future__ import annotations

import numpy as np

from detectors.contract import Floats
from detectors.peaks import (
    Peaks,
    block_length,
    block_maxima,
    evidence_for_excess,
    excess_of,
    fit_peaks,
    gumbel,
    quantiles,
)
from detectors.seasonal import Seasonal
from tests.detectors.checks import episodes, history, judge, seasonal_values, times

FIVE_WEEKS = 5 * 168
BLOCK = 72


def noise(columns: int, seed: int = 1) -> Floats:
    return np.abs(np.random.default_rng(seed).standard_normal((8, 1, columns)))


def peaks_of(evidence: Floats) -> Peaks:
    return fit_peaks(block_maxima(evidence, BLOCK), evidence, np.full((8, 1), 1e-3), length=BLOCK)


def excess(peaks: Peaks, evidence: float) -> float:
    return float((evidence * peaks.slope - peaks.offset).mean())


def test_the_largest_evidence_of_a_block_is_taken_and_empty_blocks_are_marked() -> None:
    evidence = np.array([[1.0, 5.0, np.nan, np.nan, 2.0, 3.0]])
    np.testing.assert_array_equal(block_maxima(evidence, 2), [[5.0, -np.inf, 3.0]])


def test_a_block_is_six_hours_or_one_point() -> None:
    assert [block_length(cadence) for cadence in (60, 300, 3_600, 86_400)] == [360, 72, 6, 1]


def test_quantiles_skip_what_is_not_finite() -> None:
    found, count = quantiles(np.array([[3.0, -np.inf, 1.0, 2.0], [np.nan] * 4]), (0.0, 0.5, 1.0))
    np.testing.assert_array_equal(found, [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(count, [3.0, 0.0])


def test_the_median_peak_of_plain_noise_has_the_excess_of_a_median() -> None:
    evidence = noise(BLOCK * 200)
    typical = float(np.median(block_maxima(evidence, BLOCK)))
    assert abs(excess(peaks_of(evidence), typical) - gumbel(0.5)) < 0.25


def test_incidents_in_a_sixth_of_all_blocks_hardly_deafen() -> None:
    evidence = noise(BLOCK * 200)
    troubled = evidence.copy()
    troubled[:, :, :: 6 * BLOCK] = 50.0
    quiet, loud = (excess(peaks_of(one), 8.0) for one in (evidence, troubled))
    assert loud > 0.6 * quiet


def test_what_happens_every_day_is_soon_no_longer_rare() -> None:
    evidence = noise(BLOCK * 200)
    evidence[:, :, :: 3 * BLOCK] = 50.0
    once_a_week = np.log(28.0)
    assert excess(peaks_of(evidence), 50.0) < 1.3 * once_a_week


def test_few_blocks_make_great_excesses_small_and_leave_small_ones_alone() -> None:
    straight = np.array([-2.0, 0.5, 20.0])
    few, many = (excess_of(straight, np.full(3, trust)) for trust in (4.0, 400.0))
    assert few[0] == many[0] == -2.0
    assert 0.4 < few[1] < many[1] < 0.5
    assert few[2] < 8.0 < 19.0 < many[2]
    np.testing.assert_allclose(evidence_for_excess(few, np.full(3, 4.0)), straight)


def test_the_level_is_remembered_through_an_anomaly_and_soon_right_after_it() -> None:
    """An outage that lasts half a day neither leaves a rare evidence behind nor moves what is expected."""
    values = seasonal_values(times(FIVE_WEEKS + 72), 10)
    values[:, FIVE_WEEKS + 12 : FIVE_WEEKS + 24] *= 0.4
    held = (np.arange(72) >= 12) & (np.arange(72) < 24)
    fitted = Seasonal().fit(history(values[:, :FIVE_WEEKS]))
    judged = judge(Seasonal(), *fitted, times(FIVE_WEEKS + 72)[FIVE_WEEKS:], values[:, FIVE_WEEKS:], frozen=held)
    usual = values[:, FIVE_WEEKS - 168 + 12 : FIVE_WEEKS - 168 + 24].T
    assert (np.abs(judged.expected[12:24] / usual - 1) < 0.35).all()
    assert np.mean([episodes(judged.rarity[36:, row] >= 0.6) for row in range(10)]) <= 1.0
