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
import sqlalchemy as sa
import uvicorn

from app.api import create_app
from app.clock import wall_now
from app.main import Heed
from app.security import Scope
from app.store.tables import Notification
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

    def retrain(self, reason: str = "history", **asked: Any) -> dict[str, Any]:
        """Ask for a retrain and wait until it has ended."""
        answer = self.client.post("/v1/retrains", json={"reason": reason} | asked)
        assert answer.status_code == 202, answer.text
        return self.ended(answer.json()["id"])

    def ended(self, retrain_id: int) -> dict[str, Any]:
        """A retrain once it has ended."""
        deadline = time.monotonic() + 60
        while True:
            retrain: dict[str, Any] = self.client.get(f"/v1/retrains/{retrain_id}").json()
            if retrain["status"] not in ("scheduled", "running"):
                return retrain
            assert time.monotonic() < deadline, retrain
            time.sleep(0.01)

    def has_an_alert(self, **names: str) -> dict[str, Any]:
        """Orders with five normal weeks that fall: the alert as the API shows it."""
        shop = Shop(self.heed, **names)  # type: ignore[arg-type]
        shop.has_history()
        assert self.retrain()["status"] == "done"
        shop.send(24, at_once=True)
        shop.send(6, factor=0.4)
        return self.alert()

    def settle(self) -> None:
        """Wait until what the points so far are reason for has been done, and all that is due has been sent."""
        self.heed.committer.call(lambda: None)
        deadline = time.monotonic() + 60
        while self._is_sending():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def _is_sending(self) -> bool:
        now = wall_now()
        is_due = (Notification.next_attempt_at <= now) | (Notification.leased_until > now)
        with self.heed.database.reading() as session:
            waiting = sa.select(Notification.id).where(Notification.status == "pending", is_due)
            return session.scalar(waiting.limit(1)) is not None

    def alert(self) -> dict[str, Any]:
        """The newest alert about an anomaly."""
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
