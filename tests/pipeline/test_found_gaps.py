"""Gaps that nobody declared: a source falls silent, or to zero. It is one alert, and no trace once repaired."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from app.alerts.rules import Delivery
from app.clock import wall_now
from app.errors import Unprocessable
from app.formats.contract import PostedPoints
from app.main import Heed
from app.pipeline.creations import Wanted
from app.pipeline.erase import erase_series
from app.pipeline.gaps import declare, end, take_back
from app.pipeline.learn import label_alert, revoke_label
from app.pipeline.train import everything, train
from app.security import Bearer, Scope
from app.store import tokens
from app.store.happenings import series_ids_of
from app.store.series import Matcher, find, identity
from app.store.tables import Alert, Gap, Retrain
from tests.running import HOUR, MONDAY, Shop, notification_reasons, posted, running

pytestmark = pytest.mark.any_database

HISTORY = 4 * 168 + 5  # five in the morning, after the nightly training
COUNTRIES = ("DE", "FR", "GB")
QUIET: dict[str, Any] = {
    "alerts_per_week": 0.02,
    "webhook_url": "http://127.0.0.1:9/",
    "allow_private_targets": "127.0.0.0/8",
}


@pytest.fixture
def heed(database_url: str, tmp_path: Path) -> Iterator[Heed]:
    with running(database_url, tmp_path, **QUIET) as heed:
        yield heed


@dataclass
class Source:
    """Everything that one token sends, hour by hour in one go."""

    heed: Heed
    name: str
    metrics: tuple[str, ...] = ("orders",)
    countries: tuple[str, ...] = COUNTRIES
    bearer: Bearer = field(init=False)
    shops: list[Shop] = field(init=False)

    def __post_init__(self) -> None:
        with self.heed.database.writing() as session:
            token, _ = tokens.issue(session, name=self.name, scope=Scope.INGEST, new_series_limit=100, now=wall_now())
            self.bearer = Bearer(token.id, token.name, Scope.INGEST, 100)
        self.shops = [
            Shop(self.heed, country, metric, seed=seed)
            for metric in self.metrics
            for seed, country in enumerate(self.countries, 1)
        ]
        for shop in self.shops:
            shop.send(HISTORY, at_once=True, delivery=Delivery.SILENT, bearer=self.bearer)

    def send(self, hours: int, factor: float = 1.0) -> None:
        for _ in range(hours):
            for shop in self.shops:
                shop.send(1, factor=factor, bearer=self.bearer)

    def loses(self, hours: int) -> None:
        for shop in self.shops:
            shop.clock += hours

    def sends_late(self, hours: int, ago: int) -> None:
        """So many hours that began so long before the next one to be sent."""
        for shop in self.shops:
            shop.clock -= ago
            shop.send(hours, at_once=True, bearer=self.bearer)
            shop.clock += ago - hours


def learned(heed: Heed) -> None:
    train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)


def told(heed: Heed, kind: str) -> list[Alert]:
    with heed.database.reading() as session:
        return list(session.scalars(sa.select(Alert).where(Alert.kind == kind).order_by(Alert.id)))


def gaps(heed: Heed) -> list[Gap]:
    with heed.database.reading() as session:
        return list(session.scalars(sa.select(Gap).order_by(Gap.id)))


def baseline(heed: Heed, shop: Shop) -> np.ndarray:
    """What is expected at each hour of the week."""
    with heed.database.reading() as session:
        [series] = find(session, Matcher(shop.metric, {"country": [shop.country]}), limit=1)
    partition = heed.committer.partitions[0]
    slot = int(partition.slots_of([series.id])[0])
    model = partition.models[int(partition.columns["model"][slot])]
    row = int(partition.columns["row"][slot])
    return np.asarray(model.baseline["profile"][row] * model.baseline["unit"][row] + model.baseline["center"][row])


@pytest.mark.parametrize("declared", [False, True], ids=["found", "declared"])
def test_a_day_of_lost_data_that_is_sent_late_is_one_alert_and_leaves_no_trace(heed: Heed, *, declared: bool) -> None:
    """Guarantee 31, on a source of six series that loses 24 hours, and a twin of each that loses nothing.

    Measured: the baselines are the same to the last digit, of the found gap and of the declared one.
    """
    losing, twin = Source(heed, "checkout", ("orders", "payments")), Source(heed, "twin", ("twin",))
    learned(heed)
    for source in (losing, twin):
        source.send(10)
    losing.loses(24)
    twin.send(1)
    if declared:
        declare(heed.committer, a_gap("the exporter is down", heed.clock.now()), heed.clock.now())
    twin.send(23)
    [gap], [alert] = gaps(heed), told(heed, "data")
    assert (gap.origin, alert.status) == ("declared" if declared else "silence", "firing")
    if not declared:
        assert alert.title == "checkout has been silent since Mon 2 Feb, 14:00 (UTC): 6 series"
    for _ in range(4):
        losing.send(1)
        twin.send(1)
    if declared:
        end(heed.committer, gap.id, at=heed.clock.now() - timedelta(hours=3), now=heed.clock.now(), by="ana")
    [gap], [alert] = gaps(heed), told(heed, "data")
    assert (gap.ended_by, gap.filled_at) == ("ana" if declared else "the points that came back", None)
    assert alert.status == "resolved"
    losing.sends_late(24, ago=28)
    for source in (losing, twin):
        source.send(1)
    assert gaps(heed)[0].filled_at is not None
    assert told(heed, "anomaly") == []
    learned(heed)
    for shop, other in zip(losing.shops, [*twin.shops, *twin.shops], strict=True):
        np.testing.assert_allclose(baseline(heed, shop), baseline(heed, other), rtol=0.01)


def a_gap(reason: str, now: datetime) -> Gap:
    """Of all series whose metric is one of the source's."""
    return Gap(
        metric="*s",
        dimensions={},
        started_at=now,
        reason=reason,
        origin="declared",
        author="ana",
        created_at=now,
        retrain_when_backfilled=False,
    )


