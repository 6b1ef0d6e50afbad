"""When jobs fire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.cron import CronTrigger

from app.clock import EventClock
from app.schedule import NIGHTLY_HOUR, NIGHTLY_MINUTE, Job, Schedule, every
from app.store.database import Database

NIGHT = {"hour": NIGHTLY_HOUR, "minute": NIGHTLY_MINUTE}


def schedule_of(database: Database, clock: EventClock, fired: list[datetime], zone: str = "UTC") -> Schedule:
    """One nightly job that notes when it ran."""

    def run(now: datetime) -> str:
        fired.append(now)
        return "ran"

    job = Job("nightly", CronTrigger(**NIGHT, timezone=ZoneInfo(zone)), run, once_a_day=True)
    return Schedule(database, clock, zone, [job])


def pass_hours(schedule: Schedule, clock: EventClock, start: datetime, hours: int) -> None:
    """Event time passes in steps of half an hour."""
    for step in range(2 * hours):
        clock.saw(int((start + timedelta(minutes=30 * step)).timestamp()))
        schedule.run_due()


@pytest.mark.parametrize(
    ("zone", "changes"),
    [
        ("Europe/Berlin", (datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC))),
        ("America/New_York", (datetime(2026, 3, 7, tzinfo=UTC), datetime(2026, 10, 31, tzinfo=UTC))),
        ("Australia/Lord_Howe", (datetime(2026, 4, 4, tzinfo=UTC), datetime(2026, 10, 3, tzinfo=UTC))),
        ("Africa/Cairo", (datetime(2026, 4, 23, tzinfo=UTC), datetime(2026, 10, 29, tzinfo=UTC))),
    ],
)
def test_a_nightly_job_fires_once_a_local_day_when_the_clocks_change(
    database: Database, zone: str, changes: tuple[datetime, ...]
) -> None:
    """Guarantee 21."""
    for start in changes:
        fired: list[datetime] = []
        clock = EventClock()
        clock.saw(int(start.timestamp()))
        schedule = schedule_of(database, clock, fired, zone)
        schedule.resume()
        pass_hours(schedule, clock, start, 96)
        nights = [moment.astimezone(ZoneInfo(zone)).date() for moment in fired[1:]]  # the first makes up for the last
        assert len(nights) == len(set(nights))
        assert len(nights) == 4


def test_a_slot_fires_once_however_many_processes_want_it(database: Database) -> None:
    """Guarantee 20 in the small: eight schedules, the same nights, at the same moment."""
    fired: list[datetime] = []
    clocks = [EventClock() for _ in range(8)]
    schedules = [schedule_of(database, clock, fired) for clock in clocks]
    start = datetime(2026, 5, 1, 4, tzinfo=UTC)
    for night in range(5):
        barrier = Barrier(len(schedules))

        def go(index: int, night: int = night, barrier: Barrier = barrier) -> None:
            clocks[index].saw(int((start + timedelta(days=night)).timestamp()))
            barrier.wait()
            schedules[index].run_due()

        with threads(go, len(schedules)):
            pass
    assert len(fired) == 5


def test_a_night_that_was_missed_is_made_up_for_after_a_restart(database: Database) -> None:
    fired: list[datetime] = []
    clock = EventClock()
    clock.saw(int(datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp()))
    for _ in range(2):  # the second start finds the night's slot taken
        schedule = schedule_of(database, clock, fired)
        schedule.resume()
        schedule.run_due()
    assert len(fired) == 1


def test_a_job_that_fails_leaves_the_others_to_run(database: Database) -> None:
    ran: list[str] = []

    def fail(now: datetime) -> str:
        raise RuntimeError("no")

    def succeed(now: datetime) -> str:
        ran.append("ran")
        return "ran"

    every_minute = every(minutes=1)
    clock = EventClock()
    schedule = Schedule(database, clock, "UTC", [Job("bad", every_minute, fail), Job("good", every_minute, succeed)])
    for minute in range(3):
        clock.saw(1_780_000_000 + 61 * minute)
        schedule.run_due()
    assert ran == ["ran"] * 3


@contextmanager
def threads(work, count: int) -> Iterator[None]:  # type: ignore[no-untyped-def]
    running = [Thread(target=work, args=(index,)) for index in range(count)]
    for each in running:
        each.start()
    yield
    for each in running:
        each.join()
