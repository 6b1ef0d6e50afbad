"""What is said of an alert that does not go away, and of one that does, through the whole pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.clock import wall_now
from tests.api.test_routing import has_fallen, routed
from tests.receiver import Receiver
from tests.running import Shop
from tests.serving import Served

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def fallen(database_url: str, tmp_path: Path) -> Iterator[tuple[Served, Receiver, Shop]]:
    """A channel that has been told of orders that have fallen to 30 %."""
    with routed(database_url, tmp_path, channels=["shop"], growth_to_repeat=100.0) as (served, shop, _oncall):
        yield served, shop, has_fallen(served)


def test_what_lasts_for_a_day_is_asked_about_and_never_called_back_to_normal(
    fallen: tuple[Served, Receiver, Shop],
) -> None:
    served, shop, orders = fallen
    orders.send(27, factor=0.3)
    last = shop.wait_for(3)[-1].json
    assert last["status"] == "resolved"
    assert "orders (country DE) is still at " in str(last["text"])
    assert " after 24 hours: is this the new normal? It fell to " in str(last["text"])
    assert "If nobody answers, Heed takes it for normal" in str(last["text"])
    assert last["offer"] == "new_normal"
    assert not [each.json["text"] for each in shop.requests if "is back to normal after" in str(each.json["text"])]
    alert = served.alert()
    assert alert["text"] in str(last["text"])
    [anomaly] = alert["anomalies"]
    assert anomaly["end_reason"] == "aged"
    assert anomaly["latest"] < 0.5 * anomaly["expected"]
    page = served.client.get(alert["url"]).text
    assert "is this the new normal?" in page
    assert "Followed no longer" in page
    sent = served.client.get("/v1/notifications").json()["notifications"][0]
    digest = served.client.get(served.heed.links.digest_url(sent["id"], "shop", wall_now())).text
    assert "<h1>1 alert since " in digest
    assert "the new normal?" in digest
    served.client.post(alert["links"]["real"])
    assert served.alert()["offer"] is None
    assert not [line for line in served.alert()["remarks"] if "takes it for normal" in line]


def test_what_recovers_after_an_offer_is_back_to_normal_and_offered_nothing_more(
    fallen: tuple[Served, Receiver, Shop],
) -> None:
    served, shop, orders = fallen
    orders.send(11, factor=0.3)
    assert served.alert()["offer"] == "new_normal"
    orders.send(10)
    last = shop.wait_for(3)[-1].json
    assert [each.json["status"] for each in shop.requests] == ["firing", "updated", "resolved"]
    assert "is back to normal after" in str(last["text"])
    assert "It has kept to this level" not in str(last["text"])
    assert served.alert()["anomalies"][0]["end_reason"] == "recovered"