def test_a_declared_gap_is_told_in_the_time_of_its_series(sqlite_template: Path, tmp_path: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "heed.db")
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path, timezone="Asia/Tokyo", **QUIET) as heed:
        Shop(heed).send(48, at_once=True, delivery=Delivery.SILENT)
        declare(heed.committer, a_gap("the exporter is down", heed.clock.now()), heed.clock.now())
        (alert,) = told(heed, "data")
    since = "Wed 7 Jan, 08:00 (Tokyo time)"
    assert alert.title == f"Data of 1 series of *s are lost or wrong since {since}: the exporter is down"


def test_the_series_of_a_silent_metric_are_named_where_the_source_sends_others(heed: Heed) -> None:
    source = Source(heed, "shop", ("orders", "payments"))
    source.send(10)
    for _ in range(6):
        for shop in source.shops[3:]:
            shop.send(1, bearer=source.bearer)
    assert [each.title for each in told(heed, "data")] == [
        "orders has been silent since Mon 2 Feb, 14:00 (UTC): 3 series"
    ]


def test_what_falls_silent_later_belongs_to_the_same_gap(heed: Heed) -> None:
    source, other = Source(heed, "shop", ("orders", "payments")), Source(heed, "other", ("other",))
    source.send(10)
    other.send(10)
    for shop in source.shops[3:]:
        shop.send(2, bearer=source.bearer)
    other.send(8)
    [gap], [alert] = gaps(heed), told(heed, "data")
    with heed.database.reading() as session:
        assert series_ids_of(session, gap).size == 6
    assert alert.title.startswith("shop has been silent")


def test_sources_that_fall_silent_in_the_same_minute_are_one_gap(heed: Heed) -> None:
    """As when the way to Heed is cut: not one alert for each producer."""
    sources = [Source(heed, name, (name,), countries=("DE",)) for name in ("shop", "app", "till")]
    other = Source(heed, "other", ("other",), countries=("DE",))
    for _ in range(10):
        for source in (*sources, other):
            source.send(1)
    other.send(6)
    assert [each.title for each in told(heed, "data")] == [
        "3 sources have been silent since Mon 2 Feb, 14:00 (UTC): 3 series"
    ]
    take_back(heed.committer, gaps(heed)[0].id, by="ana", now=heed.clock.now())
    other.send(3)
    assert len(gaps(heed)) == 1


def test_one_series_of_many_that_falls_silent_tells_nobody(heed: Heed) -> None:
    source = Source(heed, "shop")
    source.send(10)
    for _ in range(30):
        for shop in source.shops[1:]:
            shop.send(1, bearer=source.bearer)
    assert (gaps(heed), told(heed, "data")) == ([], [])


