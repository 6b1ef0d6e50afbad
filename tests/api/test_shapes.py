"""Shapes of anomalies through the whole pipeline: points in, the sentence of one alert out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.running import Shop
from tests.serving import Served

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def spikes(orders: Shop) -> None:
    orders.send(1, factor=0.4)
    orders.send(4)


def shifts(orders: Shop) -> None:
    orders.send(8, factor=0.6)


def drifts(orders: Shop) -> None:
    for factor in np.linspace(1.0, 0.6, 20).tolist():
        orders.send(1, factor=factor)


@pytest.mark.parametrize(
    ("happens", "shape", "words"),
    [
        (spikes, "spike", " for 60 minutes, that is "),
        (shifts, "shift", " has moved to a new level of about "),
        (drifts, "drift", " has drifted down to "),
    ],
)
def test_the_sentence_of_an_alert_says_what_it_looks_like(
    served: Served, happens: Callable[[Shop], None], shape: str, words: str
) -> None:
    orders = Shop(served.heed)
    orders.has_history()
    assert served.retrain()["status"] == "done"
    orders.send(30, at_once=True)
    happens(orders)
    alert: dict[str, Any] = served.client.get(f"/v1/alerts/{served.alert()['id']}").json()
    assert alert["anomalies"][0]["shape"] == shape, alert["text"]
    assert words in alert["text"]
    listed = served.alert()
    assert (listed["anomalies"][0]["shape"], listed["text"]) == (shape, alert["text"])
