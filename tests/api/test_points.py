"""Posting points over HTTP."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from app.security import Scope
from tests.running import HOUR, MONDAY
from tests.serving import Served


def points_of(served: Served, series_id: int = 1) -> list[tuple[str, float | None]]:
    span = {"start": MONDAY - HOUR, "end": MONDAY + 100 * HOUR}
    answer = served.client.get(f"/v1/series/{series_id}/points", params=span).json()
    return [(point["timestamp"], point["value"]) for point in answer["points"]]


def test_rows_are_taken_in_and_can_be_read_back(served: Served) -> None:
    body = {
        "points": [
            {"metric": "orders", "dimensions": {"country": "DE"}, "timestamp": MONDAY, "value": 3},
            {
                "metric": "orders",
                "dimensions": {"country": "DE"},
                "timestamp": "2026-01-05T02:00:00+01:00",
                "value": None,
            },
        ]
    }
    answer = served.client.post("/v1/points", json=body)
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 2, "duplicates": 0, "rejected": []}
    assert points_of(served) == [("2026-01-05T00:00:00Z", 3.0), ("2026-01-05T01:00:00Z", None)]


def test_columns_are_taken_in(served: Served) -> None:
    series = {"metric": "orders", "timestamps": [MONDAY, MONDAY + HOUR], "values": [1, 2]}
    assert served.client.post("/v1/points", json={"series": [series]}).json()["accepted"] == 2


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-ndjson", f'{{"metric": "orders", "timestamp": {MONDAY}, "value": 3}}\n'),
        ("text/csv", f"metric,timestamp,value\norders,{MONDAY},3\n"),
    ],
)
def test_other_formats_are_taken_in_compressed(served: Served, content_type: str, body: str) -> None:
    headers = {"Content-Type": content_type, "Content-Encoding": "gzip"}
    answer = served.client.post("/v1/points", content=gzip.compress(body.encode()), headers=headers)
    assert answer.json() == {"accepted": 1, "duplicates": 0, "rejected": []}


def test_the_same_again_is_a_duplicate_and_another_value_a_correction(served: Served) -> None:
    """Guarantee 5."""
    assert served.post("orders", MONDAY, 3).json()["accepted"] == 1
    assert served.post("orders", MONDAY, 3).json() == {"accepted": 0, "duplicates": 1, "rejected": []}
    assert served.post("orders", MONDAY, 4).json()["accepted"] == 1
    assert points_of(served) == [("2026-01-05T00:00:00Z", 4.0)]


def test_bad_points_are_listed_and_good_ones_kept(served: Served) -> None:
    """Guarantee 6."""
    body = f"""{{"points": [
        {{"metric": "orders", "timestamp": {MONDAY}, "value": 1}},
        {{"metric": "orders", "timestamp": {MONDAY + 60}, "value": NaN}},
        {{"metric": "orders", "timestamp": {MONDAY + 120}, "value": "12"}},
        {{"metric": "orders", "timestamp": 4102444800, "value": 1}},
        {{"metric": "orders", "timestamp": {MONDAY + 180}, "value": 2}}]}}"""
    answer = served.client.post("/v1/points", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 2
    assert [rejection["index"] for rejection in answer.json()["rejected"]] == [1, 2, 3]


def test_nothing_acceptable_is_a_422_that_says_why(shared: Served) -> None:
    answer = shared.post("orders", 1, 3)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["rejected"][0]["reason"].startswith("timestamp lies before 1990")


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b'{"points": 1}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_points_is_a_400(shared: Served, body: bytes) -> None:
    answer = shared.client.post("/v1/points", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


def test_an_unknown_format_is_a_415(shared: Served) -> None:
    assert shared.client.post("/v1/points", data={"metric": "orders"}).status_code == 415


def test_an_unknown_delivery_is_refused(shared: Served) -> None:
    assert shared.client.post("/v1/points?alert=loud", json={"points": []}).status_code == 422


def test_more_points_than_allowed_are_a_413(shared: Served) -> None:
    series = {"metric": "orders", "timestamps": list(range(MONDAY, MONDAY + 100_001)), "values": [1] * 100_001}
    assert shared.client.post("/v1/points", json={"series": [series]}).status_code == 413


def test_a_body_that_says_it_is_too_large_is_refused_before_any_token_is_looked_at(shared: Served) -> None:
    """Guarantee 7."""
    head = b"POST /v1/points HTTP/1.1\r\nHost: heed\r\nContent-Length: 1000000000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", urlsplit(shared.url).port or 0)) as connection:
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_never_says_how_long_it_is_stops_at_the_limit(shared: Served) -> None:
    """Guarantee 7."""

    def endless() -> Iterator[bytes]:
        for _ in range(1_000):
            yield b" " * 100_000

    # Where the server hung up on us, that is as good.
    with shared.as_scope(Scope.INGEST) as client, contextlib.suppress(httpx.WriteError):
        assert client.post("/v1/points", content=endless()).status_code == 413


def test_only_points_may_be_many(shared: Served) -> None:
    answer = httpx.post(f"{shared.url}/v1/labels", json={"comment": "x" * 300_000})
    assert answer.status_code == 413


def test_a_bomb_is_a_413(shared: Served) -> None:
    """Guarantee 7."""
    bomb = gzip.compress(bytes(60_000_000))
    answer = shared.client.post("/v1/points", content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413


def test_a_token_may_bring_in_only_so_many_new_series(served: Served) -> None:
    """Guarantee 8."""
    new = {"name": "runaway", "scope": "ingest", "new_series_limit": 2}
    token = served.client.post("/v1/tokens", json=new).json()["token"]
    rows = [{"metric": "m", "dimensions": {"id": str(i)}, "timestamp": MONDAY, "value": 1} for i in range(5)]
    answer = httpx.post(f"{served.url}/v1/points", json={"points": rows}, headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["accepted"] == 2
    assert len(answer.json()["rejected"]) == 3
    assert "new series" in answer.json()["rejected"][0]["reason"]
    assert served.post("another", MONDAY, 1).status_code == 202


def test_an_answer_keeps_its_order_over_many_posts_at_once(served: Served) -> None:
    """Each caller gets its own counts, though waiting posts share a commit."""
    bodies = [
        json.dumps({"series": [{"metric": f"m{n}", "timestamps": [MONDAY + i for i in range(n)], "values": [1] * n}]})
        for n in range(1, 9)
    ]
    answers = [served.client.post("/v1/points", content=body).json()["accepted"] for body in bodies]
    assert answers == list(range(1, 9))
