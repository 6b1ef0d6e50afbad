"""New normals on a running Heed: real points, real scores, real alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from app.alerts.rules import Delivery
from app.channels.setup import set_up_channels
from app.formats.contract import Floats, Ints
from app.main import Heed
from app.pipeline import desensitise
from app.pipeline.learn import label_alert, revoke_label
from app.pipeline.train import everything, train
from app.store.series import Matcher
from app.store.tables import Alert, Desensitisation, DesensitisedSeries, Notification
from tests.running import DAY, HOUR, MONDAY, Shop, alerts, anomalies, posted, running

pytestmark = pytest.mark.any_database


@pytest.fixture
def heed(database_url: str, tmp_path: Path) -> Iterator[Heed]:
    with running(database_url, tmp_path, allow_private_targets="127.0.0.0/8") as heed:
        yield heed


def daily(times: Ints) -> Floats:
    return np.asarray(100 + 40 * np.sin(2 * np.pi * times / DAY))


def weekly(times: Ints) -> Floats:
    return np.asarray(daily(times) * np.where((times // DAY + 3) % 7 >= 5, 0.6, 1.0))


@dataclass
class Stream:
    """A series of any shape and cadence, posted as it happens."""

    heed: Heed
    shape: Callable[[Ints], Floats]
    cadence: int = HOUR
    noise: float = 3.0
    level: Callable[[Floats], Floats] = field(default=lambda values: values)
    now: int = field(default=MONDAY, init=False)

    def send(self, hours: float, *, factor: float = 1.0, at_once: bool = False) -> None:
        count = round(hours * HOUR / self.cadence)
        times = self.now + self.cadence * np.arange(count)
        self.now += self.cadence * count
        noise = np.random.default_rng(int(times[0])).normal(0, self.noise, count)
        values = factor * self.level(self.shape(times) + noise)
        delivery = Delivery.SILENT if at_once else None
        a_post = count if at_once else max(1, min(count // 16, 6 * HOUR // self.cadence))
        for part in [slice(n, n + a_post) for n in range(0, count, a_post)]:
            self.heed.committer.submit(posted("orders", times[part], values[part]), None, delivery).result()
        self.heed.committer.call(lambda: None)  # the jobs that the last points made due are done

    def has_history(self, weeks: int = 4) -> None:
        self.send(weeks * 168, at_once=True)
        train(self.heed.committer, now=self.heed.clock.now(), reason="test", wanted=everything)
        self.send(6)


def new_normal(heed: Heed, **more: object) -> int:
    wanted = desensitise.NewNormal(
        reason="new prices",
        author="ops",
        now=heed.clock.now(),
        series_id=1,
        **more,  # type: ignore[arg-type]
    )
    return desensitise.begin(heed.committer, wanted)


def member(heed: Heed) -> DesensitisedSeries:
    with heed.database.reading() as session:
        return session.scalars(sa.select(DesensitisedSeries)).one()


def told(heed: Heed) -> list[Alert]:
    """Of the series that settles."""
    return [alert for alert in alerts(heed) if alert.kind == "anomaly" and alert.title.startswith("orders")]


def by_difference(values: Floats) -> Floats:
    return values + 40


def somebody_answered_about_something_else(heed: Heed) -> None:
    """A false alarm on a series of another metric."""
    shop = Shop(heed, metric="visits")
    shop.has_history(4)
    train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)
    shop.send(3, factor=1.4)
    newest = alerts(heed)[-1]
    assert newest.title.startswith("visits")
    label_alert(heed, newest.id, "false_alarm", author="ana", source="api", now=heed.clock.now(), confirmed=True)


@pytest.mark.parametrize(
    ("shape", "cadence", "level", "season"),
    [
        pytest.param(daily, HOUR, lambda v: 1.4 * v, DAY, id="hourly, up by a factor"),
        pytest.param(daily, HOUR, lambda v: 0.6 * v, DAY, id="hourly, down by a factor"),
        pytest.param(daily, HOUR, by_difference, DAY, id="hourly, up by a difference"),
        pytest.param(weekly, HOUR, lambda v: 1.4 * v, 7 * DAY, id="weekly, up by a factor"),
        pytest.param(weekly, HOUR, lambda v: 0.6 * v, 7 * DAY, id="weekly, down by a factor"),
        pytest.param(daily, 300, lambda v: 1.4 * v, DAY, id="five minutes, up by a factor"),
    ],
)
def test_a_permanent_step_settles_within_two_seasons_with_at_most_one_more_alert_and_a_further_fall_is_told(
    heed: Heed, shape: Callable[[Ints], Floats], cadence: int, level: Callable[[Floats], Floats], season: int
) -> None:
    """Guarantee 33."""
    stream = Stream(heed, shape, cadence)
    stream.has_history()
    settles_with_at_most_one_more_alert(stream, level, season)


@pytest.mark.parametrize("factor", [1.4, 0.6])
def test_a_permanent_step_settles_as_well_where_labels_of_other_series_stand(heed: Heed, factor: float) -> None:
    """Guarantee 33."""
    stream = Stream(heed, weekly)
    stream.has_history()
    somebody_answered_about_something_else(heed)
    settles_with_at_most_one_more_alert(stream, lambda values: factor * values, 7 * DAY)


def settles_with_at_most_one_more_alert(stream: Stream, level: Callable[[Floats], Floats], season: int) -> None:
    heed = stream.heed
    stream.level = level
    while not told(heed) and stream.now < MONDAY + 40 * 7 * DAY:
        stream.send(1)
    new_normal(heed)
    assert [each.status for each in told(heed)] == ["closed"]
    stream.send(2 * season / HOUR)
    assert len(told(heed)) <= 2
    ended = member(heed)
    assert ended.outcome == "settled"
    assert ended.ended_at is not None
    assert ended.ended_at <= ended.started_at + timedelta(seconds=2 * season + 2 * HOUR)


@pytest.mark.parametrize("answered", [False, True])
def test_what_is_mild_is_tolerated_while_a_series_settles_whatever_was_answered_elsewhere(
    heed: Heed, answered: bool
) -> None:
    stream = Stream(heed, daily)
    stream.has_history()
    if answered:
        somebody_answered_about_something_else(heed)
    stream.send(3, factor=1.4)
    new_normal(heed)
    stream.send(1, factor=1.4)
    stream.send(2, factor=1.15 * 1.4)  # told of a series that doesn't settle
    stream.send(4, factor=1.4)
    assert anomalies(heed)[-1].outcome == "tolerated"
    assert len(told(heed)) == 1


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("factor", [1.4, 0.6])
def test_a_further_fall_while_it_settles_is_told(heed: Heed, factor: float, answered: bool) -> None:
    """Guarantee 33."""
    stream = Stream(heed, daily)
    stream.has_history()
    if answered:
        somebody_answered_about_something_else(heed)
    stream.send(3, factor=factor)
    new_normal(heed)
    stream.send(9, factor=factor)
    assert 0.1 < member(heed).progress < 0.9
    before = len(told(heed))
    assert before <= 2
    stream.send(6, factor=factor)
    stream.send(3, factor=0.7 * factor)
    assert [each.direction for each in anomalies(heed) if each.ended_at is None and each.alert_id] == [-1]


def test_tolerance_is_wider_while_a_series_settles_and_survives_a_restart(database_url: str, tmp_path: Path) -> None:
    widths = []
    with running(database_url, tmp_path) as heed:
        stream = Stream(heed, daily)
        stream.has_history()
        stream.send(3, factor=1.4)
        widths.append(heed.committer.partitions[0].tolerance_up[0])
        new_normal(heed)
        widths.append(heed.committer.partitions[0].tolerance_up[0])
        stream.send(12, factor=1.4)
        now = stream.now
        widths.append(heed.committer.partitions[0].tolerance_up[0])
        expected = stored_state(heed)
    assert widths[1] > widths[2] > widths[0]
    with running(database_url, tmp_path) as heed:
        assert heed.committer.partitions[0].tolerance_up[0] == widths[2]
        assert stored_state(heed) == pytest.approx(expected)
        again = Stream(heed, daily)
        again.now = now
        again.send(14, factor=1.4)
        assert member(heed).outcome == "settled"


def stored_state(heed: Heed) -> list[float]:
    model = heed.committer.partitions[0].models[0]
    return [float(model.baseline["center"][0]), float(model.state["level"][0]), float(model.state["held"][0])]


def test_what_has_settled_is_said_once(heed: Heed) -> None:
    stream = Stream(heed, daily)
    stream.has_history()
    stream.send(3, factor=1.4)
    new_normal(heed)
    has_a_channel(heed)
    stream.send(48, factor=1.4)
    said = [alert for alert in alerts(heed) if alert.kind == "data"]
    assert [alert.title for alert in said] == ["orders has settled at the new level"]
    with heed.database.reading() as session:
        reasons = session.scalars(sa.select(Notification.reason).where(Notification.alert_id == said[0].id)).all()
        assert session.scalars(sa.select(Desensitisation.ended_at)).one() is not None
    assert reasons == ["settled"]


def test_series_that_settle_together_are_named_by_their_metrics(heed: Heed) -> None:
    stream, shop = Stream(heed, daily), Shop(heed, metric="visits")
    stream.has_history()
    shop.has_history(4)
    whole = desensitise.NewNormal(
        reason="new prices", author="ops", now=heed.clock.now(), matcher=Matcher("*"), longest=timedelta(hours=24)
    )
    desensitise.begin(heed.committer, whole)
    for _ in range(5):
        stream.send(6)
        shop.send(6)
    assert alerts(heed)[-1].title.startswith("2 series of orders and visits have ")


def has_a_channel(heed: Heed) -> None:
    with heed.database.writing() as session:
        set_up_channels(session, heed.vault, {"webhook": "http://127.0.0.1:9/heed"}, datetime.now(UTC))


def test_one_that_never_settles_ends_at_its_longest_and_says_so(heed: Heed) -> None:
    """Guarantee 33."""
    stream = Stream(heed, daily)
    stream.has_history()
    stream.send(3, factor=1.4)
    new_normal(heed, longest=timedelta(hours=10))
    stream.send(14, factor=1.4)
    assert member(heed).outcome == "expired"
    assert heed.committer.partitions[0].tolerance_up[0] == 0
    assert "not settled" in alerts(heed)[-1].title


def test_later_trainings_keep_the_new_level_too(heed: Heed) -> None:
    stream = Stream(heed, daily)
    stream.has_history()
    stream.send(3, factor=1.4)
    new_normal(heed)
    stream.send(40, factor=1.4)
    train(heed.committer, now=heed.clock.now(), reason="nightly", wanted=everything)
    assert heed.committer.partitions[0].models[0].baseline["center"][0] == pytest.approx(140, rel=0.05)


def test_one_that_is_taken_back_leaves_no_trace(heed: Heed) -> None:
    """Guarantee 33."""
    stream = Stream(heed, daily)
    stream.has_history()
    stream.send(3, factor=1.4)
    number = new_normal(heed)
    desensitise.take_back(heed.committer, number, by="ops", now=heed.clock.now())
    partition = heed.committer.partitions[0]
    assert partition.tolerance_up[0] == 0
    assert partition.models[0].baseline["center"][0] == pytest.approx(100, rel=0.05)


def test_one_that_a_label_made_ends_with_the_label(heed: Heed) -> None:
    stream = Stream(heed, daily)
    stream.has_history()
    stream.send(3, factor=1.4)
    label = label_alert(heed, told(heed)[0].id, "false_alarm", author="ana", source="api", now=heed.clock.now())
    start = told(heed)[0].started_at
    new_normal(heed, label_id=label.label_id, start=start)
    partition = heed.committer.partitions[0]
    assert partition.models[0].baseline["center"][0] == pytest.approx(140, rel=0.05)
    revoke_label(heed, label.label_id or 0, by="ana", now=heed.clock.now())
    assert partition.tolerance_up[0] == 0
    desensitise.follow(heed.committer, heed.clock.now())
    assert partition.models[0].baseline["center"][0] == pytest.approx(100, rel=0.05)


@pytest.mark.parametrize(("hours", "offer"), [(4, None), (16, "new_normal")])
def test_heed_itself_offers_a_new_normal_after_a_shift_that_lasts(heed: Heed, hours: int, offer: str | None) -> None:
    stream = Stream(heed, daily)
    stream.has_history()
    stream.send(hours, factor=1.4)
    stream.send(4, factor=1.4 if offer else 1.0)
    assert told(heed)[0].offer == offer
