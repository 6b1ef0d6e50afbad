"""Points as columns: as the rest of Heed has them, and as they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.store.packing import Packed, Plane, pack
from app.store.points import judgement
from app.store.points.judgement import FIELDS, JUDGEMENT, Judgements

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Weights = NDArray[np.float32]
Chosen = NDArray[np.bool_] | Ints | slice

SCORES = judgement.Scores._fields
BESIDE = (*SCORES, "weight")
_LEFT_OUT: NDArray[np.float32] = np.empty(0, np.float32)


@dataclass(frozen=True, eq=False)
class PointBatch:
    """Points of any series in the order they were written, each column (n,).

    `series` ids; `timestamp` unix seconds; `value`, NaN for a point known to be missing; `expected`, `lower`, `upper`
    and `rarity` (log10 weeks) float32 as judged live, NaN where not judged; `weight` float32, the events behind a
    ratio, NaN where not given. What is left out is all NaN.
    """

    series: Ints
    timestamp: Ints
    value: Floats
    expected: NDArray[np.float32] = field(default_factory=lambda: _LEFT_OUT)
    lower: NDArray[np.float32] = field(default_factory=lambda: _LEFT_OUT)
    upper: NDArray[np.float32] = field(default_factory=lambda: _LEFT_OUT)
    rarity: NDArray[np.float32] = field(default_factory=lambda: _LEFT_OUT)
    weight: NDArray[np.float32] = field(default_factory=lambda: _LEFT_OUT)

    def __post_init__(self) -> None:
        for name in BESIDE:
            if getattr(self, name) is _LEFT_OUT:
                object.__setattr__(self, name, np.broadcast_to(np.float32(np.nan), self.value.shape))

    def __len__(self) -> int:
        return len(self.value)

    def of_others(self, series_id: int) -> PointBatch:
        """All points but those of this series."""
        others = self.series != series_id
        beside = {name: getattr(self, name)[others] for name in BESIDE}
        return PointBatch(self.series[others], self.timestamp[others], self.value[others], **beside)

    def of_series(self, series_ids: Ints) -> PointBatch:
        """Only the points of these series."""
        mine = np.isin(self.series, series_ids)
        beside = {name: getattr(self, name)[mine] for name in BESIDE}
        return PointBatch(self.series[mine], self.timestamp[mine], self.value[mine], **beside)

    @classmethod
    def joined(cls, batches: Sequence[PointBatch]) -> PointBatch:
        """All points of these, one batch after the other."""
        if not batches:
            return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        columns: dict[str, NDArray[Any]] = {
            name: np.concatenate([getattr(batch, name) for batch in batches])
            for name in ("series", "timestamp", "value", *BESIDE)
        }
        return cls(**columns)

    def to_stored(self) -> StoredPoints:
        scores = [getattr(self, name) for name in SCORES]
        judged = any(not np.isnan(each).all() for each in scores)
        return StoredPoints(
            self.series.astype(np.int64, copy=False),
            self.timestamp.astype(np.int64, copy=False),
            self.value.astype(np.float64, copy=False),
            judgement.encode(*scores) if judged else None,
            None if np.isnan(self.weight).all() else self.weight.astype(np.float32, copy=False),
        )


@dataclass(frozen=True, eq=False)
class StoredPoints:
    """Points as log and tiles hold them, each column (n,).

    `judgement` is None if no point was judged, `weight` if none has one.
    """

    series: Ints
    timestamp: Ints
    value: Floats
    judgement: Judgements | None
    weight: Weights | None = None

    def __len__(self) -> int:
        return len(self.value)

    def take(self, chosen: Chosen) -> StoredPoints:
        """The points at these positions, or where this is true."""
        judged = None if self.judgement is None else self.judgement[chosen]
        weight = None if self.weight is None else self.weight[chosen]
        return StoredPoints(self.series[chosen], self.timestamp[chosen], self.value[chosen], judged, weight)

    @classmethod
    def joined(cls, batches: Sequence[StoredPoints]) -> StoredPoints:
        """All points of these, one batch after the other."""
        if not batches:
            return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), None)
        return cls(
            np.concatenate([batch.series for batch in batches]),
            np.concatenate([batch.timestamp for batch in batches]),
            np.concatenate([batch.value for batch in batches]),
            joined_judgements([(batch.judgement, len(batch)) for batch in batches]),
            joined_weights([(batch.weight, len(batch)) for batch in batches]),
        )

    def pack(self) -> bytes:
        planes: dict[str, Plane] = {"series": self.series, "timestamp": self.timestamp, "value": self.value}
        if self.weight is not None:
            planes["weight"] = self.weight
        return pack(planes | judgement_planes(self.judgement))

    def to_batch(self) -> PointBatch:
        scores = {} if self.judgement is None else judgement.decode(self.judgement)._asdict()
        weight = _LEFT_OUT if self.weight is None else self.weight
        return PointBatch(self.series, self.timestamp, self.value, **scores, weight=weight)


def unpack_points(planes: Packed) -> StoredPoints:
    weight = planes.get("weight")
    return StoredPoints(planes["series"], planes["timestamp"], planes["value"], unpack_judgements(planes), weight)


def judgement_planes(judged: Judgements | None, prefix: str = "") -> dict[str, Plane]:
    """The fields as planes to pack; none if nothing was judged."""
    if judged is None:
        return {}
    fields = judged.view(FIELDS)
    return {prefix + name: fields[name] for name in FIELDS.names or ()}


def unpack_judgements(planes: Packed, prefix: str = "") -> Judgements | None:
    """What `judgement_planes` took apart."""
    if f"{prefix}scale" not in planes:
        return None
    scale = planes[f"{prefix}scale"]
    fields = np.empty(scale.shape, FIELDS)
    for name in FIELDS.names or ():
        fields[name] = planes[prefix + name]
    return fields.view(JUDGEMENT)


def joined_judgements(parts: Sequence[tuple[Judgements | None, int]]) -> Judgements | None:
    """Judgements of consecutive points; a part of so many points without any counts as not judged."""
    if all(judged is None for judged, _ in parts):
        return None
    return np.concatenate([np.zeros(count, JUDGEMENT) if judged is None else judged for judged, count in parts])


def joined_weights(parts: Sequence[tuple[Weights | None, int]]) -> Weights | None:
    """Weights of consecutive points; a part of so many points without any has none given."""
    if all(weight is None for weight, _ in parts):
        return None
    return np.concatenate([np.full(count, np.nan, np.float32) if weight is None else weight for weight, count in parts])
