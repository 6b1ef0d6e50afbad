"""Anomalies of one cause are one alert: joined, told, labelled and ended together, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from app.alerts.policy import PolicySettings, Resolved
from app.clock import wall_now
from app.errors import Unprocessable
from app.formats.contract import PostedPoints
from app.main import Heed
from app.pipeline import policies
from app.pipeline.alert import describe_alert
from app.pipeline.creations import NOTHING_SAID, Wanted
from app.pipeline.erase import erase_series
from app.pipeline.learn import current_tolerances, label_alert, label_span, revoke_label
from app.pipeline.policies import Draft, current_policies
from app.pipeline.train import everything, train
from app.store import labels as stored_labels
from app.store.desensitisations import widening
from app.store.series import Matcher, identity
from app.store.tables import Alert, Anomaly, Event, Gap, Label, LabelledSeries, Series
from tests.receiver import Receiver, receiving
from tests.running import HOUR, MONDAY, alerts, anomalies, running

pytestmark = pytest.mark.any_database

COUNTRIES = ("DE", "FR", "IT", "ES", "PL", "NL", "BE", "AT", "CH", "SE", "DK", "NO")
ANA: dict[str, Any] = {"author": "ana", "source": "api"}


@dataclass
class World:
    """Hourly orders of twelve countries and their total, an hour a POST. `clock` counts hours from MONDAY."""

    heed: Heed
    metric: str = "orders"
    clock: int = 0
    known: list[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.known = [*(identity(self.metric, {"country": each}) for each in COUNTRIES), identity(self.metric, {})]

    def send(self, hours: int, **factors: float) -> None:
        for hour in range(self.clock, self.clock + hours):
            self.post(np.array([hour]), factors)
        self.clock += hours

    def has_history(self, weeks: int = 5) -> None:
        self.post(np.arange(weeks * 168), {})
        self.clock = weeks * 168
        train(self.heed.committer, now=self.heed.clock.now(), reason="history", wanted=everything)
        self.send(6)

    def post(self, hour: Any, factors: dict[str, float], series: slice = slice(None)) -> None:
        shape = 1 + 0.4 * np.sin(2 * np.pi * hour / 24)
        noise = np.random.default_rng(int(hour[0])).normal(1, 0.02, (len(COUNTRIES), hour.size))
        rows = [100 * shape * noise[row] * factors.get(each, 1.0) for row, each in enumerate(COUNTRIES)]
        rows.append(np.sum(rows, axis=0))
        known, rows = self.known[series], rows[series]
        count = len(rows) * hour.size
        self.heed.committer.submit(
            PostedPoints(
                known,
                np.repeat(np.arange(len(rows), dtype=np.int32), hour.size),
                np.tile(MONDAY + HOUR * hour, len(rows)),
                np.concatenate(rows),
                np.arange(count),
                [],
            ),
            None,
            None,
        ).result()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def world(database_url: str, tmp_path: Path, receiver: Receiver) -> Iterator[World]:
    settings = {"webhook_url": receiver.url, "allow_private_targets": "127.0.0.0/8", "alerts_per_week": 0.02}
    with running(database_url, tmp_path, **settings) as heed:
        world = World(heed)
        world.has_history()
        yield world


def names(world: World) -> dict[int, str]:
    with world.heed.database.reading() as session:
        return {each.id: each.dimensions.get("country", "all") for each in session.scalars(sa.select(Series))}


def countries_of(world: World, alert_id: int) -> set[str]:
    known = names(world)
    return {known[each.series_id] for each in anomalies(world.heed) if each.alert_id == alert_id}


def decades(world: World) -> dict[str, float]:
    """Tolerance of each series against falls."""
    with world.heed.database.reading() as session:
        chosen = current_policies(session, world.heed.committer.rules.policy_defaults)
        learned = current_tolerances(session, world.heed.clock.now(), chosen)
    return {name: learned.of(series_id, "orders", -1) for series_id, name in names(world).items()}


def has_policy(world: World, **settings: Any) -> None:
    draft = Draft("shop", Matcher("orders"), settings)
    world.heed.committer.change_policies(lambda session: policies.create(session, draft, wall_now()))


def test_an_incident_in_three_of_twelve_countries_and_their_total_is_one_message_and_one_end(
    world: World, receiver: Receiver
) -> None:
    world.send(3, DE=0.2, FR=0.2, IT=0.2)
    receiver.wait_for(1)
    world.send(8)
    (alert,) = alerts(world.heed)
    assert countries_of(world, alert.id) == {"DE", "FR", "IT", "all"}
    assert alert.title == "orders and 3 more series are unusually low"
    assert alert.status == "resolved"
    first, last = (request.json for request in receiver.wait_for(2))
    assert len(receiver.requests) == 2
    assert (first["status"], last["status"]) == ("firing", "resolved")
    assert str(first["text"]).startswith("orders fell to ")
    assert all(name in str(first["explained_by"]) for name in ("DE", "FR", "IT"))
    assert len(first["anomalies"]) == 4  # type: ignore[arg-type]


def test_what_begins_much_later_or_goes_the_other_way_is_an_alert_of_its_own(world: World) -> None:
    world.send(1, DE=0.2)
    world.send(1, DE=0.2, PL=3.0)
    world.send(9, DE=0.2)
    world.send(2, DE=0.2, FR=0.2)
    assert [countries_of(world, alert.id) for alert in alerts(world.heed)] == [{"DE", "all"}, {"PL"}, {"FR"}]


def test_what_begins_a_little_later_joins_and_the_alert_ends_with_the_last(world: World) -> None:
    world.send(1, DE=0.2)
    world.send(2, DE=0.2, FR=0.2)
    world.send(4, FR=0.2)
    (alert,) = alerts(world.heed)
    assert {"DE", "FR"} <= countries_of(world, alert.id)
    assert alert.status == "firing"
    world.send(6)
    (alert,) = alerts(world.heed)
    ends = [each.ended_at for each in anomalies(world.heed) if each.alert_id == alert.id and each.ended_at]
    assert (alert.status, alert.ended_at) == ("resolved", max(ends))


def test_where_a_policy_tells_countries_apart_their_total_goes_with_the_first_of_them(
    world: World, receiver: Receiver
) -> None:
    has_policy(world, group_by=["metric", "direction", "country"])
    everything, total, parts = slice(None), slice(len(COUNTRIES), None), slice(len(COUNTRIES))
    for order in ((everything,), (total, parts), (parts, total)):
        for series in order:
            world.post(np.array([world.clock]), {"DE": 0.2, "FR": 0.2}, series)
        world.clock += 1
        world.send(12)
    opened = [alert for alert in alerts(world.heed) if alert.kind == "anomaly"]  # the budget breaks, too
    assert [countries_of(world, alert.id) for alert in opened] == 3 * [{"DE", "all"}, {"FR"}]
    assert {alert.status for alert in opened} == {"resolved"}
    assert {alert.title for alert in opened} == {
        "orders (country DE) and 1 more series are unusually low",
        "orders (country FR) is unusually low",
    }
    told = [request.json for request in receiver.wait_for(13) if request.json["kind"] == "anomaly"]
    assert sorted(str(each["status"]) for each in told) == 6 * ["firing"] + 6 * ["resolved"]
    ends = sorted(str(each["text"]).partition(" is back to normal")[0] for each in told if each["status"] == "resolved")
    assert ends == [f"orders (country {each})" for each in ("DE", "DE", "DE", "FR", "FR", "FR")]
    both = {str(each["text"])[:23] for each in told if str(each["title"]).startswith("orders (country DE)")}
    assert both == {"orders (country DE) fel", "orders (country DE) is "}


def test_without_its_lead_an_alert_is_named_after_the_next_part_that_its_policy_tells_apart() -> None:
    policy = Resolved(PolicySettings(group_by=("metric", "country")), {}, ())
    dimensions = {1: {}, 2: {"country": "DE", "device": "phone"}}
    series = {
        number: Series(id=number, metric="orders", dimensions=those, timezone="UTC", partition=0, slot=number)
        for number, those in dimensions.items()
    }
    begun = datetime(2026, 11, 3, tzinfo=UTC)
    standing = [
        Anomaly(series_id=number, started_at=begun, direction=-1, rarity=2.0, actual=1.0, expected=2.0, impact=0.0)
        for number in series
    ]
    alert = Alert(lead_series_id=3)
    describe_alert(alert, standing, series, policy)
    assert alert.title == "orders (country DE, device phone) and 1 more series are unusually low"


def test_a_verdict_on_an_alert_teaches_each_of_its_series_and_its_undo_leaves_no_trace(world: World) -> None:
    world.send(2, DE=0.2, FR=0.2)
    (alert,) = alerts(world.heed)
    before = decades(world)
    tried = label_alert(world.heed, alert.id, "false_alarm", now=world.heed.clock.now(), dry_run=True, **ANA)
    assert decades(world) == before
    given = label_alert(world.heed, alert.id, "false_alarm", now=world.heed.clock.now(), confirmed=True, **ANA)
    after = decades(world)
    assert given.receipt["series_count"] == tried.receipt["series_count"] == 3
    assert any("all 3 series of the alert" in each for each in given.receipt["text"])
    assert all(after[each] > max(after["PL"], before[each]) for each in ("DE", "FR", "all"))
    (closed,) = alerts(world.heed)
    assert closed.status == "closed"
    assert all(each.ended_at is not None for each in anomalies(world.heed) if each.alert_id == alert.id)
    assert given.label_id is not None
    undone = revoke_label(world.heed, given.label_id, by="ana", now=world.heed.clock.now())
    assert undone.receipt["series_count"] == 3
    assert decades(world) == before


def test_a_verdict_on_one_of_its_series_ends_that_part_alone(world: World) -> None:
    world.send(2, DE=0.2, FR=0.2)
    (alert,) = alerts(world.heed)
    (german,) = [each for each, name in names(world).items() if name == "DE"]
    start, now = alert.started_at, world.heed.clock.now()
    end = start + timedelta(hours=1)
    label_span(world.heed, german, "false_alarm", start=start, end=end, now=now, confirmed=True, **ANA)
    (still,) = alerts(world.heed)
    assert still.status == "firing"
    ended = {each.series_id for each in anomalies(world.heed) if each.alert_id == alert.id and each.ended_at}
    assert ended == {german}


def test_a_real_problem_keeps_all_its_series_from_learning_it(world: World) -> None:
    world.send(1, DE=0.2)
    (alert,) = alerts(world.heed)
    label_alert(world.heed, alert.id, "real", now=world.heed.clock.now(), **ANA)
    world.send(2, DE=0.2, FR=0.2)
    world.send(8)
    known = names(world)
    with world.heed.database.reading() as session:
        spans = stored_labels.labelled_and_open_spans(session)
    assert {known[each] for each in spans.series_id.tolist()} == countries_of(world, alert.id) >= {"DE", "FR"}


def test_an_event_made_from_an_alert_explains_all_its_series(world: World) -> None:
    world.send(2, DE=0.2, FR=0.2)
    (alert,) = alerts(world.heed)
    given = label_alert(world.heed, alert.id, "event", now=world.heed.clock.now(), **ANA)
    assert given.receipt["created"]["kind"] == "event"
    world.send(1, DE=0.2, FR=0.2)
    (alert,) = alerts(world.heed)
    assert alert.status == "closed"


@pytest.mark.parametrize("verdict", ["event", "bad_data", "new_normal"])
def test_a_dry_run_foretells_of_all_its_series_what_the_verdict_then_does(world: World, verdict: str) -> None:
    world.send(2, DE=0.2, FR=0.2)
    (alert,) = alerts(world.heed)
    signed: dict[str, Any] = {"now": world.heed.clock.now(), "confirmed": True, **ANA}
    tried = label_alert(world.heed, alert.id, verdict, dry_run=True, **signed).receipt
    with world.heed.database.reading() as session:
        label = Label(
            verdict=verdict, series_id=alert.lead_series_id, alert_id=alert.id, started_at=alert.started_at,
            ended_at=signed["now"], created_at=signed["now"], author="ana", only=None,
        )  # fmt: skip
        others = [
            LabelledSeries(series_id=each.series_id, started_at=each.started_at, ended_at=each.last_abnormal_at)
            for each in anomalies(world.heed)
            if each.alert_id == alert.id and each.series_id != label.series_id
        ]
        foretold = world.heed.maker.foretell(session, label, NOTHING_SAID, others)
    given = label_alert(world.heed, alert.id, verdict, **signed)
    with world.heed.database.reading() as session:
        stored = session.get_one(Label, given.label_id)
        assert set(foretold.alert_ids) == set(world.heed.maker.standing(session, stored).alert_ids) == {alert.id}
        assert foretold.widened == widening(session)
    assert [each["alert_id"] for each in tried["alerts_no_longer_sent"]["alerts"]] == [alert.id]


def fallen_one_after_the_other(world: World, *, goes_on: bool) -> tuple[Alert, datetime]:
    """Germany falls for three hours, France from the second to the seventh; the alert, and when it began."""
    began = datetime.fromtimestamp(MONDAY + HOUR * world.clock, UTC)
    for hour in range(7 if goes_on else 15):
        factors = ({"DE": 0.1} if hour < 3 else {}) | ({"FR": 0.4} if 1 <= hour < 7 else {})
        world.post(np.array([world.clock]), factors, slice(len(COUNTRIES)))
        world.clock += 1
    (alert,) = alerts(world.heed)
    assert countries_of(world, alert.id) == {"DE", "FR"}
    return alert, began


def when(world: World, kind: type[Event] | type[Gap]) -> tuple[datetime, datetime | None]:
    """From when to when what a label made is."""
    with world.heed.database.reading() as session:
        started_at, ended_at = session.execute(sa.select(kind.started_at, kind.ended_at)).one()
    return started_at, ended_at


@pytest.mark.parametrize("verdict", ["event", "bad_data"])
def test_what_a_verdict_makes_reaches_from_the_first_start_to_the_last_end_of_the_series_of_its_alert(
    world: World, verdict: str
) -> None:
    alert, began = fallen_one_after_the_other(world, goes_on=False)
    given = label_alert(world.heed, alert.id, verdict, now=world.heed.clock.now(), confirmed=True, **ANA)
    assert when(world, Event if verdict == "event" else Gap) == (began, began + timedelta(hours=7))
    assert [each["alert_id"] for each in given.receipt["alerts_no_longer_sent"]["alerts"]] == [alert.id]


def test_what_a_verdict_makes_reaches_back_to_the_first_run_of_a_series_that_had_several(world: World) -> None:
    alert, began = fallen_one_after_the_other(world, goes_on=False)
    hour = timedelta(hours=1)
    with world.heed.database.writing() as session:
        run = session.scalars(sa.select(Anomaly).order_by(Anomaly.started_at)).first()
        columns = {column.key: getattr(run, column.key) for column in Anomaly.__table__.columns if column.key != "id"}
        times = {"started_at": began - 2 * hour, "last_abnormal_at": began - hour, "rarity": 0.0}
        session.add(Anomaly(**(columns | times)))
    label_alert(world.heed, alert.id, "bad_data", now=world.heed.clock.now(), confirmed=True, **ANA)
    assert when(world, Gap) == (began - 2 * hour, began + 7 * hour)


def test_a_gap_stays_open_while_any_series_of_the_labelled_alert_is_still_off(world: World) -> None:
    alert, began = fallen_one_after_the_other(world, goes_on=True)
    label_alert(world.heed, alert.id, "bad_data", now=world.heed.clock.now(), confirmed=True, **ANA)
    assert when(world, Gap) == (began, None)
    world.send(2, FR=0.4)
    assert [each.status for each in alerts(world.heed) if each.kind == "anomaly"] == ["withdrawn"]


def test_an_event_that_leaves_out_a_series_of_the_labelled_alert_is_refused(world: World) -> None:
    alert, began = fallen_one_after_the_other(world, goes_on=False)
    said = Wanted(start=began, end=began + timedelta(hours=3))
    with pytest.raises(Unprocessable, match="must cover all that is labelled"):
        label_alert(world.heed, alert.id, "event", wanted=said, now=world.heed.clock.now(), confirmed=True, **ANA)


def test_an_erased_series_is_named_by_no_alert_that_others_share(world: World) -> None:
    world.send(2, DE=0.2, FR=0.2)
    (alert,) = alerts(world.heed)
    label_alert(world.heed, alert.id, "real", now=world.heed.clock.now(), **ANA)
    for series_id, name in names(world).items():
        if name in ("all", "DE"):
            erase_series(world.heed.committer, series_id, by="ana")
    (alert,) = alerts(world.heed)
    assert alert.title == "orders (country FR) is unusually low"
    with world.heed.database.reading() as session:
        label = session.scalars(sa.select(Label)).one()
        assert label.series_id == alert.lead_series_id
        assert not session.scalar(sa.select(sa.func.count()).select_from(LabelledSeries))
    assert "DE" not in str(label.receipt)
