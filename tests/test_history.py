"""CSV files of history are read as they are commonly written, and what is wrong with one is said with its line."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from app.history import History, HistoryError, read_history


def read(folder: Path, text: str, **options: object) -> History:
    file = folder / "history.csv"
    file.write_text(text)
    asked = {"metric": None, "dimensions": {}, "zone": None} | options
    return read_history([file], **asked)  # type: ignore[arg-type]


def test_a_file_of_one_series_takes_its_metric_and_dimensions_from_outside(tmp_path: Path) -> None:
    history = read(
        tmp_path,
        "timestamp,value\n2026-01-05T00:00:00Z,4\n2026-01-05T02:00:00+01:00,5.5\n",
        metric="orders",
        dimensions={"country": "DE"},
    )
    assert history.series == [("orders", (("country", "DE"),))]
    assert history.timestamp.tolist() == [1767571200, 1767574800]
    assert history.value.tolist() == [4.0, 5.5]


def test_every_further_column_is_a_dimension(tmp_path: Path) -> None:
    history = read(tmp_path, "metric,timestamp,value,country,shop\norders,60,1,DE,2\norders,60,2,FR,\n")
    assert history.series == [("orders", (("country", "DE"), ("shop", "2"))), ("orders", (("country", "FR"),))]


def test_points_come_in_order_of_time_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    history = read(tmp_path, "metric,timestamp,value\na,120,2\nb,60,1\na,60,0\n")
    assert history.timestamp.tolist() == [60, 60, 120]
    assert [history.series[which][0] for which in history.which] == ["b", "a", "a"]


def test_an_empty_value_is_known_to_be_missing(tmp_path: Path) -> None:
    history = read(tmp_path, "timestamp,value\n60,\n120,n/a\n180,3\n", metric="orders")
    np.testing.assert_array_equal(history.value, [np.nan, np.nan, 3.0])


def test_times_without_a_zone_are_read_in_the_one_that_is_named(tmp_path: Path) -> None:
    history = read(tmp_path, "timestamp,value\n2026-01-05 01:00:00,4\n", metric="a", zone=ZoneInfo("Europe/Berlin"))
    assert history.timestamp.tolist() == [1767571200]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("time,value\n1,2\n", "needs a first line"),
        ("", "needs a first line"),
        ("timestamp,value\n60,1\n", "--metric NAME"),
        ("metric,timestamp,value\na,2026-01-05 01:00:00,1\n", "line 2: the timestamp has no time zone"),
        ("metric,timestamp,value\na,60,1\na,yesterday,1\n", "line 3: the timestamp is neither"),
        ("metric,timestamp,value\na,1767571200000,1\n", "line 2: .* 1970 to 2100: it looks like milliseconds"),
        ("metric,timestamp,value\na,1e30,1\n", "line 2: the timestamp does not lie from 1970 to 2100"),
        ("metric;timestamp;value\na;60;1,5\n", "divided by semicolons"),
        ("metric,timestamp,value\na,60,many\n", "line 2: the value is not a number"),
        ("metric,timestamp,value\na,60,inf\n", "line 2: the value is infinite"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(HistoryError, match=told):
        read(tmp_path, text)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    file.write_bytes(b"\xff\xfe\x00timestamp,value")
    with pytest.raises(HistoryError, match="not a CSV file in UTF-8"):
        read_history([file], metric="a", dimensions={}, zone=None)
