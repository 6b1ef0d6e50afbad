"""The running service: everything that Heed is made of, put together, started and stopped in order."""

from __future__ import annotations

import logging
import math
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Self

import structlog
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from app.api import create_app
from app.channels.setup import NewChannel, set_up_channels
from app.clock import Clock, EventClock, WallClock, wall_now
from app.errors import Conflict
from app.outbound import Outbound
from app.pipeline import rescore
from app.pipeline.create import Creator
from app.pipeline.found_gaps import GapFinder
from app.pipeline.ingest import Committer, IngestRules
from app.pipeline.learn import finish_what_was_begun
from app.pipeline.notify import Notifier
from app.pipeline.retrain import Retrainer
from app.schedule import Schedule, jobs_of
from app.security import Links, Vault, read_secret_key
from app.settings import ClockChoice, Settings
from app.store import installation, tokens
from app.store.database import Database
from app.store.migrate import upgrade
from app.store.ownership import Ownership
from app.store.tables import Anomaly
from app.web.picture import Pictures

PARTITIONS = 1
"""One process owns everything, so one partition; the number is fixed when the database is made."""

GRACEFUL_SECONDS = 10

CHOICE_BUDGET_MS = {ClockChoice.WALL: 60_000.0, ClockChoice.EVENT: 1_000.0}
"""What trying dear detectors may cost a night; a replay has a night every second or so."""


class Heed:
    """One process that does everything: API, scoring, alerts, deliveries, jobs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.database_url.get_secret_value())
        self.clock: Clock = EventClock() if settings.clock is ClockChoice.EVENT else WallClock()
        secret_key = read_secret_key(settings.secret_key_file)
        self.vault = Vault(secret_key)
        self.links = Links(secret_key, settings.public_url)
        self.base_threshold = -math.log10(settings.alerts_per_week)
        self.new_admin_token: str | None = None
        self.new_channels: list[NewChannel] = []
        self.outbound = Outbound.allowing(settings.allow_private_targets)
        self.pictures = Pictures(self.database, self.links, self.clock)
        self.notifier = Notifier(
            self.database, self.vault, self.links, self.outbound, self.pictures, limited=not self._follows_events
        )
        self.committer = Committer(
            self.database,
            self.clock,
            IngestRules(
                settings.timezone,
                PARTITIONS,
                {
                    "alerts_per_week": settings.alerts_per_week,
                    "timezone": settings.timezone,
                    "country": settings.country,
                },
                timedelta(days=settings.label_half_life_days),
            ),
            told=self.notifier.wake,
            committed=self._committed,
            arriving=lambda arrivals: self.gap_finder.look_for_zeros(arrivals, self.clock.now()),
        )
        self.gap_finder = GapFinder(self.committer)
        self.maker = Creator(self.committer)
        self.retrainer = Retrainer(self.committer)
        self.jobs = jobs_of(
            self.committer,
            self.notifier,
            self.gap_finder,
            settings.timezone,
            choice_budget_ms=CHOICE_BUDGET_MS[settings.clock],
            picture_lifetime=self.links.lifetime,
            longest_gap=timedelta(days=settings.longest_gap_days),
            retention=timedelta(days=settings.retention_days) if settings.retention_days else None,
        )
        self.schedule = Schedule(self.database, self.clock, settings.timezone, self.jobs)
        self._held = ExitStack()

    def resume(self, runs: Sequence[Anomaly], now: datetime) -> None:
        """Let runs go on that somebody had ended and no longer has, as far as their series are strange still."""
        rescore.resume(self.committer, runs, now)

    @property
    def _follows_events(self) -> bool:
        return self.settings.clock is ClockChoice.EVENT

    def start(self) -> None:
        """Own the database, bring it up to date, recover the partitions, then take work."""
        self._held.enter_context(Ownership(self.database))
        upgrade(self.database)
        with self.database.writing() as session:
            installation.remember(session, "partitions", str(self.committer.rules.partition_count))
            self.new_admin_token = tokens.ensure_admin(
                session,
                chosen=_plain(self.settings.admin_token),
                new_series_limit=self.settings.new_series_per_token,
                now=wall_now(),
            )
            addresses = {
                "slack": _plain(self.settings.slack_webhook_url),
                "webhook": _plain(self.settings.webhook_url),
            }
            self.new_channels = set_up_channels(session, self.vault, addresses, wall_now())
        self.committer.start()
        finish_what_was_begun(self)
        self.pictures.start()
        self.notifier.start()
        self.retrainer.start()
        if not self._follows_events:
            self.schedule.start()
        elif any(partition.newest for partition in self.committer.partitions):
            self.schedule.resume()

    def stop(self) -> None:
        """Finish what was begun, in the order in which work flows."""
        self.committer.close()
        self.retrainer.stop()
        self.schedule.stop()
        self.committer.stop()
        self.notifier.stop()
        self.pictures.stop()
        self._held.close()
        self.database.close()

    def _committed(self) -> None:
        if self._follows_events:
            self.schedule.run_due()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def serve(settings: Settings) -> None:
    """Run until a signal says to stop. What keeps it from starting is raised before a request is taken."""
    log_to_stderr()
    heed = Heed(settings)
    with _reserved(settings.host, settings.port) as address:
        heed.start()
        app = create_app(heed)

        @asynccontextmanager
        async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
            welcome(heed)
            yield
            heed.stop()  # here, since uvicorn ends the process with the signal that stopped it

        app.router.lifespan_context = lifespan
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[address])


def _reserved(host: str, port: int) -> socket.socket:
    """The address to listen on, taken before any work is; nobody is let in yet."""
    address = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    address.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        address.bind((host, port))
    except OSError as fault:
        address.close()
        raise Conflict(
            f"Heed can't listen on HEED_HOST and HEED_PORT ({fault.strerror}). Stop what listens there, or set others."
        ) from None
    return address


def welcome(heed: Heed) -> None:
    """What the operator must see at the start, some of it once only."""
    print(f"Heed listens on {heed.settings.public_url} (API: {heed.settings.public_url}/docs)")
    if heed.new_admin_token:
        print(f"Admin token, shown this once: {heed.new_admin_token}")
    for channel in heed.new_channels:
        if channel.signing_secret:
            print(f"Signing secret of channel {channel.name}, shown this once: {channel.signing_secret}")
    sys.stdout.flush()


def log_to_stderr() -> None:
    """One line a decision, event first, on standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
