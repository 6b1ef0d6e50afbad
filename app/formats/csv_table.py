"""CSV with a header: `metric`, `timestamp`, `value`, perhaps `weight`; every other column is a dimension."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from app.errors import BadRequest
from app.formats.contract import Limits, PointCollector, PostedPoints, refuse_too_many

COLUMNS = ("metric", "timestamp", "value")
SHAPE = (
    "The first line of a CSV body must name the columns metric, timestamp and value; "
    "weight is the number of events behind a ratio, others are dimensions."
)


def decode_csv(body: bytes, limits: Limits) -> PostedPoints:
    """Points of a CSV body. An empty value is a point known to be missing, an empty dimension is no dimension."""
    rows = _read(body)
    header = next(rows, [])
    if any(header.count(name) != 1 for name in COLUMNS) or len(set(header)) != len(header):
        raise BadRequest(SHAPE)
    collector = PointCollector()
    for row in rows:
        if row:
            _collect(collector, header, row)
            refuse_too_many(collector.count, limits)
    return collector.assemble(limits)


def _read(body: bytes) -> Iterator[list[str]]:
    text = body.decode("utf-8-sig", "surrogateescape")
    try:
        yield from csv.reader(io.StringIO(text, newline=""), strict=True)
    except csv.Error:
        raise BadRequest("The body is not CSV: check its quotes.") from None


def _collect(collector: PointCollector, header: Sequence[str], row: Sequence[str]) -> None:
    if len(row) != len(header):
        collector.reject(f"the line has {len(row)} fields, the header {len(header)}")
        return
    fields = dict(zip(header, row, strict=True))
    metric, timestamp, value = (fields.pop(name) for name in COLUMNS)
    weight = fields.pop("weight", "").strip()
    dimensions = {name: text for name, text in fields.items() if text}
    try:
        number, events = (_number(text) if text.strip() else None for text in (value, weight))
        collector.add(metric, dimensions, _timestamp(timestamp), number, events)
    except ValueError as fault:
        collector.reject(str(fault))


def _timestamp(text: str) -> str | float:
    """A number where it is written as one, else the text."""
    text = text.strip()
    return float(text) if text.replace(".", "", 1).isdecimal() else text


def _number(text: str) -> float:
    """Python would read underscores too, which only its own source means as numbers."""
    try:
        if "_" not in text:
            return float(text)
    except ValueError:
        pass
    raise ValueError("value and weight must be numbers or empty")
