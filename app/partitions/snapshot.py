"""What some series of a partition know, as arrays with a row for each: taken before a change, to bring it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.partitions.model import Model
from app.partitions.partition import Partition
from detectors.contract import Bools, Fields, Ints, put, take

COLUMNS = (
    "model",
    "asked",
    "trained_points",
    "trained_at",
    "anchor_at",
    "since_anchor",
    "siblings",
    "late_at",
    "version",
    "retrain",
    "point_count",
    "last_at",
)
"""Columns that a training changes, and two that tell what has come since."""
PARTS = ("baseline", "state", "anchor")


def snapshot(partition: Partition, slots: Ints) -> Fields:
    """Baseline, state, and where a scoring again begins, of these slots; every array has a row for each.

    What another detector judges takes the fields of a cold one, which cost nothing once packed.
    """
    planes: Fields = {"series": partition.columns["series_id"][slots].astype(np.int64)}
    planes |= {f"column.{name}": partition.columns[name][slots] for name in COLUMNS}
    planes |= {f"life.{name}": array for name, array in take(partition.anchor_life, slots).items()}
    for code in np.unique(partition.columns["model"][slots]).tolist():
        model = partition.models[code]
        mine = partition.columns["model"][slots] == code
        rows = partition.columns["row"][slots[mine]].astype(np.int64)
        cold = dict(zip(PARTS, (*model.detector.cold(slots.size), model.detector.cold(slots.size)[1]), strict=True))
        for part in PARTS:
            put(cold[part], mine, take(getattr(model, part), rows))
            planes |= {f"{_prefix(model)}{part}.{name}": array for name, array in cold[part].items()}
    return planes


def restorable(partition: Partition, planes: Mapping[str, NDArray[Any]]) -> Bools:
    """Which rows of a snapshot can be brought back: their detector means the same by its fields as it did then."""
    known = [
        code for code, model in enumerate(partition.models) if any(name.startswith(_prefix(model)) for name in planes)
    ]
    return np.asarray(np.isin(planes["column.model"], known))


def restore(partition: Partition, slots: Ints, planes: Mapping[str, NDArray[Any]], rows: Ints) -> Ints:
    """Put these slots back to what rows of a snapshot hold; returns those that have got points since.

    Those are to be scored again: their state is that of before.
    """
    column = {name: planes[f"column.{name}"][rows] for name in COLUMNS}
    code_of = column["model"].astype(np.int64)
    for code in np.unique(code_of).tolist():
        model, mine = partition.models[code], np.flatnonzero(code_of == code)
        at = partition.move(slots[mine], model.detector.name)
        _put_model(model, at, {part: _fields(planes, f"{_prefix(model)}{part}.", rows[mine]) for part in PARTS})
    came = partition.columns["point_count"][slots] - column["point_count"]
    partition.anchor_before(slots, column["anchor_at"], _fields(planes, "life.", rows), column["since_anchor"] + came)
    for name in ("asked", "trained_points", "trained_at", "siblings", "retrain"):
        partition.columns[name][slots] = column[name]
    late = np.where(came > 0, np.minimum(column["last_at"] + 1, partition.columns["last_at"][slots]), 0)
    waited = column["late_at"]
    partition.columns["late_at"][slots] = np.where(waited > 0, waited, late)
    partition.columns["seen_log"][slots] = partition.newest_log
    partition.limit(slots)
    return np.asarray(slots[came > 0])


def _put_model(model: Model, rows: Ints, fields: Mapping[str, Fields]) -> None:
    model.learn(rows, fields["baseline"], fields["anchor"])
    model.remember(rows, fields["state"])


def _fields(planes: Mapping[str, NDArray[Any]], prefix: str, rows: Ints) -> Fields:
    return {name.removeprefix(prefix): planes[name][rows] for name in planes if name.startswith(prefix)}


def _prefix(model: Model) -> str:
    return f"{model.detector.name}:{model.detector.version}."
