"""Points as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.store.points.tiles import SCORE_NAMES, Floats, Ints, Scores

_NOT_JUDGED: NDArray[np.float32] = np.empty(0, np.float32)


@dataclass(frozen=True, eq=False)
class PointBatch:
    """Points of any series in the order they were written, each column (n,).

    `series` ids; `timestamp` unix seconds; `value`, NaN for a point known to be missing; `expected`, `lower`, `upper`
    and `rarity` (log10 weeks) float32 as judged live, NaN where not judged, all NaN if left out.
    """

    series: Ints
    timestamp: Ints
    value: Floats
    expected: NDArray[np.float32] = field(default_factory=lambda: _NOT_JUDGED)
    lower: NDArray[np.float32] = field(default_factory=lambda: _NOT_JUDGED)
    upper: NDArray[np.float32] = field(default_factory=lambda: _NOT_JUDGED)
    rarity: NDArray[np.float32] = field(default_factory=lambda: _NOT_JUDGED)

    def __post_init__(self) -> None:
        for name in SCORE_NAMES:
            if getattr(self, name) is _NOT_JUDGED:
                object.__setattr__(self, name, np.broadcast_to(np.float32(np.nan), self.value.shape))

    def __len__(self) -> int:
        return len(self.value)

    @property
    def scores(self) -> Scores | None:
        """Expected, lower, upper and rarity as (4, n); None if no point was judged."""
        planes = [getattr(self, name) for name in SCORE_NAMES]
        return None if all(np.isnan(plane).all() for plane in planes) else np.stack(planes)

    def take(self, chosen: Ints | NDArray[np.bool_]) -> PointBatch:
        """The points at these positions, or where this is true."""
        return PointBatch(
            self.series[chosen],
            self.timestamp[chosen],
            self.value[chosen],
            **{name: getattr(self, name)[chosen] for name in SCORE_NAMES},
        )

    @classmethod
    def of_scores(cls, series: Ints, timestamp: Ints, value: Floats, scores: Scores) -> PointBatch:
        return cls(series, timestamp, value, **dict(zip(SCORE_NAMES, scores, strict=True)))

    @classmethod
    def joined(cls, batches: Sequence[PointBatch]) -> PointBatch:
        """All points of these, one batch after the other."""
        if not batches:
            return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        names = ("series", "timestamp", "value", *SCORE_NAMES)
        return cls(**{name: np.concatenate([getattr(batch, name) for batch in batches]) for name in names})
