"""Data health over HTTP: how the points of each source and metric come in."""

from __future__ import annotations

from typing import Any

from app.alerts.rules import Delivery
from tests.running import HOUR, MONDAY, Shop
from tests.serving import Served

HISTORY = 4 * 168 + 5


def health(served: Served, query: str = "") -> list[dict[str, Any]]:
    answer = served.client.get(f"/v1/data-health{query}")
    assert answer.status_code == 200, answer.text
    sources: list[dict[str, Any]] = answer.json()["sources"]
    return sources


def test_holes_late_points_corrections_and_repeats_are_counted(served: Served) -> None:
    shop = Shop(served.heed)
    shop.send(HISTORY, at_once=True, delivery=Delivery.SILENT)
    shop.send(8)
    shop.clock += 10  # a hole of ten hours, of which three come late
    shop.send(2)
    shop.clock -= 12
    shop.send(3)
    shop.clock += 8
    shop.send(1, factor=1.01)
    shop.clock -= 1
    shop.send(1, factor=1.01)
    [orders] = health(served, "?metric=ord*")
    assert orders["metric"] == "orders"
    assert (orders["series"], orders["silent"], orders["cadence_seconds"]) == (1, 0, HOUR)
    assert (orders["late"], orders["corrected"], orders["duplicates"]) == (3, 1, 1)
    due = (MONDAY + HOUR * (HISTORY + 19)) % 86_400 // HOUR + 7 * 24
    assert orders["received"] == due + 1 - 7
    assert orders["missing"] == round(1 - orders["received"] / due, 4)
    assert health(served, "?metric=nothing") == []


def test_a_silent_source_shows_its_series_and_its_gap(served: Served) -> None:
    quiet, other = Shop(served.heed, "DE"), Shop(served.heed, "DE", metric="other")
    for shop in (quiet, other):
        shop.send(HISTORY, at_once=True, delivery=Delivery.SILENT)
    for _ in range(10):
        quiet.send(1)
        other.send(1)
    other.send(8)
    sources = {each["metric"]: each for each in health(served)}
    [gap] = served.client.get("/v1/gaps").json()["gaps"]
    assert (gap["origin"], gap["series"]) == ("silence", 1)
    assert (sources["orders"]["silent"], sources["orders"]["open_gaps"]) == (1, [gap["id"]])
    assert sources["orders"]["silent_series"] == [1]
    assert (sources["other"]["silent"], sources["other"]["open_gaps"]) == (0, [])


def test_it_is_paged_and_names_the_token(served: Served) -> None:
    for metric in ("b", "a", "c"):
        served.post(metric, MONDAY, 1.0)
    first = served.client.get("/v1/data-health?limit=2").json()
    second = served.client.get(f"/v1/data-health?limit=2&cursor={first['next']}").json()
    assert [each["metric"] for each in first["sources"] + second["sources"]] == ["a", "b", "c"]
    assert second["next"] is None
    assert first["sources"][0]["source"] is not None
    assert first["sources"][0]["cadence_seconds"] is None
