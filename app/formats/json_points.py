"""JSON, as rows of points or as columns per series.

A body is first read by a decoder that knows its exact shape, with no Python code per point. Only where that finds a
fault is it read again, point by point, to say which points are at fault and to keep the others.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from itertools import chain
from typing import Annotated, Any

import msgspec
import numpy as np

from app.errors import BadRequest
from app.formats.contract import (
    Floats,
    IdentityTable,
    Ints,
    Limits,
    PointCollector,
    PostedPoints,
    assemble,
    given_weights,
    refuse_too_many,
)

Timestamp = int | float | Annotated[datetime, msgspec.Meta(tz=True)]
NO_DIMENSIONS = msgspec.Raw(b"{}")
DEEPEST = 8
MOST_BRACKETS = 2_000_000
SHAPE = (
    'Send {"points": [{"metric", "dimensions", "timestamp", "value"}]}'
    ' or {"series": [{"metric", "dimensions", "timestamps": [], "values": []}]}.'
)


class Row(msgspec.Struct, gc=False):
    metric: str
    timestamp: Timestamp
    value: float | None
    dimensions: msgspec.Raw = NO_DIMENSIONS
    weight: float | None = None


class Column(msgspec.Struct, gc=False):
    metric: str
    timestamps: list[Timestamp]
    values: list[float | None]
    dimensions: msgspec.Raw = NO_DIMENSIONS
    weights: list[float | None] | None = None


class Body(msgspec.Struct, gc=False):
    points: list[Row] | None = None
    series: list[Column] | None = None


class Unsound(Exception):
    """The fast way cannot be gone: some point is at fault."""


_decoder = msgspec.json.Decoder(Body)


def decode_json(body: bytes, limits: Limits) -> PostedPoints:
    """Points of a JSON body."""
    try:
        decoded = _decoder.decode(body)
        if decoded.points is not None and decoded.series is None:
            return assemble_rows(decoded.points, limits)
        if decoded.series is not None and decoded.points is None:
            return assemble_columns(decoded.series, limits)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Unsound):
        pass
    return _decode_leniently(body, limits)


def assemble_rows(rows: list[Row], limits: Limits) -> PostedPoints:
    """Points of rows that have the right types. Raises Unsound where a time is beyond all bounds."""
    refuse_too_many(len(rows), limits)
    table = IdentityTable()
    places = [table.place(row.metric, bytes(row.dimensions)) for row in rows]
    timestamp = _seconds([row.timestamp for row in rows])
    value = np.array([row.value for row in rows], dtype=np.float64)
    weight = given_weights([row.weight for row in rows])
    return assemble(table, places, timestamp, value, index=np.arange(len(rows)), weight=weight, limits=limits)


def assemble_columns(columns: list[Column], limits: Limits) -> PostedPoints:
    """Points of columns that have the right types. Raises Unsound where two of a series differ in length."""
    lengths = [len(column.timestamps) for column in columns]
    if lengths != [len(column.values) for column in columns] or not _weights_fit(columns, lengths):
        raise Unsound
    count = sum(lengths)
    refuse_too_many(count, limits)
    table = IdentityTable()
    places = [table.place(column.metric, bytes(column.dimensions)) for column in columns]
    place = np.repeat(np.array(places, dtype=np.int64), lengths)
    timestamp = _seconds(list(chain.from_iterable(column.timestamps for column in columns)))
    value = _floats(list(chain.from_iterable(column.values for column in columns)))
    weight = _weights(columns, lengths)
    return assemble(table, place, timestamp, value, index=np.arange(count), weight=weight, limits=limits)


def _weights_fit(columns: list[Column], lengths: list[int]) -> bool:
    return all(
        column.weights is None or len(column.weights) == length for column, length in zip(columns, lengths, strict=True)
    )


def _weights(columns: list[Column], lengths: list[int]) -> Floats | None:
    """The weights of all columns, one after the other; None where no column has any."""
    if all(column.weights is None for column in columns):
        return None
    none: list[float | None] = [None]
    parts = (column.weights or none * length for column, length in zip(columns, lengths, strict=True))
    return given_weights(list(chain.from_iterable(parts)))


def _floats(values: list[float | None]) -> Floats:
    return np.array(values, dtype=np.float64)


def _seconds(timestamps: list[Timestamp]) -> Ints:
    """Unix seconds, fractions dropped."""
    try:
        return np.array(timestamps, dtype=np.int64)
    except TypeError:
        return _seconds([int(time.timestamp()) if isinstance(time, datetime) else int(time) for time in timestamps])
    except OverflowError:
        raise Unsound from None


def _decode_leniently(body: bytes, limits: Limits) -> PostedPoints:
    document = parse_leniently(body)
    if not isinstance(document, dict):
        raise BadRequest(SHAPE)
    rows, columns = document.get("points"), document.get("series")
    collector = PointCollector()
    if isinstance(rows, list) and columns is None:
        refuse_too_many(len(rows), limits)
        for row in rows:
            collect_row(collector, row)
    elif isinstance(columns, list) and rows is None:
        refuse_too_many(sum(_length(column) for column in columns), limits)
        for column in columns:
            _collect_column(collector, column)
    else:
        raise BadRequest(SHAPE)
    return collector.assemble(limits)


def collect_row(collector: PointCollector, row: Any) -> None:
    """Add a row that may be anything."""
    if not isinstance(row, dict):
        collector.reject("a point must be an object")
    elif "value" not in row:
        collector.reject("value is missing: send null for a point known to be missing")
    elif "timestamp" not in row:
        collector.reject("timestamp is missing")
    else:
        collector.add(
            row.get("metric"), row.get("dimensions"), row["timestamp"], row["value"], weight=row.get("weight")
        )


def _collect_column(collector: PointCollector, column: Any) -> None:
    fault = _fault_of_column(column)
    if fault:
        for _ in range(_length(column)):
            collector.reject(fault)
        return
    parts = (column.get("metric"), column.get("dimensions"))
    weights = column.get("weights")
    for place, (timestamp, value) in enumerate(zip(column["timestamps"], column["values"], strict=True)):
        collector.add(*parts, timestamp, value, weight=None if weights is None else weights[place])


def _fault_of_column(column: Any) -> str | None:
    if not isinstance(column, dict):
        return "a series must be an object"
    timestamps, values = column.get("timestamps"), column.get("values")
    if not isinstance(timestamps, list) or not isinstance(values, list):
        return "timestamps and values must be lists"
    if len(timestamps) != len(values):
        return "timestamps and values must be of one length"
    weights = column.get("weights")
    if weights is not None and not (isinstance(weights, list) and len(weights) == len(values)):
        return "weights must be a list as long as values"
    return None


def _length(column: Any) -> int:
    """How many indices a series takes up. A series at fault as a whole takes at least one, to be told by."""
    lists = [column.get("timestamps"), column.get("values")] if isinstance(column, dict) else []
    longest = max((len(part) for part in lists if isinstance(part, list)), default=0)
    return longest if _fault_of_column(column) is None else max(longest, 1)


def parse_leniently(body: bytes) -> Any:
    """JSON in which numbers may be NaN or infinite and text may be broken, so that single points can be told so."""
    text = body.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    try:
        try:
            return json.loads(text, parse_int=_parse_int)
        except RecursionError:
            return json.loads(_cut_deep_parts(text), parse_int=_parse_int)
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON. " + SHAPE) from None


def _parse_int(digits: str) -> int | float:
    """Python refuses integers of thousands of digits by an error for the whole body."""
    return int(digits) if len(digits) < 20 else float(digits)


_structure = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)


def _cut_deep_parts(text: str) -> str:
    """The text with every part nested deeper than any point can be replaced by a number, which fits nowhere there."""
    if text.count("[") + text.count("{") > MOST_BRACKETS:
        raise BadRequest("The body is nested too deeply. " + SHAPE)
    kept: list[str] = []
    depth = cut_from = resume = 0
    for match in _structure.finditer(text):
        symbol = match.group()
        if symbol in ("[", "{"):
            depth += 1
            cut_from = match.start() if depth == DEEPEST else cut_from
        elif symbol in ("]", "}"):
            depth -= 1
            if depth == DEEPEST - 1:
                kept += [text[resume:cut_from], "0"]
                resume = match.end()
    return "".join([*kept, text[resume:]])
