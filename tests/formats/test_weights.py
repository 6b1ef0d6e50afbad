"""A point of a ratio may say how many events are behind it, in every format."""

from __future__ import annotations

import numpy as np
import pytest

from tests.formats.test_formats import T, post

ROWS = (
    '{"points": [{"metric": "rate", "timestamp": 1700000000, "value": 0.5, "weight": 20},'
    ' {"metric": "rate", "timestamp": 1700000060, "value": 0.25%s}]}'
)
COLUMNS = (
    '{"series": [{"metric": "rate", "timestamps": [1700000000, 1700000060], "values": [0.5, 0.25], "weights": %s}]}'
)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (ROWS % "", "application/json"),
        (ROWS % ', "weight": null', "application/json"),
        (COLUMNS % "[20, null]", "application/json"),
        (
            '{"metric": "rate", "timestamp": 1700000000, "value": 0.5, "weight": 20}\n'
            '{"metric": "rate", "timestamp": 1700000060, "value": 0.25}\n',
            "application/x-ndjson",
        ),
        ("metric,timestamp,value,weight\nrate,1700000000,0.5,20\nrate,1700000060,0.25,\n", "text/csv"),
    ],
)
def test_a_weight_comes_with_its_point(body: str, content_type: str) -> None:
    posted = post(body, content_type)
    assert not posted.rejected
    assert posted.timestamp.tolist() == [T, T + 60]
    assert posted.weight is not None
    np.testing.assert_array_equal(posted.weight, [20.0, np.nan])
    assert posted.identities[0].dimensions == ()


def test_without_weights_there_are_none() -> None:
    assert post(COLUMNS % "null").weight is None
    assert post('{"points": [{"metric": "rate", "timestamp": 1700000000, "value": 0.5}]}').weight is None


@pytest.mark.parametrize("bad", ["-1", '"20"', "true", "1e31", "NaN", "1e999", "{}"])
def test_a_bad_weight_is_rejected_with_its_point_and_the_others_are_kept(bad: str) -> None:
    for body in (ROWS % f', "weight": {bad}', COLUMNS % f"[20, {bad}]"):
        posted = post(body)
        assert posted.timestamp.tolist() == [T]
        assert [rejection.index for rejection in posted.rejected] == [1]
        assert "number of events" in posted.rejected[0].reason
        assert posted.weight is not None
        assert posted.weight.tolist() == [20.0]


@pytest.mark.parametrize("weights", ["[20]", "20", "{}"])
def test_weights_that_do_not_match_the_values_cost_the_series(weights: str) -> None:
    posted = post(COLUMNS % weights)
    assert not len(posted)
    assert {rejection.reason for rejection in posted.rejected} == {"weights must be a list as long as values"}
