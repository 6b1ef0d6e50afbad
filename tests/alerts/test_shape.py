"""Spikes, shifts and drifts told apart by the points around the start of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.alerts.shape import Course, Shape, ShapeKind, shape_of
from detectors.contract import Floats

HOUR = 3_600


def seen(off: list[float], **run: Any) -> Shape | None:
    """The shape of a run of these hours after twelve normal ones; `off` in half bands of 10 around 100."""
    noise = np.random.default_rng(5).normal(0, 0.3, 12)
    steps: Floats = np.concatenate([noise, np.array(off)])
    course = Course(value=100 - 10 * steps, expected=np.full(steps.size, 100.0), off=steps, begun=12)
    facts = {"points": len(off), "lasted_seconds": (len(off) - 1) * HOUR, "recovered": False}
    return shape_of(course, **facts | run)


def test_what_has_passed_soon_was_a_spike() -> None:
    assert seen([5.0, 4.0], recovered=True) == Shape(ShapeKind.SPIKE, 60.0, 100.0, 2)


def test_what_has_just_begun_has_no_shape_yet() -> None:
    assert seen([5.0, 4.0]) is None
    assert seen([5.0] * 8, lasted_seconds=480) is None


def test_what_jumped_and_stays_there_is_a_shift_however_noisy_or_long_ago_it_ended() -> None:
    noisy = [5.2, 4.1, 4.8, 5.5, 4.4, 5.1, 4.9, 4.0]
    shape = seen(noisy)
    assert shape is not None
    assert shape.kind is ShapeKind.SHIFT
    assert shape.level == pytest.approx(55, abs=6)
    assert seen(noisy, recovered=True) == shape
    followed = seen([5.0, 5.0, 4.0, 3.0, 2.0, 1.5, 1.2, 1.0])  # what is expected comes after it
    assert followed is not None
    assert followed.kind is ShapeKind.SHIFT


def test_what_goes_ever_further_is_a_drift() -> None:
    shape = seen([1.0, 1.3, 1.7, 2.0, 2.4, 2.9, 3.3, 3.8, 4.1])
    assert shape is not None
    assert shape.kind is ShapeKind.DRIFT
    assert shape.level == pytest.approx(62, abs=2)


def test_what_goes_up_and_down_has_no_shape() -> None:
    assert seen([0.5, 3.0, 0.2, 0.1, 3.0, 0.3, 0.2, 3.1]) is None


def test_a_run_none_of_whose_points_is_known_has_no_shape() -> None:
    assert seen([]) is None
