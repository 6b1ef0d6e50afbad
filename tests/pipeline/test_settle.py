"""Alerts that several events, gaps, new normals and labels are about: what stands decides, whatever came and went."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.clock import wall_now
from app.errors import Conflict
from app.main import Heed
from app.pipeline import desensitise, events, gaps
from app.pipeline.learn import label_alert, label_span, revoke_label
from app.pipeline.notify import enqueue
from app.store.database import Database
from app.store.tables import Alert, Anomaly, Event, Gap, Notification
from tests.pipeline.world import ANA, NOW, World, a_gap, a_series, an_alert, an_event, an_untold_anomaly
from tests.running import running

pytestmark = pytest.mark.any_database

WEBHOOK = {"webhook_url": "http://127.0.0.1:9/", "allow_private_targets": "127.0.0.0/8"}
HOUR = timedelta(hours=1)
TOLD, UNTOLD, SILENT = 1, 2, 3
"""Series: one with an alert, one with an anomaly that nobody was told of, one with an alert that was only recorded."""


@pytest.fixture
def heed(tmp_path: Path, database: Database) -> Iterator[Heed]:
    """A Heed that finds what happened hours ago in its database, and has no points to score it again by."""
    world = World(database)
    an_alert(world, a_series(world, "DE"), is_open=False)
    an_untold_anomaly(world, a_series(world, "FR"), rarity=0.4, outcome="below_threshold")
    an_alert(world, a_series(world, "GB"), is_open=False, delivery="silent")
    with running(database.url.render_as_string(hide_password=False), tmp_path, **WEBHOOK) as heed:
        yield heed


def alert_of(heed: Heed, series_id: int = TOLD) -> Alert:
    with heed.database.reading() as session:
        query = sa.select(Alert).join(Anomaly, Anomaly.alert_id == Alert.id).where(Anomaly.series_id == series_id)
        return session.scalars(query).one()


def told(heed: Heed) -> tuple[str, int | None, int | None]:
    alert = alert_of(heed)
    return alert.status, alert.event_id, alert.gap_id


def declare(heed: Heed, happening: Event | Gap) -> int:
    if isinstance(happening, Event):
        return events.declare(heed.committer, [happening], NOW)[0].id
    return gaps.declare(heed.committer, happening, NOW).id


def label(heed: Heed, verdict: str) -> int:
    label_id = label_alert(heed, alert_of(heed).id, verdict, now=NOW, confirmed=True, **ANA).label_id
    assert label_id is not None
    return label_id


def report(heed: Heed, series_id: int, days_ago: int = 0, now: datetime = NOW) -> int:
    at = NOW - timedelta(days=days_ago)
    label_id = label_span(heed, series_id, "missed", start=at - 4 * HOUR, end=at, now=now, **ANA).label_id
    assert label_id is not None
    return label_id


def undo(heed: Heed, label_id: int) -> None:
    revoke_label(heed, label_id, by="ana", now=NOW)


def take_back(heed: Heed, happening: type[Event] | type[Gap], its_id: int) -> None:
    module = events if happening is Event else gaps
    module.take_back(heed.committer, its_id, by="ana", now=NOW)


def test_an_alert_stays_explained_by_the_second_event_when_the_first_is_taken_back(heed: Heed) -> None:
    """Guarantee 18."""
    first, second = declare(heed, an_event()), declare(heed, an_event())
    assert told(heed) == ("closed", first, None)
    take_back(heed, Event, first)
    assert told(heed) == ("closed", second, None)
    take_back(heed, Event, second)
    assert told(heed) == ("resolved", None, None)


@pytest.mark.parametrize("order", [(Event, Gap), (Gap, Event)])
def test_an_alert_in_an_event_and_a_gap_is_what_the_other_makes_of_it_when_one_is_taken_back(
    heed: Heed, order: tuple[type[Event] | type[Gap], ...]
) -> None:
    """Guarantee 18."""
    for gone, left in ((Event, ("withdrawn", "gap_id")), (Gap, ("closed", "event_id"))):
        ids = {kind: declare(heed, an_event() if kind is Event else a_gap()) for kind in order}
        assert told(heed) == ("withdrawn", ids[Event], ids[Gap])
        take_back(heed, gone, ids.pop(gone))
        status, of = left
        (other,) = ids
        assert (alert_of(heed).status, getattr(alert_of(heed), of)) == (status, ids[other])
        take_back(heed, other, ids[other])
        assert told(heed) == ("resolved", None, None)


def test_an_alert_stays_withdrawn_for_the_second_gap_when_the_first_is_taken_back_and_nobody_is_told(
    heed: Heed,
) -> None:
    """Guarantee 18."""
    with heed.database.writing() as session:
        enqueue(session, alert_of(heed).id, "firing", wall_now())
    first, second = declare(heed, a_gap()), declare(heed, a_gap())
    take_back(heed, Gap, first)
    assert told(heed) == ("withdrawn", None, second)
    assert messages(heed) == ["firing", "withdrawn"]
    take_back(heed, Gap, second)
    assert told(heed) == ("resolved", None, None)
    assert messages(heed) == ["firing", "withdrawn", "updated"]


def messages(heed: Heed) -> list[str]:
    with heed.database.reading() as session:
        of_it = sa.select(Notification.reason).where(Notification.alert_id == alert_of(heed).id)
        return list(session.scalars(of_it.order_by(Notification.step)))


def test_a_gap_that_ends_before_the_alert_no_longer_withdraws_it(heed: Heed) -> None:
    its_id = declare(heed, a_gap((10, None)))
    assert told(heed) == ("withdrawn", None, its_id)
    gaps.end(heed.committer, its_id, at=NOW - timedelta(hours=8), now=NOW, by="ana")
    assert told(heed) == ("resolved", None, None)


def test_bad_data_whose_gap_was_taken_back_first_leaves_the_alert_as_it_was(heed: Heed) -> None:
    """Guarantee 18."""
    label_id = label(heed, "bad_data")
    _, _, gap_id = told(heed)
    assert gap_id is not None
    take_back(heed, Gap, gap_id)
    assert told(heed) == ("withdrawn", None, None)
    undo(heed, label_id)
    assert told(heed) == ("resolved", None, None)


def test_a_label_and_an_event_each_keep_the_alert_closed(heed: Heed) -> None:
    """Guarantee 18."""
    label_id, event_id = label(heed, "event"), declare(heed, an_event())
    undo(heed, label_id)
    assert told(heed) == ("closed", event_id, None)
    label_id = label(heed, "false_alarm")
    take_back(heed, Event, event_id)
    assert told(heed) == ("closed", None, None)
    undo(heed, label_id)
    assert told(heed) == ("resolved", None, None)


def test_an_alert_that_was_recorded_in_silence_outlives_the_report_that_it_was_missed(heed: Heed) -> None:
    """Guarantee 18."""
    undo(heed, report(heed, SILENT))
    assert alert_of(heed, SILENT).status == "resolved"


def test_what_two_people_missed_stands_until_both_have_taken_it_back(heed: Heed) -> None:
    """Guarantee 18."""
    first, second = (report(heed, UNTOLD, days_ago=5, now=NOW + timedelta(hours=hours)) for hours in range(2))
    for label_id, after in ((first, "resolved"), (second, "withdrawn")):
        undo(heed, label_id)
        assert alert_of(heed, UNTOLD).status == after


def test_a_report_does_not_bring_back_what_a_gap_withdrew(heed: Heed) -> None:
    """Guarantee 18."""
    with pytest.raises(Conflict):
        report(heed, TOLD)
    gap_id = declare(heed, a_gap())
    label_id = report(heed, TOLD)
    assert told(heed) == ("withdrawn", None, gap_id)
    undo(heed, label_id)
    assert told(heed) == ("withdrawn", None, gap_id)
    take_back(heed, Gap, gap_id)
    assert told(heed) == ("resolved", None, None)


def test_what_was_missed_in_a_gap_is_withdrawn_whichever_came_first(heed: Heed) -> None:
    """Guarantee 18."""
    for reported_first in (True, False):
        label_id = report(heed, UNTOLD, days_ago=5) if reported_first else 0
        gap_id = declare(heed, a_gap((200, 0)))
        label_id = label_id or report(heed, UNTOLD, days_ago=5)
        alert = alert_of(heed, UNTOLD)
        assert (alert.status, alert.gap_id) == ("withdrawn", gap_id)
        take_back(heed, Gap, gap_id)
        assert alert_of(heed, UNTOLD).status == "resolved"
        undo(heed, label_id)
        assert alert_of(heed, UNTOLD).status == "withdrawn"


def test_an_alert_that_a_new_normal_closed_too_stays_so_without_the_event(heed: Heed) -> None:
    """Guarantee 18."""
    with heed.database.writing() as session:
        session.get_one(Alert, alert_of(heed).id).status = "firing"
        for run in session.scalars(sa.select(Anomaly).where(Anomaly.series_id == TOLD)):
            run.ended_at = None
    wanted = desensitise.NewNormal(reason="a new shop", author="ana", now=NOW, series_id=TOLD)
    its_id = desensitise.begin(heed.committer, wanted)
    event_id = declare(heed, an_event())
    assert told(heed) == ("closed", event_id, None)
    take_back(heed, Event, event_id)
    assert told(heed) == ("closed", None, None)
    desensitise.take_back(heed.committer, its_id, by="ana", now=NOW)
    assert told(heed) == ("resolved", None, None)
