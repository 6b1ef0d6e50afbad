"""Who may call what."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from app.api import ROUTERS, _declared
from app.api.access import access_of
from app.security import Scope
from tests.serving import Served


def routes() -> Iterator[tuple[str, str, Scope | None]]:
    """Every method and path of the application with what it declares."""
    for route in (route for router in ROUTERS for route in router.routes):
        assert isinstance(route, APIRoute)
        for method in sorted(route.methods or ()):
            yield method, with_ids(route.path), access_of(route)


def with_ids(path: str) -> str:
    return re.sub(r"\{.*?\}", "1", path)


def bearers(served: Served) -> dict[str, tuple[str | None, Scope | None]]:
    """Kinds of callers: their token, and the scope that it gives them."""
    revoked = served.client.post("/v1/tokens", json={"name": "revoked", "scope": "admin"}).json()
    served.client.delete(f"/v1/tokens/{revoked['id']}")
    scopes = {scope.value: (served.token(scope), scope) for scope in Scope}
    return {
        "no token": (None, None),
        "a made-up token": ("heed_x", None),
        "revoked": (revoked["token"], None),
        **scopes,
    }


def test_every_route_answers_every_kind_of_caller_as_declared(served: Served) -> None:
    """Guarantee 25."""
    with httpx.Client(base_url=served.url) as client:
        for name, (token, scope) in bearers(served).items():
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            for method, path, needed in routes():
                status = client.request(method, path, headers=headers).status_code
                if needed is None or (scope is not None and scope.includes(needed)):
                    assert status not in (401, 403), (name, method, path)
                else:
                    assert status == (403 if scope else 401), (name, method, path)


def test_the_api_has_routes_of_every_scope() -> None:
    assert {scope for _, _, scope in routes()} == {None, *Scope}


def test_a_route_without_a_declaration_is_refused_at_the_start() -> None:
    """Guarantee 25."""
    router = APIRouter()
    router.get("/open-by-mistake")(lambda: None)
    with pytest.raises(TypeError, match="must declare"):
        _declared(router)


@pytest.mark.parametrize(
    "header", [b"", b"Bearer", b"Basic eDp5", b"bearer", b"Bearer \xff", b"Bearer a b", b"Bearer " + b"x" * 9000]
)
def test_a_malformed_authorization_is_a_401_that_says_how(shared: Served, header: bytes) -> None:
    answer = httpx.get(f"{shared.url}/v1/alerts", headers=[(b"Authorization", header)])
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_revoked_token_is_refused_at_once(served: Served) -> None:
    issued = served.client.post("/v1/tokens", json={"name": "shop", "scope": "analyst"}).json()
    headers = {"Authorization": f"Bearer {issued['token']}"}
    assert httpx.get(f"{served.url}/v1/alerts", headers=headers).status_code == 200
    served.client.delete(f"/v1/tokens/{issued['id']}")
    assert httpx.get(f"{served.url}/v1/alerts", headers=headers).status_code == 401


def test_every_documented_call_says_what_it_means(shared: Served) -> None:
    document = httpx.get(f"{shared.url}/openapi.json", timeout=60.0).json()  # the first one is made then
    operations = [(path, method, each) for path, those in document["paths"].items() for method, each in those.items()]
    assert {path for _, path, _ in documented_routes()} == set(document["paths"])
    for path, method, operation in operations:
        assert len(operation.get("description", "")) > 15, (method, path)


def documented_routes() -> Iterator[tuple[str, str, APIRoute]]:
    for route in (route for router in ROUTERS for route in router.routes):
        assert isinstance(route, APIRoute)
        if route.include_in_schema:
            for method in route.methods or ():
                yield method, route.path, route
