"""Bodies of every format: what is kept, what is rejected, and why."""

from __future__ import annotations

import contextlib
import gzip
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadRequest, TooLarge, UnsupportedMediaType
from app.formats import Limits, PostedPoints, decode
from app.formats.contract import EARLIEST, LARGEST_VALUE

T = 1_700_000_000
LIMITS = Limits(latest=T + 86_400, decoded_bytes=16_000_000)


def post(body: str | bytes, content_type: str = "application/json", limits: Limits = LIMITS) -> PostedPoints:
    return decode(body if isinstance(body, bytes) else body.encode(), content_type, "", limits)


def row(value: str = "1", timestamp: str = str(T), metric: str = '"orders"', more: str = "") -> str:
    return f'{{"metric": {metric}, "timestamp": {timestamp}, "value": {value}{more}}}'


def rows(*points: str) -> str:
    return '{"points": [' + ", ".join(points) + "]}"


def reasons(posted: PostedPoints) -> dict[int, str]:
    return {rejection.index: rejection.reason for rejection in posted.rejected}


def as_tuples(posted: PostedPoints) -> list[tuple[Any, ...]]:
    return [
        (*posted.identities[place][:2], timestamp, None if math.isnan(value) else value)
        for place, timestamp, value in zip(
            posted.identity.tolist(), posted.timestamp.tolist(), posted.value.tolist(), strict=True
        )
    ]


def test_rows_become_columns_in_the_order_of_the_request() -> None:
    posted = post(
        rows(
            row("1.5", more=', "dimensions": {"country": "DE", "app": "web"}'),
            row("2", str(T + 60)),
            row("null", '"2023-11-14T23:15:20+01:00"', more=', "dimensions": {"app": "web", "country": "DE"}'),
        )
    )
    german = (("app", "web"), ("country", "DE"))
    assert as_tuples(posted) == [
        ("orders", german, T, 1.5),
        ("orders", (), T + 60, 2.0),
        ("orders", german, T + 120, None),
    ]
    assert len(posted.identities) == 2
    assert posted.index.tolist() == [0, 1, 2]
    assert posted.identity.dtype == np.int32
    assert not posted.rejected


def test_columns_are_numbered_through_all_series() -> None:
    posted = post(
        '{"series": [{"metric": "a", "timestamps": [1700000000, 1700000060], "values": [1, null]},'
        ' {"metric": "b", "dimensions": {"k": "v"}, "timestamps": [1700000000.9], "values": [3]}]}'
    )
    assert as_tuples(posted) == [("a", (), T, 1.0), ("a", (), T + 60, None), ("b", (("k", "v"),), T, 3.0)]
    assert posted.index.tolist() == [0, 1, 2]


BAD_VALUES = {
    "NaN": "finite",
    "Infinity": "finite",
    "-Infinity": "finite",
    "1e999": "finite",
    "1" * 400: "finite",
    "1" * 5000: "finite",
    "1e31": "within",
    '"12"': "number or null",
    "true": "number or null",
    "[]": "number or null",
    "{}": "number or null",
    "[" * 2000 + "]" * 2000: "number or null",
}
BAD_TIMES = {
    "0": "before 1990",
    "-1": "before 1990",
    "4102444800": "future",
    "1700000000000": "milliseconds",
    "1700000000000000": "microseconds",
    "1700000000000000000": "nanoseconds",
    "1e300": "finite",
    "NaN": "finite",
    "true": "unix seconds",
    "null": "unix seconds",
    '"1700000000"': "RFC 3339",
    '"2023-11-14"': "time zone",
    '"2023-11-14T22:13:20"': "time zone",
    '"yesterday"': "RFC 3339",
    '"1970-01-01T00:00:00Z"': "before 1990",
    '"2100-01-01T00:00:00Z"': "future",
    '"9999-12-31T23:59:59-23:59"': "future",
    '"0001-01-01T00:00:00+23:59"': "before 1990",
}
BAD_METRICS = {
    "12": "text",
    "null": "text",
    '""': "empty",
    '"' + "m" * 201 + '"': "at most 200",
    r'"a\u0000b"': "control",
    r'"a\ud800b"': "surrogate",
}
BAD_DIMENSIONS = {
    "[]": "object of text",
    '"x"': "object of text",
    '{"a": 1}': "object of text",
    '{"a": null}': "object of text",
    '{"": "x"}': "name must not be empty",
    '{"a": ""}': "value must not be empty",
    r'{"a": "\udfff"}': "surrogate",
    r'{"a": "b\nc"}': "control",
    '{"a": "' + "v" * 201 + '"}': "at most 200",
    '{"' + "k" * 10_000_000 + '": "v"}': "at most 100",
    json.dumps({f"d{i}": "v" for i in range(21)}): "at most 20",
    '{"a":' * 2000 + "1" + "}" * 2000: "object of text",
}
BAD_POINTS = {
    **{row(value=value): reason for value, reason in BAD_VALUES.items()},
    **{row(timestamp=time): reason for time, reason in BAD_TIMES.items()},
    **{row(metric=metric): reason for metric, reason in BAD_METRICS.items()},
    **{row(more=f', "dimensions": {dimensions}'): reason for dimensions, reason in BAD_DIMENSIONS.items()},
    "12": "object",
    "null": "object",
    '"x"': "object",
    "[1]": "object",
    "{}": "value is missing",
    '{"metric": "a", "value": 1}': "timestamp is missing",
    '{"value": 1, "timestamp": 1700000000}': "metric must be text",
}


