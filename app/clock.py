"""What time it is. The only place that asks; everyone else is given `now`."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The present, aware, in UTC."""
        ...

    def saw(self, event_time: int) -> None:
        """A point of this event time (unix seconds) was committed."""
        ...


class WallClock:
    """The machine's clock: how Heed runs live."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def saw(self, event_time: int) -> None:
        pass


class EventClock:
    """Now is the newest event time seen, so a replay behaves as it would have live."""

    def __init__(self, newest: int = 0) -> None:
        self._newest = newest
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._newest, UTC) if self._newest else datetime.now(UTC)

    def saw(self, event_time: int) -> None:
        with self._lock:
            self._newest = max(self._newest, event_time)


def wall_now() -> datetime:
    """Real time, for what must not follow a replay: token and link expiry, leases, retries of deliveries."""
    return datetime.now(UTC)
