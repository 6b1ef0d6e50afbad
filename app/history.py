"""History in CSV files, read into columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.formats.cells import fault_of_separator, number, unix_seconds

COLUMNS = ("metric", "timestamp", "value", "weight")

Dimensions = tuple[tuple[str, str], ...]


class HistoryError(Exception):
    """A file that can't be read as history; the text says where, and the cure."""


@dataclass(frozen=True)
class History:
    """All points of some files, in order of time.

    series: metric and dimensions of each series. which: int32 (N,), the series of each point. timestamp: int64 (N,),
    unix seconds. value: float64 (N,), NaN where the point is known to be missing. weight: float64 (N,), of a ratio the
    events behind it, NaN where not given.
    """

    series: list[tuple[str, Dimensions]]
    which: NDArray[np.int32]
    timestamp: NDArray[np.int64]
    value: NDArray[np.float64]
    weight: NDArray[np.float64]


def read_history(
    files: Sequence[Path], *, metric: str | None, dimensions: Mapping[str, str], zone: tzinfo | None
) -> History:
    """All points of the files. `metric` names the series of files without such a column; `dimensions` are added to all.

    A file has a header: `timestamp` and `value`, perhaps `metric` and `weight`; every other column is a dimension.
    """
    known: dict[tuple[str, Dimensions], int] = {}
    which: list[int] = []
    timestamps: list[int] = []
    values: list[float] = []
    weights: list[float] = []
    for file in files:
        try:
            for identity, timestamp, value, weight in _rows(file, metric, tuple(dimensions.items()), zone):
                which.append(known.setdefault(identity, len(known)))
                timestamps.append(timestamp)
                values.append(value)
                weights.append(weight)
        except (UnicodeDecodeError, csv.Error):
            raise HistoryError(f"{file} is not a CSV file in UTF-8.") from None
    order = np.argsort(np.array(timestamps, np.int64), kind="stable")
    return History(
        series=list(known),
        which=np.array(which, np.int32)[order],
        timestamp=np.array(timestamps, np.int64)[order],
        value=np.array(values, np.float64)[order],
        weight=np.array(weights, np.float64)[order],
    )


def _rows(
    file: Path, metric: str | None, added: Dimensions, zone: tzinfo | None
) -> Iterator[tuple[tuple[str, Dimensions], int, float, float]]:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines, restval="")
        columns = [name for name in (reader.fieldnames or []) if name not in COLUMNS]
        _check_header(file, reader.fieldnames or [], metric)
        for row in reader:
            own = tuple((name, row[name]) for name in columns if row[name])
            identity = (row.get("metric") or metric or "", tuple(sorted((*own, *added))))
            try:
                seconds = unix_seconds(row["timestamp"], zone)
                yield identity, seconds, _number(row["value"]), _number(row.get("weight") or "")
            except ValueError as error:
                raise HistoryError(f"{file}, line {reader.line_num}: {error}") from None


def _check_header(file: Path, header: Sequence[str], metric: str | None) -> None:
    if fault := fault_of_separator(header):
        raise HistoryError(f"{file} can't be read: {fault}.")
    if "timestamp" not in header or "value" not in header:
        raise HistoryError(
            f"{file} needs a first line that names its columns, `timestamp` and `value` among them. "
            "Every column beside these, `metric` and `weight` is a dimension."
        )
    if "metric" not in header and metric is None:
        raise HistoryError(f"{file} has no column `metric`: say what its values are with --metric NAME.")


def _number(text: str) -> float:
    try:
        value = number(text)
    except ValueError:
        raise ValueError("the value is not a number (leave it empty where it is known to be missing)") from None
    if value in (float("inf"), float("-inf")):
        raise ValueError("the value is infinite")
    return value