@pytest.mark.parametrize("bad", BAD_POINTS, ids=lambda bad: bad[:60] if len(bad) < 300 else bad[:40] + "...")
def test_a_bad_point_is_rejected_with_its_reason_and_the_good_ones_are_kept(bad: str) -> None:
    """Guarantee 6."""
    posted = post(rows(row("1"), bad, row("3", str(T + 60))))
    assert as_tuples(posted) == [("orders", (), T, 1.0), ("orders", (), T + 60, 3.0)]
    assert posted.index.tolist() == [0, 2]
    assert list(reasons(posted)) == [1]
    assert BAD_POINTS[bad] in reasons(posted)[1]


@pytest.mark.parametrize("bad", BAD_POINTS, ids=lambda bad: bad[:60] if len(bad) < 300 else bad[:40] + "...")
def test_a_bad_line_is_rejected_with_its_reason_and_the_good_ones_are_kept(bad: str) -> None:
    """Guarantee 6, for NDJSON."""
    posted = post("\n".join([row("1"), bad, "", row("3")]), "application/x-ndjson")
    assert posted.index.tolist() == [0, 2]
    assert BAD_POINTS[bad] in reasons(posted)[1]


@pytest.mark.parametrize("value", BAD_VALUES)
def test_a_bad_value_in_a_column_is_rejected_alone(value: str) -> None:
    """Guarantee 6."""
    posted = post(
        f'{{"series": [{{"metric": "a", "timestamps": [{T}, {T + 1}, {T + 2}], "values": [1, {value}, 3]}}]}}'
    )
    assert posted.value.tolist() == [1, 3]
    assert BAD_VALUES[value] in reasons(posted)[1]


@pytest.mark.parametrize("time", BAD_TIMES)
def test_a_bad_time_in_a_column_is_rejected_alone(time: str) -> None:
    """Guarantee 6."""
    posted = post(f'{{"series": [{{"metric": "a", "timestamps": [{T}, {time}, {T + 2}], "values": [1, 2, 3]}}]}}')
    assert posted.value.tolist() == [1, 3]
    assert BAD_TIMES[time] in reasons(posted)[1]


@pytest.mark.parametrize(
    "bad",
    [
        '{"metric": "a", "timestamps": [1, 2], "values": [1]}',
        '{"metric": "a", "timestamps": [1, 2]}',
        '{"metric": "a", "timestamps": [1, 2], "values": 7}',
        '{"metric": "", "timestamps": [1700000000, 1700000001], "values": [1, 2]}',
        '{"metric": "a", "dimensions": {"a": 1}, "timestamps": [1700000000, 1700000001], "values": [1, 2]}',
    ],
)
def test_a_bad_series_is_rejected_point_by_point_and_the_next_one_keeps_its_numbers(bad: str) -> None:
    posted = post(f'{{"series": [{bad}, {{"metric": "b", "timestamps": [{T}], "values": [5]}}]}}')
    assert list(reasons(posted)) == [0, 1]
    assert posted.index.tolist() == [2]
    assert [identity.metric for identity in posted.identities] == ["b"]
    assert posted.identity.tolist() == [0]


