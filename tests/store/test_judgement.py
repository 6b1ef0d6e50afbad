from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.store.points.judgement import JUDGEMENT, decode, encode

widths = st.just(0.0) | st.floats(1e-25, 1e25)
sizes = widths | widths.map(lambda width: -width)


def one(*numbers: float) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    return [np.array([number], np.float64) for number in numbers]


@given(expected=sizes, below=widths, above=widths, rarity=st.floats(-20, 20))
def test_a_band_comes_back_to_a_500th_of_its_width(expected: float, below: float, above: float, rarity: float) -> None:
    lower, upper = expected - below, expected + above
    back = decode(encode(*one(expected, lower, upper, rarity)))
    close = (upper - lower) / 500 + 2e-6 * abs(expected)
    assert abs(float(back.expected[0]) - expected) <= close
    assert abs(float(back.lower[0]) - lower) <= 2 * close
    assert abs(float(back.upper[0]) - upper) <= 2 * close
    assert back.rarity[0] == pytest.approx(rarity, abs=1 / 256)


@given(expected=sizes, width=widths, rarity=st.floats(-20, 20))
def test_what_was_decoded_encodes_to_nearly_the_same_again(expected: float, width: float, rarity: float) -> None:
    once = decode(encode(*one(expected, expected - width, expected + width, rarity)))
    again = decode(encode(*once))
    for name in once._fields:
        np.testing.assert_allclose(getattr(again, name), getattr(once, name), rtol=1e-5, atol=0.01 * width)


@pytest.mark.parametrize("unknown", range(4))
def test_each_number_may_be_unknown_on_its_own(unknown: int) -> None:
    numbers = [10.0, 8.0, 13.0, 1.5]
    numbers[unknown] = np.nan
    back = [float(plane[0]) for plane in decode(encode(*one(*numbers)))]
    if unknown == 0:  # a band is told as its distance from what was expected
        numbers = [np.nan, np.nan, np.nan, 1.5]
    np.testing.assert_allclose(back, numbers, atol=0.01)


def test_what_was_not_judged_is_all_zero_and_stays_unknown() -> None:
    encoded = encode(*one(np.nan, np.nan, np.nan, np.nan))
    assert encoded.tobytes() == bytes(JUDGEMENT.itemsize)
    assert all(np.isnan(plane).all() for plane in decode(encoded))


def test_infinity_counts_as_unknown_but_for_rarity_as_the_rarest() -> None:
    back = decode(encode(*one(5, -np.inf, np.inf, np.inf)))
    assert back.expected[0] == pytest.approx(5, rel=1e-5)
    assert np.isnan([back.lower[0], back.upper[0]]).all()
    assert back.rarity[0] == pytest.approx(128, abs=0.01)