def test_all_series_at_zero_are_one_alert_at_once_and_it_leaves_open_what_it_is(heed: Heed) -> None:
    source = Source(heed, "shop")
    learned(heed)
    source.send(10)
    together(source, [0.0])
    [alert] = told(heed, "data")
    assert (alert.severity, alert.status) == ("critical", "firing")
    assert alert.title == (
        "orders is 0 in all 3 series since Mon 2 Feb, 15:00 (UTC), "
        "where zeros are almost unknown: an outage, or lost data"
    )
    together(source, [0.0] * 5)
    assert told(heed, "anomaly") == []
    together(source, [1.0] * 4)
    [gap], [alert] = gaps(heed), told(heed, "data")
    assert (gap.origin, gap.ended_by, alert.status) == ("zeros", "the points that came back", "resolved")
    assert told(heed, "anomaly") == []


def test_a_lone_series_at_zero_is_an_anomaly_and_no_gap(heed: Heed) -> None:
    source = Source(heed, "shop", countries=("DE",))
    learned(heed)
    source.send(10)
    together(source, [0.0] * 3)
    assert (len(told(heed, "anomaly")), gaps(heed)) == (1, [])


def test_a_gap_that_was_none_is_judged_and_not_found_again(heed: Heed) -> None:
    source = Source(heed, "shop")
    learned(heed)
    source.send(10)
    together(source, [0.0] * 2)
    take_back(heed.committer, gaps(heed)[0].id, by="ana", now=heed.clock.now())
    together(source, [0.0] * 3)
    [alert] = told(heed, "anomaly")
    assert (alert.status, alert.series_count) == ("firing", 3)
    assert (len(gaps(heed)), told(heed, "data")[0].status) == (1, "resolved")


def test_zeros_that_late_points_replace_leave_no_trace(heed: Heed) -> None:
    """Guarantee 31."""
    losing, twin = Source(heed, "shop"), Source(heed, "twin", ("twin",))
    learned(heed)
    for source in (losing, twin):
        source.send(10)
    together(losing, [0.0] * 8)
    together(losing, [1.0] * 4)
    twin.send(12)
    assert gaps(heed)[0].filled_at is None
    losing.sends_late(8, ago=12)
    for source in (losing, twin):
        source.send(1)
    assert gaps(heed)[0].filled_at is not None
    assert told(heed, "anomaly") == []
    learned(heed)
    for shop, other in zip(losing.shops, twin.shops, strict=True):
        np.testing.assert_allclose(baseline(heed, shop), baseline(heed, other), rtol=0.01)


def test_a_gap_that_was_found_is_known_after_a_restart(database_url: str, tmp_path: Path) -> None:
    with running(database_url, tmp_path, **QUIET) as heed:
        source = Source(heed, "shop")
        learned(heed)
        source.send(10)
        together(source, [0.0] * 2)
    with running(database_url, tmp_path, **QUIET) as heed:
        for shop in source.shops:
            shop.heed = heed
        together(source, [0.0] * 2)
        assert told(heed, "anomaly") == []
        together(source, [1.0] * 4)
        assert gaps(heed)[0].ended_by == "the points that came back"
        assert told(heed, "anomaly") == []


def together(source: Source, factors: list[float]) -> None:
    """The next hours of all series of a source, each hour in one request."""
    for factor in factors:
        parts = [posted(s.metric, *point_of(s, factor), country=s.country) for s in source.shops]
        joined = PostedPoints(
            [part.identities[0] for part in parts],
            np.arange(len(parts), dtype=np.int32),
            np.concatenate([part.timestamp for part in parts]),
            np.concatenate([part.value for part in parts]),
            np.arange(len(parts)),
            [],
        )
        source.shops[0].heed.committer.submit(joined, source.bearer, None).result()
        for shop in source.shops:
            shop.clock += 1


def point_of(shop: Shop, factor: float) -> tuple[np.ndarray, np.ndarray]:
    hour = np.array([shop.clock])
    return MONDAY + HOUR * hour, factor * shop.values(hour)


def test_zeros_that_were_real_are_judged_without_another_message_and_not_learned(heed: Heed) -> None:
    source = Source(heed, "shop")
    learned(heed)
    before = [baseline(heed, shop) for shop in source.shops]
    source.send(10)
    together(source, [0.0] * 3)
    [alert] = told(heed, "data")
    answer = label_alert(heed, alert.id, "real", author="ana", source="api", now=heed.clock.now())
    assert "judged again, of all its series" in str(answer.receipt["text"])
    together(source, [0.0] * 3 + [1.0] * 4)
    assert [(each.status, each.delivery) for each in told(heed, "anomaly")] == [("resolved", "digest")]
    assert notification_reasons(heed) == ["firing", "resolved"]
    learned(heed)
    for shop, known in zip(source.shops, before, strict=True):
        np.testing.assert_allclose(baseline(heed, shop), known, rtol=0.03)
    revoke_label(heed, answer.label_id or 0, by="ana", now=heed.clock.now())
    assert [each.status for each in told(heed, "anomaly")] == ["withdrawn"]