def test_a_series_that_is_no_object_takes_one_number() -> None:
    posted = post(f'{{"series": [7, {{"metric": "b", "timestamps": [{T}], "values": [5]}}]}}')
    assert reasons(posted) == {0: "a series must be an object"}
    assert posted.index.tolist() == [1]


def test_text_that_is_not_utf8_costs_only_its_own_point() -> None:
    body = rows(row(), row(metric='"caf?"')).encode().replace(b"?", b"\xe9")
    assert list(reasons(post(body))) == [1]


@pytest.mark.parametrize(
    "body",
    [
        "", "not json", "[]", "7", "null", "{}", '{"points": 7}', '{"points": null}', '{"series": {}}',
        '{"points": [], "series": []}', "[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"points": [', "\x00",
        "{" * 3_000_000,
    ],
    ids=lambda body: body[:20] or "empty",
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_refused_with_the_cure(body: str) -> None:
    """Guarantee 6."""
    with pytest.raises(BadRequest, match=r'Send \{"points"'):
        post(body)


def test_a_refusal_never_echoes_input() -> None:
    posted = post(rows(row('"s3cret"'), row(metric='{"s3cret": 1}'), row(more=', "dimensions": {"s3cret": ""}')))
    assert len(posted.rejected) == 3
    assert "s3cret" not in str(posted.rejected)


def test_a_point_may_hold_fields_nobody_knows() -> None:
    assert len(post(rows(row(more=', "unit": "EUR", "x": [[[1]]]')))) == 1


def test_a_byte_order_mark_is_skipped() -> None:
    assert len(post(b"\xef\xbb\xbf" + rows(row()).encode())) == 1


def test_the_oldest_and_the_latest_time_are_taken() -> None:
    posted = post(rows(row(timestamp=str(EARLIEST)), row(timestamp=str(LIMITS.latest))))
    assert not posted.rejected


@pytest.mark.parametrize("content_type", ["application/json", "application/x-ndjson", "text/csv"])
def test_more_points_than_a_request_may_hold_are_refused(content_type: str) -> None:
    body = {
        "application/json": rows(row(), row(), row()),
        "application/x-ndjson": "\n".join([row()] * 3),
        "text/csv": f"metric,timestamp,value\na,{T},1\na,{T},1\na,{T},1\n",
    }[content_type]
    assert len(post(body, content_type, Limits(latest=T, points=3))) == 3
    with pytest.raises(TooLarge, match="at most 2 points"):
        post(body, content_type, Limits(latest=T, points=2))


def test_csv_takes_every_other_column_for_a_dimension() -> None:
    posted = post(
        "timestamp,country,metric,value,app\n"
        f"{T},DE,orders,1.5,web\n"
        "2023-11-14T22:14:20Z,,orders,,web\n"
        f'{T}.5,"a ""quoted"", one",orders,-2e3,\n',
        "text/csv; charset=utf-8",
    )
    assert as_tuples(posted) == [
        ("orders", (("app", "web"), ("country", "DE")), T, 1.5),
        ("orders", (("app", "web"),), T + 60, None),
        ("orders", (("country", 'a "quoted", one'),), T, -2000.0),
    ]


def test_bad_lines_of_csv_are_rejected_alone() -> None:
    """Guarantee 6, for CSV."""
    lines = [f"a,{T},1", f"a,{T}", f"a,{T},nan", f"a,{T},inf", f"a,{T},1_0", f"a,{T},x", "a,NaN,1", "a,,1", f",{T},1"]
    posted = post("metric,timestamp,value\n" + "\n".join([*lines, f"a,{T},2"]), "text/csv")
    assert posted.value.tolist() == [1, 2]
    assert list(reasons(posted)) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("body", ["", "a,b\n1,2\n", "metric,timestamp,value,value\n", "metric,timestamp,value,x,x\n"])
def test_csv_without_a_sound_header_is_refused(body: str) -> None:
    with pytest.raises(BadRequest, match="first line"):
        post(body, "text/csv")


@pytest.mark.parametrize("body", ['metric,timestamp,value\n"a', "metric,timestamp,value\n" + "x" * 200_000])
def test_csv_that_cannot_be_read_is_refused(body: str) -> None:
    with pytest.raises(BadRequest):
        post(body, "text/csv")


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnsupportedMediaType, match="application/json"):
        post("x", "application/x-www-form-urlencoded")


COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstandard.compress}


@pytest.mark.parametrize("encoding", COMPRESS)
def test_compressed_bodies_are_read(encoding: str) -> None:
    packed = COMPRESS[encoding](rows(row()).encode())
    assert len(decode(packed, "application/json", encoding.upper(), LIMITS)) == 1
    half = len(row()) // 2
    parts = COMPRESS[encoding](row()[:half].encode()) + COMPRESS[encoding](row()[half:].encode())
    assert len(decode(parts, "application/x-ndjson", encoding, LIMITS)) == 1


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_bomb_stops_at_the_decoded_limit(encoding: str) -> None:
    """Guarantee 7."""
    bomb = COMPRESS[encoding](bytes(200_000_000))
    assert len(bomb) < 250_000
    with pytest.raises(TooLarge, match="at most 1000000 bytes"):
        decode(bomb, "application/json", encoding, Limits(latest=T, decoded_bytes=1_000_000))


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_body_cut_short_or_with_rubbish_is_refused_as_a_whole(encoding: str) -> None:
    packed = COMPRESS[encoding]("\n".join([row()] * 1000).encode())
    for broken in (packed[:-3], packed[: len(packed) // 2], packed + b"rubbish", b"rubbish"):
        with pytest.raises(BadRequest):
            decode(broken, "application/x-ndjson", encoding, LIMITS)


def test_an_unknown_compression_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        decode(b"", "application/json", "br", LIMITS)


@given(st.binary(max_size=300), st.sampled_from(["application/json", "application/x-ndjson", "text/csv"]))
def test_any_bytes_give_points_or_a_refusal(body: bytes, content_type: str) -> None:
    """Guarantee 6: never a fault of our own."""
    for encoding in ("", "gzip", "zstd"):
        with contextlib.suppress(BadRequest, TooLarge):
            decode(body, content_type, encoding, LIMITS)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
good_times = st.integers(EARLIEST, LIMITS.latest)
good_values = st.none() | st.floats(-LARGEST_VALUE, LARGEST_VALUE) | st.integers(-(10**29), 10**29)
names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=9)
good_rows = st.fixed_dictionaries(
    {"metric": names, "timestamp": good_times, "value": good_values},
    optional={"dimensions": st.dictionaries(names, names, max_size=3)},
)
any_rows = st.fixed_dictionaries(
    {}, optional={"metric": anything, "timestamp": anything, "value": anything, "dimensions": anything}
)


@given(st.lists(good_rows | any_rows | anything, max_size=6))
def test_every_row_is_either_kept_or_rejected_and_never_both(points: list[Any]) -> None:
    """Guarantee 6."""
    posted = post(json.dumps({"points": points}))
    assert sorted([*posted.index.tolist(), *reasons(posted)]) == list(range(len(points)))
    assert all(np.isnan(posted.value) | np.isfinite(posted.value))
    assert np.all((posted.timestamp >= EARLIEST) & (posted.timestamp <= LIMITS.latest))


@given(st.lists(good_rows, max_size=6))
def test_all_formats_agree_and_the_strict_reading_agrees_with_the_lenient(points: list[dict[str, Any]]) -> None:
    strict = post(json.dumps({"points": points}))
    lenient = post(json.dumps({"points": [*points, 7]}))
    lines = post("\n".join(map(json.dumps, points)), "application/x-ndjson")
    columns = post(
        json.dumps(
            {
                "series": [
                    {
                        "metric": point["metric"],
                        "dimensions": point.get("dimensions"),
                        "timestamps": [point["timestamp"]],
                        "values": [point["value"]],
                    }
                    for point in points
                ]
            }
        )
    )
    assert len(strict) == len(points)
    assert as_tuples(strict) == as_tuples(lenient) == as_tuples(lines) == as_tuples(columns)
