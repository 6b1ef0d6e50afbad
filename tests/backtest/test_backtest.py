"""A replay judges each point from the past alone, and writes one row per row that came in."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from app.backtest import Recorded, Replayed, UnreadableTable, backtest, replay, verify
from app.backtest.tables import read_table
from detectors.registry import DETECTORS
from tests.detectors.checks import DAY, HOUR, START, WEEK, seasonal_values, times

WEEKS = 5


def _orders(weeks: int = WEEKS, seed: int = 1, cadence: int = HOUR) -> Recorded:
    timestamp = times(weeks * WEEK // cadence, cadence)
    return Recorded(f"orders {seed}", timestamp, seasonal_values(timestamp, 1, seed)[0])


def _with_drop(one: Recorded, at: int, points: int = 4) -> Recorded:
    value = one.value.copy()
    value[at : at + points] *= 0.2
    return Recorded(one.name, one.timestamp, value)


def _same_until(one: Replayed, other: Replayed, stop: int) -> None:
    for name in ("expected", "lower", "upper", "rarity", "anomalous", "alert", "direction"):
        np.testing.assert_array_equal(getattr(one, name)[:stop], getattr(other, name)[:stop], err_msg=name)


@pytest.mark.parametrize("cadence", [1800, HOUR, DAY])
def test_changing_everything_after_a_time_changes_no_verdict_up_to_it(cadence: int) -> None:
    usual = _with_drop(_orders(cadence=cadence), 400)
    stop = len(usual.timestamp) * 2 // 3 + 5
    changed = usual.value.copy()
    changed[stop:] = -1e6
    jittered = usual.timestamp.copy()
    jittered[stop:] += 7 * cadence
    for future in (
        Recorded("changed", usual.timestamp, changed),
        Recorded("later", jittered, usual.value),
        Recorded("shorter", usual.timestamp[:stop], usual.value[:stop]),
        Recorded("silent", usual.timestamp, np.where(np.arange(len(changed)) < stop, usual.value, np.nan)),
    ):
        (one,), (other,) = replay([usual]), replay([future])
        _same_until(one, other, stop)


@pytest.mark.parametrize("detector", DETECTORS)
def test_no_detector_leaks_the_future_through_the_nightly_trainings(detector: str) -> None:
    """The verdicts lie between two trainings, each on all that was there by then."""
    usual = _with_drop(_orders(weeks=3), 400)
    stop, from_night = 20 * 24 + 5, 18.2 / 21
    changed = np.where(np.arange(len(usual.value)) < stop, usual.value, 1e6 * usual.value[::-1])
    (one,), (other,), (shorter,) = (
        replay([Recorded("orders", usual.timestamp[: len(values)], values)], detector=detector, train_fraction=share)
        for values, share in (
            (usual.value, from_night),
            (changed, from_night),
            (usual.value[:stop], from_night * len(usual.value) / stop),
        )
    )
    assert np.isfinite(one.rarity[stop - 24 : stop]).all()
    _same_until(one, other, stop)
    _same_until(one, shorter, stop)


def test_series_replayed_together_are_judged_as_alone() -> None:
    group = [
        _with_drop(_orders(), 600),
        _orders(weeks=3, seed=2),
        _orders(seed=3, cadence=1800),
        Recorded("later", times(900, HOUR, START + 3 * WEEK), _orders(6, seed=4).value[:900]),
        Recorded("short", times(5), np.ones(5)),
        Recorded("empty", times(0), np.ones(0)),
    ]
    for alone, together in zip([replay([one])[0] for one in group], replay(group), strict=True):
        np.testing.assert_allclose(together.rarity, alone.rarity, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(together.alert, alone.alert)


def test_a_drop_is_told_once_and_stays_anomalous_until_it_is_over() -> None:
    at = 4 * 168 + 50
    (judged,) = replay([_with_drop(_orders(), at)], alerts_per_week=0.02)
    assert np.flatnonzero(judged.alert[at - 24 : at + 24]).tolist() == [24]
    assert judged.anomalous[at : at + 4].all()
    assert not judged.anomalous[at + 12 : at + 24].any()


def test_nothing_is_judged_before_there_is_ground_for_it() -> None:
    (judged,) = replay([_orders()])
    first = np.flatnonzero(np.isfinite(judged.rarity))[0]
    assert 2 * DAY <= judged.timestamp[first] - judged.timestamp[0] < 3 * DAY


def test_a_smaller_budget_makes_fewer_alerts() -> None:
    series = [_orders(8, seed) for seed in range(6)]
    told = [sum(one.alert.sum() for one in replay(series, alerts_per_week=budget)) for budget in (7.0, 1.0, 0.05)]
    assert told[0] > told[1] >= told[2]


def test_what_is_only_to_be_learned_from_is_not_judged() -> None:
    one = _orders()
    until = int(one.timestamp[500])
    (by_time,), (by_share,) = replay([one], train_until=until), replay([one], train_fraction=500 / len(one.value))
    assert np.isnan(by_time.rarity[:500]).all()
    assert np.isfinite(by_time.rarity[500:]).all()
    _same_until(by_time, by_share, len(one.value))


def test_an_incident_does_not_teach_the_baseline() -> None:
    """A drop of most of a night is masked from the nightly training, so the same hour later is expected as before."""
    usual = _orders(6)
    dropped = _with_drop(usual, 4 * 168 + 30, 10)
    (clean,), (hit,) = replay([usual]), replay([dropped])
    after = slice(4 * 168 + 72, 4 * 168 + 168)
    assert np.abs(hit.expected[after] / clean.expected[after] - 1).max() < 0.1


def _conversion(weeks: int = 6) -> Recorded:
    """A ratio of one true rate, of 20 events in hours of the night and 20,000 at noon."""
    timestamp = times(weeks * 168)
    events = np.round(20 * 1_000 ** np.clip(np.sin(np.pi * (timestamp // HOUR % 24 - 5) / 14), 0, 1) ** 0.5)
    value = np.random.default_rng(3).binomial(events.astype(int), 0.05) / events
    return Recorded("conversion", timestamp, value, events)


def test_a_ratio_is_replayed_with_the_events_behind_it() -> None:
    """What few events do by chance in a night is as common as what many do at noon."""
    one = _conversion()
    (known,), (unknown,) = replay([one]), replay([Recorded("conversion", one.timestamp, one.value)])
    judged = slice(4 * 168, None)
    night = (one.timestamp // HOUR % 24 < 5)[judged]
    width, ignorant = ((each.upper - each.lower)[judged] for each in (known, unknown))
    assert np.median(width[night]) > 10 * np.median(width[~night])
    assert np.median(ignorant[night]) < 10 * np.median(ignorant[~night])


def test_a_ratio_beside_a_series_without_events_changes_neither() -> None:
    pair = [_conversion(), _orders(6)]
    for alone, together in zip([replay([one])[0] for one in pair], replay(pair), strict=True):
        np.testing.assert_allclose(together.rarity, alone.rarity, rtol=1e-6, atol=1e-6)


def test_the_weights_of_a_file_are_read(tmp_path: Path) -> None:
    rows = [["0", "0.5", "10"], ["60", "0.4", ""], ["120", "", "3"]]
    recorded = read_table(_write(tmp_path / "ratio.csv", rows, "timestamp,value,weight")).recorded
    assert recorded.weight is not None
    np.testing.assert_array_equal(recorded.weight, [10.0, np.nan, 3.0])
    with pytest.raises(UnreadableTable, match="line 2: weight is a number of events"):
        read_table(_write(tmp_path / "wrong.csv", [["0", "0.5", "-1"]], "timestamp,value,weight"))


def _write(path: Path, rows: list[list[str]], header: str = "timestamp,value") -> Path:
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return path


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _rows(one: Recorded) -> list[list[str]]:
    return [[str(at), repr(value)] for at, value in zip(one.timestamp.tolist(), one.value.tolist(), strict=True)]


def test_each_row_of_a_file_gets_a_judged_row(tmp_path: Path) -> None:
    one = _with_drop(_orders(), 700)
    summary = backtest([_write(tmp_path / "orders.csv", _rows(one))], tmp_path / "out")
    rows = _read(tmp_path / "out" / "orders.csv")
    assert [row["timestamp"] for row in rows] == [str(at) for at in one.timestamp.tolist()]
    assert list(rows[0]) == ["timestamp", "value", "expected", "lower", "upper", "rarity_weeks", "anomalous", "alert"]
    (judged,) = replay([one])
    assert float(rows[700]["rarity_weeks"]) == pytest.approx(10 ** judged.rarity[700], rel=1e-4)
    assert rows[700]["alert"] == rows[700]["anomalous"] == "1"
    assert rows[0]["rarity_weeks"] == ""
    assert summary.alerts == judged.alert.sum() == sum(row["alert"] == "1" for row in rows)


def test_times_may_be_rfc_3339_and_values_missing(tmp_path: Path) -> None:
    one = _orders()
    rows = _rows(one)
    for row in rows:
        row[0] = datetime.fromtimestamp(int(row[0]), UTC).isoformat().replace("+00:00", "Z")
    for row, missing in zip(rows[650:653], ["", "NaN", "null"], strict=True):
        row[1] = missing
    backtest([_write(tmp_path / "orders.csv", rows)], tmp_path / "out")
    written = _read(tmp_path / "out" / "orders.csv")
    assert [row["timestamp"] for row in written] == [row[0] for row in rows]
    for judged in written[650:653]:
        assert (judged["rarity_weeks"], judged["anomalous"], judged["alert"]) == ("", "0", "0")
        assert judged["expected"] != ""
    assert written[653]["rarity_weeks"] != ""


def test_disorder_and_repeats_are_judged_as_the_sorted_stream(tmp_path: Path) -> None:
    """Guarantee 5, for files: rows stay where they were, of one time the last row counts, and the summary says so."""
    one = _with_drop(_orders(), 700)
    rows = _rows(one)
    wrong = [rows[700][0], "99999"]
    messy = [wrong, *reversed(rows)]
    backtest([_write(tmp_path / "tidy.csv", rows)], tmp_path / "out")
    summary = backtest([_write(tmp_path / "messy.csv", messy)], tmp_path / "out")
    tidy, written = _read(tmp_path / "out" / "tidy.csv"), _read(tmp_path / "out" / "messy.csv")
    assert written[1:] == tidy[::-1]
    assert written[0]["alert"] == "0"
    assert len(summary.tables[0].remarks) == 2


def test_labels_are_compared_with_the_alerts(tmp_path: Path) -> None:
    one = _with_drop(_orders(), 700)
    rows = [[*row, "1" if 700 <= index < 704 or index == 800 else "0"] for index, row in enumerate(_rows(one))]
    path = _write(tmp_path / "orders.csv", rows, "timestamp,value,label")
    summary = backtest([path], alerts_per_week=0.1, train_fraction=0.5)
    verified = summary.verified
    assert verified is not None
    assert (verified.segments, verified.found) == (2, 1)


def test_files_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    paths = [tmp_path / place / "orders.csv" for place in ("shop", "market")]
    for path in paths:
        path.parent.mkdir()
        _write(path, _rows(_orders(1)))
    summary = backtest(paths, tmp_path / "out")
    assert [table.output.name for table in summary.tables if table.output] == ["orders.csv", "orders-2.csv"]


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    path = _write(tmp_path / "orders.csv", _rows(_orders(1)))
    with pytest.raises(UnreadableTable, match="overwritten"):
        backtest([path], tmp_path)


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("", "needs the header"),
        ("time,value\n1,2\n", "no column timestamp"),
        ("timestamp,value\nyesterday,2\n", "line 2: the timestamp is neither RFC 3339 nor unix seconds"),
        ("timestamp,value\n\n1,2\n\n2,two\n", "line 5: value must be"),
        ("timestamp,value\n1760000400000,2\n", "line 2: .* from 1970 to 2100: it looks like milliseconds"),
        ("timestamp,value\n1,2\nnan,2\n", "line 3: the timestamp does not lie from 1970 to 2100"),
        ("timestamp;value\n1;2,5\n", "divided by semicolons"),
        (
            "metric,country,timestamp,value\norders,DE,1,2\norders,FR,1,5\n",
            "told apart by metric, country",
        ),
        ("timestamp,value\n1,2\n2,two\n", "line 3: value must be"),
        ("timestamp,value\n1,2,3\n", "line 2: 3 cells"),
    ],
)
def test_an_unreadable_file_is_refused_with_line_and_cure(tmp_path: Path, text: str, cure: str) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(text)
    with pytest.raises(UnreadableTable, match=cure):
        backtest([path])


def test_a_further_column_that_tells_nothing_apart_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("timestamp,value,note\n1,2,\n2,3,sale\n2,4,sale\n")
    assert read_table(path).recorded.value.tolist() == [2.0, 4.0]


def test_times_without_a_zone_are_of_the_one_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("timestamp,value\n2026-01-05 01:00,1\n2026-01-05T01:00:00Z,2\n")
    times = read_table(path, ZoneInfo("Europe/Berlin")).recorded.timestamp
    assert times.tolist() == [1767571200, 1767574800]


def test_a_file_without_rows_has_nothing_to_say(tmp_path: Path) -> None:
    path = _write(tmp_path / "orders.csv", [])
    path.write_text("timestamp,value\n")
    summary = backtest([path], tmp_path / "out")
    assert (summary.alerts, summary.alerts_per_week) == (0, 0.0)
    assert _read(tmp_path / "out" / "orders.csv") == []


def test_an_alert_is_right_in_or_beside_a_labelled_segment() -> None:
    label, alert = np.zeros(50, bool), np.zeros(50, bool)
    label[20:25] = label[40:45] = True
    alert[[5, 18, 23]] = True
    verified = verify(alert, label)
    assert (verified.segments, verified.found, verified.false_alarms) == (2, 1, 1)


def test_once_learned_single_events_are_judged_by_what_training_would_choose(tmp_path: Path) -> None:
    timestamp = times(4 * 168)
    value = np.random.default_rng(1).poisson(0.5, len(timestamp)).astype(float)
    learned = 14 * 24
    file = tmp_path / "refunds.csv"
    rows = "".join(f"{time},{number:g}\n" for time, number in zip(timestamp.tolist(), value.tolist(), strict=True))
    file.write_text("timestamp,value\n" + rows)
    backtest([file], tmp_path / "out")
    with (tmp_path / "out" / "refunds.csv").open() as written:
        expected = np.array([float(row["expected"] or "nan") for row in csv.DictReader(written)])
    one = Recorded("refunds", timestamp, value)
    [usual] = replay([one])
    [counted] = replay([one], train_until=int(timestamp[learned]), detector="counts")
    np.testing.assert_allclose(expected[:learned], usual.expected[:learned], rtol=1e-4)
    np.testing.assert_allclose(expected[learned:], counted.expected[learned:], rtol=1e-4)