def test_only_what_can_be_said_of_lost_data_is_taken_as_a_verdict(heed: Heed) -> None:
    source = Source(heed, "shop")
    source.send(10)
    together(source, [0.0])
    [alert] = told(heed, "data")
    with pytest.raises(Unprocessable, match="tells of lost data"):
        label_alert(heed, alert.id, "false_alarm", author="ana", source="api", now=heed.clock.now())
    label_alert(heed, alert.id, "bad_data", author="ana", source="api", now=heed.clock.now())
    assert (told(heed, "data")[0].status, len(gaps(heed))) == ("firing", 1)


@pytest.mark.parametrize("retrain", [True, False])
def test_bad_data_on_the_alert_of_a_found_gap_retrains_its_series_once_it_is_filled_if_asked(
    heed: Heed, *, retrain: bool
) -> None:
    losing, twin = Source(heed, "checkout"), Source(heed, "twin", ("twin",))
    for source in (losing, twin):
        source.send(10)
    losing.loses(12)
    twin.send(12)
    [alert] = told(heed, "data")
    wanted = Wanted(retrain_when_backfilled=retrain)
    signed: dict[str, Any] = {"author": "ana", "source": "api"}
    answer = label_alert(heed, alert.id, "bad_data", wanted=wanted, now=heed.clock.now(), **signed)
    assert "The alert stays open until the gap ends." in answer.receipt["text"]
    assert ("They are trained again then" in str(answer.receipt["text"])) == retrain
    for _ in range(4):
        losing.send(1)
        twin.send(1)
    losing.sends_late(12, ago=16)
    for source in (losing, twin):
        source.send(1)
    [gap] = gaps(heed)
    assert gap.filled_at is not None
    assert (gap.retrained_at is not None) == retrain
    with heed.database.reading() as session:
        asked = session.scalars(sa.select(Retrain.reason)).all()
    assert (f"gap {gap.id} is filled" in asked) == retrain


def test_undoing_bad_data_on_the_alert_of_a_found_gap_leaves_no_retrain_asked_for(heed: Heed) -> None:
    source = Source(heed, "shop")
    source.send(10)
    together(source, [0.0])
    [alert] = told(heed, "data")
    now = heed.clock.now()
    answer = label_alert(heed, alert.id, "bad_data", author="ana", source="api", now=now)
    assert gaps(heed)[0].retrain_when_backfilled
    revoke_label(heed, answer.label_id or 0, by="ana", now=now)
    assert not gaps(heed)[0].retrain_when_backfilled


@pytest.mark.parametrize(
    ("verdict", "said"), [("bad_data", Wanted(name="a name")), ("real", Wanted(retrain_when_backfilled=False))]
)
def test_what_cannot_be_said_of_a_gap_that_was_found_is_refused(heed: Heed, verdict: str, said: Wanted) -> None:
    source = Source(heed, "shop")
    source.send(10)
    together(source, [0.0])
    [alert] = told(heed, "data")
    with pytest.raises(Unprocessable, match="there already"):
        label_alert(heed, alert.id, verdict, author="ana", source="api", wanted=said, now=heed.clock.now())


def test_a_gap_goes_with_the_last_of_its_series_that_is_erased(heed: Heed) -> None:
    source = Source(heed, "shop", countries=("DE", "FR"))
    source.send(10)
    together(source, [0.0])
    [alert] = told(heed, "data")
    label_alert(heed, alert.id, "bad_data", author="ana", source="api", now=heed.clock.now())
    erase_series(heed.committer, 1, by="root")
    assert (len(gaps(heed)), len(told(heed, "data"))) == (1, 1)
    erase_series(heed.committer, 2, by="root")
    assert (gaps(heed), told(heed, "data")) == ([], [])


UNTIDY = [("orders", each) for each in "ABCDEF"] + [("sparse", each) for each in "AB"] + [("lone", "A"), ("night", "A")]


