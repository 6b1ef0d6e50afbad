"""What explains an alert, from the points of its siblings, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from app.clock import wall_now
from app.formats.contract import PostedPoints
from app.main import Heed
from app.pipeline.explain import explained
from app.pipeline.facts import facts_of
from app.pipeline.train import everything, train
from app.store import alerts as stored_alerts
from app.store.series import identity
from tests.running import HOUR, MONDAY, alerts, running
from tests.serving import Served

pytestmark = pytest.mark.any_database

SHARES = {"DE": 500.0, "FR": 300.0, "IT": 100.0, "ES": 60.0, "PL": 40.0}
HISTORY = 5 * 168


def post(
    heed: Heed, first: int, hours: int, *, metric: str = "orders", events: float | None = None, **factors: float
) -> None:
    """Hourly orders by country and their total, all in one request; `factors` of some countries. events: of ratios."""
    hour = np.arange(first, first + hours)
    shape = 1 + 0.5 * np.sin(2 * np.pi * hour / 24)
    noise = np.random.default_rng(first).normal(1, 0.02, (len(SHARES), hours))
    rows = [size * shape * noise[row] * factors.get(country, 1.0) for row, (country, size) in enumerate(SHARES.items())]
    rows.append(np.sum(rows, axis=0))
    identities = [identity(metric, {"country": country}) for country in SHARES] + [identity(metric, {})]
    count = len(identities) * hours
    posted = PostedPoints(
        identities,
        np.repeat(np.arange(len(identities), dtype=np.int32), hours),
        np.tile(MONDAY + HOUR * hour, len(identities)),
        np.concatenate(rows),
        np.arange(count),
        [],
        None if events is None else np.full(count, events),
    )
    heed.committer.submit(posted, None, None).result()


@pytest.fixture
def heed(database_url: str, tmp_path: Path) -> Iterator[Heed]:
    with running(database_url, tmp_path) as heed:
        yield heed


def explanations(heed: Heed) -> dict[str, str | None]:
    """The sentence of each alert, by its title."""
    with heed.database.reading() as session:
        found = {}
        for alert in alerts(heed):
            row = stored_alerts.get(session, alert.id)
            assert row is not None
            facts = facts_of(session, [row], heed.links, origin="test", now=wall_now())[alert.id]
            found[alert.title] = explained(session, facts).explained_by
    return found


def with_history(heed: Heed, metric: str = "orders", events: float | None = None) -> None:
    post(heed, 0, HISTORY, metric=metric, events=events)
    train(heed.committer, now=heed.clock.now(), reason="history", wanted=everything)
    post(heed, HISTORY, 24, metric=metric, events=events)


def test_two_countries_make_most_of_the_drop_of_the_total(heed: Heed) -> None:
    with_history(heed)
    post(heed, HISTORY + 24, 4, DE=0.4, FR=0.4)
    said = explanations(heed)["orders and 2 more series are unusually low"]
    assert said is not None
    assert said.startswith("DE and FR make ")
    assert said.endswith(" of the drop over all 5 values of country.")


def test_a_series_learns_that_it_is_alone(heed: Heed) -> None:
    with_history(heed)
    post(heed, HISTORY + 24, 4, DE=0.3)
    said = explanations(heed)["orders and 1 more series are unusually low"]
    assert said is not None
    assert said.startswith("DE makes ")


@pytest.mark.parametrize(("metric", "events"), [("latency_ms", None), ("success", 1_000.0)])
def test_latencies_and_ratios_are_not_added_up(heed: Heed, metric: str, events: float | None) -> None:
    with_history(heed, metric, events)
    post(heed, HISTORY + 24, 4, metric=metric, events=events, DE=3.0)
    assert set(explanations(heed).values()) == {None}


def test_the_api_and_the_page_say_why(served: Served) -> None:
    with_history(served.heed)
    post(served.heed, HISTORY + 24, 4, DE=0.4, FR=0.4)
    listed = served.client.get("/v1/alerts", params={"kind": "anomaly"}).json()["alerts"]
    alert = served.client.get(f"/v1/alerts/{listed[0]['id']}").json()
    assert alert["explained_by"].startswith("DE and FR make ")
    assert [each["value"] for each in alert["contributions"][:2]] == ["DE", "FR"]
    assert alert["contributions"][0]["change"] < alert["contributions"][1]["change"] < 0
    assert [each["dimension"] for each in alert["explanations"]] == ["country"]
    assert alert["explanations"][0]["text"] == alert["explained_by"]
    for each in alert["anomalies"]:
        [by_country] = each["explanations"]
        assert [one["value"] for one in by_country["contributions"][:2]] == ["DE", "FR"]
    assert [each["explanations"] for each in listed[0]["anomalies"]] == [[], [], []]
    anomaly = alert["anomalies"][0]
    assert anomaly["evidence"][0]["text"]
    assert "once in" in anomaly["rarity"]
    page = httpx.get(alert["url"]).text
    assert "Why it was told" in page
    assert "DE and FR make " in page
    assert "would have been normal" in page


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_each_dimension_says_its_share_of_the_change(heed: Heed) -> None:
    kinds = [{"country": country, "device": device} for country in ("DE", "FR") for device in ("phone", "desk", "pad")]

    def sell(first: int, hours: int, factor: float) -> None:
        hour = np.arange(first, first + hours)
        usual = (
            500 * (1 + 0.5 * np.sin(2 * np.pi * hour / 24)) * (1 + 0.02 * np.random.default_rng(1).normal(size=hours))
        )
        rows = [usual * (factor if kind == {"country": "DE", "device": "phone"} else 1.0) for kind in kinds]
        count = len(kinds) * hours
        identities = [identity("orders", kind) for kind in kinds]
        series, at = np.repeat(np.arange(len(kinds), dtype=np.int32), hours), np.tile(MONDAY + HOUR * hour, len(kinds))
        posted = PostedPoints(identities, series, at, np.concatenate(rows), np.arange(count), [])
        heed.committer.submit(posted, None, None).result()

    sell(0, HISTORY, 1.0)
    train(heed.committer, now=heed.clock.now(), reason="history", wanted=everything)
    sell(HISTORY, 4, 0.3)
    [alert] = alerts(heed)
    with heed.database.reading() as session:
        row = stored_alerts.get(session, alert.id)
        assert row is not None
        facts = explained(session, facts_of(session, [row], heed.links, origin="test", now=wall_now())[alert.id])
    assert {each.dimension for each in facts.explanations} == {"country", "device"}
    largest = {each.dimension: each.contributions[0] for each in facts.explanations}
    assert (largest["country"].value, largest["device"].value) == ("DE", "phone")
    assert min(each.share for each in largest.values()) > 0.9
    assert facts.explained_by == facts.explanations[0].sentence


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_explaining_reads_a_bounded_share_of_a_large_metric(heed: Heed) -> None:
    with_history(heed)
    post(heed, HISTORY + 24, 4, DE=0.4, FR=0.4)
    identities = [identity("orders", {"country": f"C{number}"}) for number in range(300)]
    count = len(identities)
    posted = PostedPoints(
        identities,
        np.arange(count, dtype=np.int32),
        np.full(count, MONDAY + HOUR * (HISTORY + 27)),
        np.ones(count),
        np.arange(count),
        [],
    )
    heed.committer.submit(posted, None, None).result()
    statements: list[str] = []
    sa.event.listen(heed.database.engine, "before_cursor_execute", lambda *said: statements.append(said[2]))
    assert set(explanations(heed).values()) == {None}  # more siblings than are read: the total is not known
    of_tiles = [one for one in statements if "tile" in one]
    assert len(of_tiles) == 2 * len(alerts(heed))  # for the shapes of each alert's own anomalies alone
