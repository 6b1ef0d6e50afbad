"""A Heed that answers real HTTP on a free port of this machine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from app.api import create_app
from app.main import Heed
from app.security import Scope
from tests.running import Shop, settings_of

ADMIN = "the-admin-token-of-the-tests"


@dataclass
class Served:
    """A running Heed, where it answers, and a client with the admin token."""

    heed: Heed
    url: str
    client: httpx.Client

    def token(self, scope: Scope) -> str:
        """A new token of this scope."""
        issued = self.client.post("/v1/tokens", json={"name": f"a {scope} token", "scope": scope}).json()
        return str(issued["token"])

    def as_scope(self, scope: Scope) -> httpx.Client:
        """A client with a new token of this scope."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.token(scope)}"})

    def post(self, metric: str, timestamp: int, value: float, **dimensions: str) -> httpx.Response:
        point = {"metric": metric, "timestamp": timestamp, "value": value, "dimensions": dimensions}
        return self.client.post("/v1/points", json={"points": [point]})

    def has_an_alert(self, **names: str) -> dict[str, Any]:
        """Orders with five normal weeks that fall: the alert as the API shows it."""
        shop = Shop(self.heed, **names)  # type: ignore[arg-type]
        shop.has_history()
        answer = self.client.post("/v1/retrains", json={"reason": "history"})
        assert answer.status_code == 201, answer.text
        shop.send(24, at_once=True)
        shop.send(6, factor=0.4)
        alerts: list[dict[str, Any]] = self.client.get("/v1/alerts?kind=anomaly").json()["alerts"]
        return alerts[0]


@contextmanager
def serving(database_url: str, folder: Path, **settings: Any) -> Iterator[Served]:
    """A Heed on its own port; it and its server are stopped at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    heed = Heed(settings_of(database_url, folder, port=port, admin_token=ADMIN, **settings))
    server = uvicorn.Server(
        uvicorn.Config(create_app(heed), host="127.0.0.1", port=port, log_level="critical", access_log=False, ws="none")
    )
    thread = threading.Thread(target=server.run)
    with heed:
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.005)
            url = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {ADMIN}"}, timeout=60) as client:
                yield Served(heed, url, client)
        finally:
            server.should_exit = True
            thread.join()