def untidy(rng: np.random.Generator, metric: str, hour: int) -> float | None:
    """A value of one hour, or none: closed on Sundays, full of holes, or zero at night."""
    if (metric == "orders" and hour // 24 % 7 == 6) or rng.random() < {"sparse": 0.5, "lone": 0.15}.get(metric, 0.1):
        return None
    if metric == "night":
        return float(rng.poisson(30)) if hour % 24 >= 5 else 0.0
    return float(100 + 40 * np.sin(2 * np.pi * hour / 24) + rng.normal(0, 3))


@pytest.mark.soak
def test_six_weeks_of_untidy_sources_bring_no_gap_and_their_silence_still_does(heed: Heed) -> None:
    """Metrics that are closed on Sundays, lack points of all series at once, send half of the time, are zero at night.

    Nothing is found in six weeks of them; when the metric that lacks a tenth of its points stops, it is found that day.
    """
    rng = np.random.default_rng(7)

    def send(hours: np.ndarray, metrics: set[str], delivery: Delivery | None = None) -> None:
        found = [
            (place, MONDAY + HOUR * int(hour), value)
            for place, (metric, _) in enumerate(UNTIDY)
            if metric in metrics
            for hour in hours
            if (value := untidy(rng, metric, int(hour))) is not None
        ]
        place, at, values = (np.array(each) for each in zip(*found, strict=True))
        identities = [identity(metric, {"shop": shop}) for metric, shop in UNTIDY]
        points = PostedPoints(identities, place.astype(np.int32), at, values, np.arange(at.size), [])
        heed.committer.submit(points, None, delivery).result()

    every = {metric for metric, _ in UNTIDY}
    send(np.arange(3 * 168), every, Delivery.SILENT)
    for hour in range(3 * 168, 9 * 168 + 34):
        if rng.random() >= 0.02:  # else all of them lack it
            send(np.array([hour]), every)
    assert gaps(heed) == []
    for hour in range(9 * 168 + 34, 9 * 168 + 46):
        send(np.array([hour]), every - {"orders"})
    assert [gap.metric for gap in gaps(heed)] == ["orders"]


def stuck(source: Source, hours: int, *, already: int = 0, series: int = len(COUNTRIES)) -> None:
    """So many of its series go on with their newest value, of `already` hours before, the others as ever."""
    newest = [shop.values(np.array([shop.clock - 1 - already])) for shop in source.shops]
    for _ in range(hours):
        for shop, value in zip(source.shops[:series], newest, strict=False):
            at = np.array([MONDAY + HOUR * shop.clock])
            shop.heed.committer.submit(
                posted(shop.metric, at, value, country=shop.country), source.bearer, None
            ).result()
            shop.clock += 1
        for shop in source.shops[series:]:
            shop.send(1, bearer=source.bearer)


def test_values_that_are_stuck_are_one_alert_and_it_ends_when_they_move(heed: Heed) -> None:
    source = Source(heed, "shop")
    learned(heed)
    source.send(10)
    stuck(source, 4)
    assert gaps(heed) == []
    stuck(source, 2, already=4)
    [gap], [alert] = gaps(heed), told(heed, "data")
    assert (gap.origin, alert.status) == ("stuck", "firing")
    assert alert.title == "orders has not changed at all since Mon 2 Feb, 15:00 (UTC) in 3 series: stuck values"
    source.send(5)
    [gap], [alert] = gaps(heed), told(heed, "data")
    assert (gap.ended_by, alert.status) == ("the points that came back", "resolved")
    assert [each.status for each in told(heed, "anomaly") if each.status == "firing"] == []


def test_one_series_of_many_that_is_stuck_is_told_alone(heed: Heed) -> None:
    source = Source(heed, "shop")
    source.send(10)
    stuck(source, 8, series=1)
    [gap], [alert] = gaps(heed), told(heed, "data")
    assert alert.title == "orders has not changed at all since Mon 2 Feb, 15:00 (UTC) in one series: stuck values"
    with heed.database.reading() as session:
        assert series_ids_of(session, gap).size == 1


def test_a_value_that_often_stays_the_same_is_not_stuck(heed: Heed) -> None:
    """Every day it rests for eight hours: so does it today."""
    source = Source(heed, "shop")
    for _ in range(10):
        source.send(16)
        stuck(source, 8)
    assert [gap for gap in gaps(heed) if gap.started_at.day > 4] == []


def test_corrected_values_fill_the_gap_of_stuck_ones(heed: Heed) -> None:
    source = Source(heed, "shop")
    learned(heed)
    source.send(10)
    stuck(source, 10)
    source.send(5)
    assert gaps(heed)[0].filled_at is None
    source.sends_late(10, ago=15)
    source.send(1)
    assert gaps(heed)[0].filled_at is not None
