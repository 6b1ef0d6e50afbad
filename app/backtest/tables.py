"""CSV in and out: `timestamp,value[,weight][,label]`, RFC 3339 or unix seconds; one judged row per row that came in.

Other columns tell series apart, as for `heed import`: `metric`, and dimensions.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from itertools import compress
from pathlib import Path

import numpy as np

from app.backtest.replay import Recorded, Replayed
from app.errors import BadRequest
from app.formats import cells
from detectors.contract import Bools, Ints

OWN_COLUMNS = ("timestamp", "value", "weight", "label")
HEADER = ("timestamp", "value", "expected", "lower", "upper", "rarity_weeks", "anomalous", "alert")


class UnreadableTable(BadRequest):
    """A CSV that cannot be replayed; the message names file, line and cure."""


@dataclass(frozen=True)
class Table:
    """A recorded series as it stood in a file.

    timestamp_text, value_text: the cells as written, one per row. row: index into `recorded` of each row; rows of one
    time share it, and the last of them is what counts. counted: bool, whether a row is the one that counts.
    label: bool per point of `recorded`, or None where the file has no labels. unsorted, duplicates: what was found.
    dimensions: what the other columns but `metric` say.
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
    dimensions: Mapping[str, str]


def read_table(path: Path, zone: tzinfo = UTC) -> Table:
    """Read one file of one series. Rows may come in any order; of several of one time, the last one written counts.

    zone: of times that name none. Raises UnreadableTable.
    """
    rows = _rows(path)
    table = _table(rows, zone)
    if len({*zip(table.row.tolist(), rows.identities(), strict=True)}) > len(table.recorded.timestamp):
        raise UnreadableTable(
            f"{path} holds several series, told apart by {', '.join(rows.others())}: give each a file of its own"
        )
    return table


def read_tables(path: Path, zone: tzinfo = UTC) -> list[Table]:
    """The same of a file that may hold several series, in the order in which they first come."""
    rows = _rows(path)
    return [_table(some, zone) for some in rows.by_series()] or [_table(rows, zone)]


def _table(rows: _Rows, zone: tzinfo) -> Table:
    times, values, weights, labels = (rows.column(name) for name in OWN_COLUMNS)
    timestamp = _unix_seconds(rows, times or [], zone)
    value = _numbers("value", rows, values or [])
    weight = None if weights is None else _events(rows, weights)
    about = dict(zip(rows.others(), rows.identities()[0], strict=True)) if rows.cells else {}
    name = about.pop("metric", "") or rows.path.stem
    order = np.argsort(timestamp, kind="stable")
    ordered = timestamp[order]
    is_last = np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)]
    kept = order[is_last]
    row = np.empty(len(order), np.int64)
    row[order] = np.concatenate([[0], np.cumsum(is_last)[:-1]]) if len(order) else order
    counted = np.zeros(len(order), bool)
    counted[kept] = True
    return Table(
        path=rows.path,
        recorded=Recorded(name, timestamp[kept], value[kept], None if weight is None else weight[kept]),
        timestamp_text=times or [],
        value_text=values or [],
        row=row,
        counted=counted,
        label=None if labels is None else _labels(labels)[kept],
        unsorted=bool((np.diff(timestamp) < 0).any()),
        duplicates=int(len(order) - len(kept)),
        dimensions={name: text for name, text in about.items() if text},
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


@dataclass(frozen=True)
class _Rows:
    """The rows of a file below its header. cells: of each row, as many as `names`. lines: where each row stands."""

    path: Path
    names: list[str]
    cells: list[list[str]]
    lines: list[int]

    def column(self, name: str) -> list[str] | None:
        """The cells of a column; None where the file has none of this name."""
        if name not in self.names:
            return None
        place = self.names.index(name)
        return [row[place] for row in self.cells]

    def others(self) -> list[str]:
        """The columns that tell series apart."""
        return [name for name in self.names if name not in OWN_COLUMNS]

    def identities(self) -> list[tuple[str, ...]]:
        """What those columns say, of each row."""
        places = [self.names.index(name) for name in self.others()]
        return [tuple(row[place].strip() for place in places) for row in self.cells]

    def by_series(self) -> Iterator[_Rows]:
        """The rows of each series."""
        identities = self.identities()
        for one in dict.fromkeys(identities):
            mine = [identity == one for identity in identities]
            yield replace(self, cells=list(compress(self.cells, mine)), lines=list(compress(self.lines, mine)))

    def fault(self, index: int, what: str) -> UnreadableTable:
        """What is wrong with a row."""
        return UnreadableTable(f"{self.path}, line {self.lines[index]}: {what}")


def _rows(path: Path) -> _Rows:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise UnreadableTable(f"{path} cannot be read as CSV: {fault}") from fault
    if not rows:
        raise UnreadableTable(f"{path} is empty; it needs the header timestamp,value")
    names = [_name(name.strip()) for name in rows[0][1]]
    if divided := cells.fault_of_separator(names):
        raise UnreadableTable(f"{path} cannot be read: {divided}")
    absent = [name for name in ("timestamp", "value") if name not in names]
    if absent:
        raise UnreadableTable(
            f"{path} has no column {' and '.join(absent)}; its first line must be timestamp,value[,weight][,label]"
        )
    if len({*names}) < len(names):
        raise UnreadableTable(f"{path} has two columns of one name")
    found = _Rows(path, names, [row for _, row in rows[1:]], [line for line, _ in rows[1:]])
    for index, row in enumerate(found.cells):
        if len(row) != len(names):
            raise found.fault(index, f"{len(row)} cells where the header has {len(names)}")
    return found


def _name(name: str) -> str:
    """Names with a meaning of their own, however they are written."""
    return name.lower() if name.lower() in (*OWN_COLUMNS, "metric") else name


def _unix_seconds(rows: _Rows, texts: list[str], zone: tzinfo) -> Ints:
    """Times as unix seconds, a fraction dropped."""
    try:
        seconds = np.floor(np.array(texts, dtype=np.float64))
    except ValueError:
        return np.array([_one_time(rows, index, text, zone) for index, text in enumerate(texts)], np.int64)
    for index in np.flatnonzero(~((seconds >= 0) & (seconds < cells.LATEST))).tolist():
        raise rows.fault(index, cells.fault_of_time(seconds[index]))
    return seconds.astype(np.int64)


def _one_time(rows: _Rows, index: int, text: str, zone: tzinfo) -> int:
    try:
        return cells.unix_seconds(text, zone)
    except ValueError as fault:
        raise rows.fault(index, str(fault)) from None


def _events(rows: _Rows, texts: list[str]) -> np.ndarray:
    """Weights: how many events are behind each value, NaN where that was not given."""
    weights = _numbers("weight", rows, texts)
    for index in np.flatnonzero(weights < 0).tolist():
        raise rows.fault(index, "weight is a number of events, so at least 0")
    return weights


def _numbers(name: str, rows: _Rows, texts: list[str]) -> np.ndarray:
    try:
        numbers = np.array(texts, dtype=np.float64)
    except ValueError:
        numbers = np.array([_one_number(name, rows, *each) for each in enumerate(texts)], np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _one_number(name: str, rows: _Rows, index: int, text: str) -> float:
    try:
        return cells.number(text)
    except ValueError:
        raise rows.fault(index, f"{name} must be a number, or empty where it is missing") from None


def _labels(texts: list[str]) -> Bools:
    return np.array([text.strip().lower() not in cells.MISSING | {"0", "0.0", "false", "no"} for text in texts], bool)


def _written(numbers: np.ndarray, style: str) -> Sequence[str]:
    return ["" if number != number else style % number for number in numbers.tolist()]
