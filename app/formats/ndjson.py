"""NDJSON: one point a line, each as in the rows of a JSON body."""

from __future__ import annotations

import msgspec

from app.errors import BadRequest
from app.formats.contract import Limits, PointCollector, PostedPoints, refuse_too_many
from app.formats.json_points import Row, Unsound, assemble_rows, collect_row, parse_leniently

_decoder = msgspec.json.Decoder(Row)


def decode_ndjson(body: bytes, limits: Limits) -> PostedPoints:
    """Points of an NDJSON body. Empty lines are skipped and not counted."""
    try:
        return assemble_rows(_decoder.decode_lines(body), limits)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Unsound):
        return _decode_leniently(body, limits)


def _decode_leniently(body: bytes, limits: Limits) -> PostedPoints:
    lines = [line for line in body.split(b"\n") if line.strip()]
    refuse_too_many(len(lines), limits)
    collector = PointCollector()
    for line in lines:
        try:
            collect_row(collector, parse_leniently(line))
        except BadRequest:
            collector.reject("a line must be a JSON object")
    return collector.assemble(limits)
