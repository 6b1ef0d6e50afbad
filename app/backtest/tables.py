"""CSV in and out: `timestamp,value[,weight][,label]`, RFC 3339 or unix seconds; one judged row per row that came in."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from app.backtest.replay import Recorded, Replayed
from app.errors import BadRequest
from detectors.contract import Bools, Ints

MISSING = {"", "null", "none", "nan", "na", "n/a", "-"}
HEADER = ("timestamp", "value", "expected", "lower", "upper", "rarity_weeks", "anomalous", "alert")


class UnreadableTable(BadRequest):
    """A CSV that cannot be replayed; the message names file, line and cure."""


@dataclass(frozen=True)
class Table:
    """A recorded series as it stood in a file.

    timestamp_text, value_text: the cells as written, one per row. row: index into `recorded` of each row; rows of one
    time share it, and the last of them is what counts. counted: bool, whether a row is the one that counts.
    label: bool per point of `recorded`, or None where the file has no labels. unsorted, duplicates: what was found.
    """

    path: Path
    recorded: Recorded
    timestamp_text: list[str]
    value_text: list[str]
    row: Ints
    counted: Bools
    label: Bools | None
    unsorted: bool
    duplicates: int


def read_table(path: Path) -> Table:
    """Read one file. Rows may come in any order; of several rows of one time, the last one written counts.

    Raises UnreadableTable.
    """
    times, values, weights, labels = _columns(path)
    timestamp = _unix_seconds(times, path)
    value = _numbers("value", values, path)
    weight = None if weights is None else _events(weights, path)
    order = np.argsort(timestamp, kind="stable")
    ordered = timestamp[order]
    is_last = np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)]
    kept = order[is_last]
    row = np.empty(len(order), np.int64)
    row[order] = np.concatenate([[0], np.cumsum(is_last)[:-1]]) if len(order) else order
    counted = np.zeros(len(order), bool)
    counted[kept] = True
    return Table(
        path=path,
        recorded=Recorded(path.stem, timestamp[kept], value[kept], None if weight is None else weight[kept]),
        timestamp_text=times,
        value_text=values,
        row=row,
        counted=counted,
        label=None if labels is None else _labels(labels)[kept],
        unsorted=bool((np.diff(timestamp) < 0).any()),
        duplicates=int(len(order) - len(kept)),
    )


def write_table(table: Table, replayed: Replayed, target: Path) -> None:
    """One row per row of the input, in its order; empty cells where nothing can be said."""
    row = table.row
    with np.errstate(over="ignore"):
        weeks = 10.0**replayed.rarity
    columns = [
        table.timestamp_text,
        table.value_text,
        _written(replayed.expected[row], "%.10g"),
        _written(replayed.lower[row], "%.10g"),
        _written(replayed.upper[row], "%.10g"),
        _written(weeks[row], "%.6g"),
        replayed.anomalous[row].astype(np.int8).tolist(),
        (replayed.alert[row] & table.counted).astype(np.int8).tolist(),
    ]
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(zip(*columns, strict=True))


def _columns(path: Path) -> tuple[list[str], list[str], list[str] | None, list[str] | None]:
    """The cells of the four columns that are read: times, values, and weights and labels where there are any."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise UnreadableTable(f"{path} cannot be read as CSV: {fault}") from fault
    if not rows:
        raise UnreadableTable(f"{path} is empty; it needs the header timestamp,value")
    names = [name.strip().lower() for name in rows[0]]
    absent = [name for name in ("timestamp", "value") if name not in names]
    if absent:
        raise UnreadableTable(
            f"{path} has no column {' and '.join(absent)}; its first line must be timestamp,value[,weight][,label]"
        )
    width = len(names)
    for line, cells in enumerate(rows[1:], start=2):
        if len(cells) != width:
            raise UnreadableTable(f"{path}, line {line}: {len(cells)} cells where the header has {width}")
    columns = list(zip(*rows[1:], strict=True)) or [() for _ in names]
    weight, label = (list(columns[names.index(name)]) if name in names else None for name in ("weight", "label"))
    return list(columns[names.index("timestamp")]), list(columns[names.index("value")]), weight, label


def _unix_seconds(texts: list[str], path: Path) -> Ints:
    """Times as unix seconds, a fraction dropped; a time without an offset is UTC."""
    try:
        return np.floor(np.array(texts, dtype=np.float64)).astype(np.int64)
    except ValueError:
        pass
    seconds = np.empty(len(texts), np.int64)
    for index, text in enumerate(texts):
        try:
            seconds[index] = _one_time(text.strip())
        except (ValueError, OverflowError) as fault:
            raise UnreadableTable(
                f"{path}, line {index + 2}: timestamp must be RFC 3339 or unix seconds, like 2026-01-31T00:00:00Z"
            ) from fault
    return seconds


def _one_time(text: str) -> int:
    try:
        return math.floor(float(text))
    except ValueError:
        moment = datetime.fromisoformat(text)
        return math.floor((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _events(texts: list[str], path: Path) -> np.ndarray:
    """Weights: how many events are behind each value, NaN where that was not given."""
    weights = _numbers("weight", texts, path)
    if (negative := np.flatnonzero(weights < 0)).size:
        raise UnreadableTable(f"{path}, line {negative[0] + 2}: weight is a number of events, so at least 0")
    return weights


def _numbers(name: str, texts: list[str], path: Path) -> np.ndarray:
    try:
        numbers = np.array(texts, dtype=np.float64)
    except ValueError:
        each = [_one_number(name, text, index + 2, path) for index, text in enumerate(texts)]
        numbers = np.array(each, np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _one_number(name: str, text: str, line: int, path: Path) -> float:
    text = text.strip()
    if text.lower() in MISSING:
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise UnreadableTable(f"{path}, line {line}: {name} must be a number, or empty where it is missing") from None


def _labels(texts: list[str]) -> Bools:
    return np.array([text.strip().lower() not in MISSING | {"0", "0.0", "false", "no"} for text in texts], bool)


def _written(numbers: np.ndarray, style: str) -> Sequence[str]:
    return ["" if number != number else style % number for number in numbers.tolist()]
