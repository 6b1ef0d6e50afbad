from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from app.store.packing import Packed, pack

kinds = st.sampled_from(["f8", "f4", "i8", "i4", "i2", "u2", "u1", "?"])
planes = kinds.flatmap(
    lambda kind: arrays.arrays(
        kind, arrays.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=40), elements=None, fill=None
    )
)


@given(plane=planes, repeats=st.integers(1, 40))
def test_every_bit_of_an_array_comes_back(plane: NDArray[Any], repeats: int) -> None:
    plane = np.repeat(plane, repeats, axis=0)  # long enough to be compressed
    back = Packed(pack({"plane": plane}))["plane"]
    assert (back.dtype, back.shape) == (plane.dtype, plane.shape)
    is_nan = plane != plane
    np.testing.assert_array_equal(back != back, is_nan)
    assert back[~is_nan].tobytes() == plane[~is_nan].tobytes()


def test_planes_are_read_one_by_one() -> None:
    packed = Packed(pack({"one": np.arange(3), "other": np.array([1.5, np.nan])}))
    assert list(packed) == ["one", "other"]
    assert "third" not in packed
    np.testing.assert_array_equal(packed["other"], [1.5, np.nan])
    np.testing.assert_array_equal(packed["one"], [0, 1, 2])


@pytest.mark.parametrize(
    ("plane", "most_bytes"),
    [
        (np.full((256, 168), np.nan), 64),
        (np.arange(100_000) * 3600, 100),
        (np.round(np.random.default_rng(1).gamma(3, 20, 43_008), 2), 43_008 * 2),
    ],
    ids=["nothing there", "regular times", "prices"],
)
def test_what_repeats_or_has_few_digits_takes_few_bytes(plane: NDArray[Any], most_bytes: int) -> None:
    assert len(pack({"plane": plane})) <= most_bytes
