"""Whatever comes in, no answer is a fault of our own."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import httpx

from tests.api.test_access import documented_routes, routes, with_ids
from tests.serving import Served

NASTY_TEXT = ["", "\x00", "\ud800", "x" * 100_000, "%00", "../../etc/passwd", "' OR 1=1 --", "é\u202e\U0001f600", "NaN"]
NASTY_JSON: list[Any] = [
    *NASTY_TEXT,
    None,
    True,
    -1,
    2**63,
    10**400,
    1.5,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    {"a": {"b": None}},
]
NASTY_QUERY = [
    "%00", "%ed%a0%80", "%ff", "%", "-1", str(2**63), "1e999", "NaN", "true", "%D9%A3", "0x1", "a" * 5000, "'--",
    "*:*", ":", "&" * 500,
]  # fmt: skip
FIELDS = (
    "verdict", "comment", "dry_run", "series_id", "start", "end", "until", "matcher", "reason", "name", "scope",
    "new_series_limit", "points", "series",
)  # fmt: skip
GOOD = {"verdict": "real", "series_id": 1, "start": 1767571200, "end": 1767571300, "until": "2030-01-01T00:00:00Z"}


def refuse_faults(answer: httpx.Response) -> None:
    assert answer.status_code < 500 or answer.status_code == 501, (
        answer.request.method,
        answer.request.url,
        answer.text,
    )


def test_no_value_of_a_field_breaks_a_route(served: Served) -> None:
    """Guarantees 6 and 30."""
    served.post("orders", 1767571200, 1)
    headers = {"Content-Type": "application/json"}
    for path in [path for method, path, _ in routes() if method == "POST"]:
        for field, nasty in product(FIELDS, NASTY_JSON):
            body = json.dumps(GOOD | {"name": "n", "scope": "ingest", "reason": "r"} | {field: nasty})
            refuse_faults(served.client.post(path, content=body.encode(), headers=headers))


def test_no_value_of_a_parameter_breaks_a_route(served: Served) -> None:
    """Guarantees 6 and 30."""
    for method, path, route in documented_routes():
        names = [parameter.alias for parameter in route.dependant.query_params]
        for name, raw in product(names, NASTY_QUERY):
            refuse_faults(served.client.request(method, f"{with_ids(path)}?{name}={raw}"))


def test_no_id_breaks_a_route(served: Served) -> None:
    places = ["%00", "%ff", "0", "-1", "9" * 30, "x", "%2e%2e", "a" * 5000, "1.0", "\u0663"]
    for (method, path, _), place in product(routes(), places):
        refuse_faults(served.client.request(method, path.replace("/1", f"/{place}")))


def test_no_body_breaks_a_route(served: Served) -> None:
    bodies = [b"[" * 100_000, b"\xff\xfe\x00", b'{"a":' * 1000 + b"1" + b"}" * 1000, b"0", b"null", b'"x"', b"{"]
    types = ["application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "\u00e9/x"]
    for (method, path, _), body, content_type in product(routes(), bodies, types):
        headers = {"Content-Type": content_type.encode("latin-1")}
        refuse_faults(served.client.request(method, path, content=body, headers=headers))  # type: ignore[arg-type]
