"""How far apart the points of a series usually are, guessed well enough to choose its tiles."""

from __future__ import annotations

import numpy as np

from app.store.points.batch import PointBatch, StoredPoints

DEFAULT_CADENCE = 3600
FEWEST_STEPS = 2
USUAL_CADENCES = np.array(
    [1, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400, 604800]
)
SNAP = 0.1  # jittered timestamps give 59 or 61 s for a minute


def estimate_cadences(batch: PointBatch | StoredPoints) -> dict[int, int]:
    """Median step in seconds of each series with enough points, moved to a usual cadence if one is near."""
    order = np.lexsort((batch.timestamp, batch.series))
    series, timestamp = batch.series[order], batch.timestamp[order]
    step = np.diff(timestamp)
    inside = (series[1:] == series[:-1]) & (step > 0)
    series, step = series[1:][inside], step[inside]
    order = np.lexsort((step, series))
    found, first, count = np.unique(series[order], return_index=True, return_counts=True)
    median = step[order][first + (count - 1) // 2]
    enough = count >= FEWEST_STEPS
    return dict(zip(found[enough].tolist(), _snap(median[enough]).tolist(), strict=True))


def _snap(seconds: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    usual = USUAL_CADENCES[np.abs(np.log(seconds[:, None] / USUAL_CADENCES)).argmin(axis=1)]
    return np.where(np.abs(usual - seconds) <= SNAP * usual, usual, seconds)
