"""Whatever comes in, no answer is a fault of our own."""

from __future__ import annotations

import json
import re
from datetime import datetime
from itertools import product
from typing import Any

import httpx
from fastapi.routing import APIRoute

from app.clock import wall_now
from app.security import Links
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
GOOD: dict[str, Any] = {
    "verdict": "real", "series_id": 1, "matcher": {"metric": "orders"}, "reason": "r", "comment": "c",
    "name": "n", "scope": "ingest",
    "start": 1767571200, "end": 1767571300, "until": "2030-01-01T00:00:00Z", "to": "ann", "state": "on",
    "kind": "webhook", "detector": "basic", "settings": {},
}  # fmt: skip
"""What a field gets while another one is tried; a field without a line here is left out then."""
OF_POINTS = ["points", "series", "metric", "timestamp", "value"]


def refuse_faults(answer: httpx.Response) -> None:
    assert answer.status_code < 500 or answer.status_code == 501, (
        answer.request.method,
        answer.request.url,
        answer.text,
    )


def fields_of(route: APIRoute) -> list[str]:
    """The fields of the JSON object or the form that a route takes."""
    if route.path == "/v1/points":
        return OF_POINTS  # in the format that the request names, so the route declares none
    model = route.body_field.field_info.annotation if route.body_field else None
    return list(getattr(model, "model_fields", {}))


def test_no_value_of_a_field_breaks_a_route(served: Served) -> None:
    """Guarantees 6 and 30."""
    served.post("orders", 1767571200, 1)
    headers = {"Content-Type": "application/json"}
    tried = 0
    for method, path, route in documented_routes():
        fields = fields_of(route)
        good = {field: GOOD[field] for field in fields if field in GOOD}
        for field, nasty in product(fields, NASTY_JSON):
            body = json.dumps(good | {field: nasty}).encode()
            refuse_faults(served.client.request(method, with_ids(path), content=body, headers=headers))
            tried += 1
    assert tried > 1_000


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


def a_link_to_each_page(links: Links, alert_id: int, now: datetime) -> dict[str, str]:
    """By the letter that its address begins with."""
    urls = [
        links.alert_url(alert_id, "api", now),
        links.budget_url(alert_id, "no such policy", 1.0, 2.0, origin="api", now=now),
        links.chart_url(alert_id, 0, now),
        links.digest_url("no such message", "api", now),
        links.verdict_url(alert_id, "event", "api", now),
        links.action_url(alert_id, "snooze", "api", now),
        links.missed_url(alert_id, "api", now),
        links.undo_url(1, now),
        links.leave_url(1, now),
    ]
    return {url.split("/")[-2]: url for url in urls}


def pages_of_links() -> list[tuple[str, str]]:
    """Method and letter of every page that a link leads to."""
    return [(method, path[1]) for method, path, _ in routes() if re.fullmatch("/[a-z]/1", path)]


def test_no_form_and_no_parameter_breaks_a_page_that_a_link_leads_to(served: Served, alert: dict[str, Any]) -> None:
    """Guarantees 6 and 30."""
    links = a_link_to_each_page(served.heed.links, alert["id"], wall_now())
    assert {letter for _, letter in pages_of_links()} == links.keys()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for (method, letter), raw in product(pages_of_links(), NASTY_QUERY):
        form = "&".join(f"{field}={raw}" for field in ("series_id", "start", "end", "comment", "confirm"))
        address = f"{links[letter]}?dry_run={raw}&token={raw}"
        refuse_faults(served.client.request(method, address, content=form.encode(), headers=headers))


def test_a_link_opens_the_page_that_it_was_made_for_and_no_other(shared: Served) -> None:
    """Guarantee 16."""
    links = a_link_to_each_page(shared.heed.links, 1, wall_now())
    form = {"series_id": 1, "start": "2026-02-05T06:00", "end": "2026-02-05T09:00"}
    for (method, letter), (made_for, link) in product(pages_of_links(), links.items()):
        if letter != made_for:
            token = link.rpartition("/")[2]
            assert shared.client.request(method, f"/{letter}/{token}", data=form).status_code == 404


def test_no_body_breaks_a_route(served: Served) -> None:
    bodies = [b"[" * 100_000, b"\xff\xfe\x00", b'{"a":' * 1000 + b"1" + b"}" * 1000, b"0", b"null", b'"x"', b"{"]
    types = ["application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "\u00e9/x"]
    taking = [(method, path) for method, path, _ in routes() if method != "GET"]
    for (method, path), body, content_type in product(taking, bodies, types):
        headers = {"Content-Type": content_type.encode("latin-1")}
        refuse_faults(served.client.request(method, path, content=body, headers=headers))  # type: ignore[arg-type]
