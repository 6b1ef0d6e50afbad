"""The dear detector: what its fit says of a history is what its scoring would have said point by point."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.decomposed import _judge, _judged_in_turn, _quiet_state


@pytest.mark.parametrize("missing", [0.0, 0.2, 1.0])
def test_a_history_is_judged_as_its_points_would_be_one_after_another(missing: float) -> None:
    rng = np.random.default_rng(5)
    deviation = np.cumsum(rng.normal(0, 0.3, 400)) + np.where(rng.random(400) < 0.02, 20.0, 0.0)
    deviation[rng.random(400) < missing] = np.nan
    rows = {"scale": np.array([0.7]), "level_rate": np.array([0.2])}
    state, one_by_one = _quiet_state(1) | {"level": np.array([1.5])}, []
    for value in deviation:
        signed, state = _judge(np.array([value]), np.ones(1, bool), rows, state)
        one_by_one.append(signed[0])
    at_once, after = _judged_in_turn(deviation, rows, 1.5)
    np.testing.assert_allclose(at_once, one_by_one)
    for name, array in state.items():
        np.testing.assert_allclose(after[name], array)
