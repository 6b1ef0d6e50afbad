"""What routes need of the running Heed. The class itself is a root, which routes may not import."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Protocol

from fastapi import Depends, Request

from app.clock import Clock
from app.outbound import Outbound
from app.pipeline.creations import Maker
from app.pipeline.ingest import Committer
from app.pipeline.notify import Notifier
from app.pipeline.retrain import Retrainer
from app.security import Links, Vault
from app.store.database import Database
from app.store.tables import Anomaly


class Pictures(Protocol):
    def png(self, alert_id: int, until: int) -> bytes | None:
        """The picture of an alert as it was at a time (unix seconds), none where there is nothing to show."""
        ...


class Settings(Protocol):
    @property
    def max_body_mb(self) -> float: ...
    @property
    def max_points(self) -> int: ...
    @property
    def new_series_per_token(self) -> int: ...


class Service(Protocol):
    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def committer(self) -> Committer: ...
    @property
    def maker(self) -> Maker: ...
    @property
    def links(self) -> Links: ...
    @property
    def vault(self) -> Vault: ...
    @property
    def pictures(self) -> Pictures: ...
    @property
    def outbound(self) -> Outbound: ...
    @property
    def notifier(self) -> Notifier: ...
    @property
    def retrainer(self) -> Retrainer: ...
    def resume(self, runs: Sequence[Anomaly], now: datetime) -> None:
        """Let runs go on that somebody had ended and no longer has, as far as their series are strange still."""
        ...

    @property
    def base_threshold(self) -> float:
        """The rarity that the alert budget alone asks for, log10 weeks."""
        ...


async def running(request: Request) -> Service:
    """Asynchronous only because FastAPI would send a plain function to a thread, which costs the hot path 0.1 ms."""
    service: Service = request.app.state.heed
    return service


Heed = Annotated[Service, Depends(running)]
