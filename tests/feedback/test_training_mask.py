"""What must not be learned from, as a mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.contract import Bools, Ints
from feedback.training_mask import Exclusions, SharedSpans, training_mask

HOUR = 3_600
IDS = np.array([7, 3, 9], np.int64)
TIMES = np.arange(10, dtype=np.int64) * HOUR

span = st.tuples(st.sampled_from([3, 7, 8]), st.integers(-2 * HOUR, 12 * HOUR), st.integers(0, 5 * HOUR))


def columns(rows: Sequence[tuple[int, ...]], width: int) -> list[Ints]:
    return list(np.array(rows, np.int64).reshape(-1, width).T)


@given(st.lists(span, max_size=6), st.lists(span, max_size=4), st.sets(st.sampled_from([3, 9, 12])))
def test_a_step_is_masked_where_any_span_of_its_series_touches_it(
    alone: list[tuple[int, int, int]], together: list[tuple[int, int, int]], who: set[int]
) -> None:
    series, start, length = columns(alone, 3)
    _, from_, lasts = columns(together, 3)
    shared = [SharedSpans(np.array(sorted(who), np.int64), from_, from_ + lasts)]
    mask = training_mask(Exclusions(series, start, start + length, shared), IDS, TIMES, HOUR)
    spans = list(zip(series, start, start + length, strict=True))
    spans += [(each, f, f + n) for each in who for f, n in zip(from_, lasts, strict=True)]
    assert mask.tolist() == _one_by_one(spans).tolist()


def _one_by_one(spans: list[tuple[int, int, int]]) -> Bools:
    mask = np.zeros((IDS.size, TIMES.size), bool)
    for series, first, last in spans:
        mask[np.equal(IDS, series)] |= np.greater(TIMES, first - HOUR) & np.less_equal(TIMES, last)
    return mask


def test_without_spans_nothing_is_masked() -> None:
    assert not training_mask(Exclusions.none(), IDS, TIMES, HOUR).any()
    assert training_mask(Exclusions.none(), np.zeros(0, np.int64), TIMES, HOUR).shape == (0, 10)
