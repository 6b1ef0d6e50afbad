"""Times by cron: five fields in a time zone, as APScheduler reads them, in the ways that people mean them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from app.errors import Unprocessable

FIELDS = 5
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
EXAMPLE = "`0 3 * * mon` is every Monday at 3."
LEAST_APART = timedelta(minutes=5)


class Cron:
    """When a cron is due. Raises Unprocessable where it can't be read, or would never be."""

    def __init__(self, text: str, timezone: str, *, now: datetime) -> None:
        self._zone = ZoneInfo(timezone)
        parts = text.split()
        if len(parts) != FIELDS:
            raise Unprocessable(f"`cron` has five fields: minute, hour, day, month, day of the week. {EXAMPLE}")
        minute, hour, day, month, weekday = parts
        if day != "*" and weekday != "*":
            raise Unprocessable("Give `cron` a day of the month or a day of the week, and `*` for the other.")
        self._every_hour = hour.startswith("*")
        try:
            self._trigger = CronTrigger(
                minute=minute, hour=hour, day=day, month=month, day_of_week=_named(weekday), timezone=self._zone
            )
        except ValueError:
            raise Unprocessable(f"One of the fields of `cron` can't be read. {EXAMPLE}") from None
        first = self._trigger.get_next_fire_time(None, now)
        if first is None:
            raise Unprocessable("`cron` names a day that never comes. Choose another day or month.")
        if self.after(first) - first < LEAST_APART:
            raise Unprocessable("`cron` would be due more often than every five minutes. Choose fewer minutes.")

    def after(self, moment: datetime) -> datetime:
        """When it is next due after a moment, in UTC.

        An hour that the clocks repeat is due once, unless the cron is due every hour or every few.
        """
        due = self._next(moment)
        if due.fold and not self._every_hour:
            due = self._next(due + timedelta(hours=1))
        return due.astimezone(UTC)

    def _next(self, moment: datetime) -> datetime:
        later = moment.astimezone(UTC) + timedelta(seconds=1)  # in UTC: a sum of local times forgets which hour it was
        due: datetime = self._trigger.get_next_fire_time(None, later)
        return due


def _named(weekday: str) -> str:
    """The days of the week by name: cron counts from Sunday, APScheduler from Monday. Raises ValueError."""
    if weekday == "*" or re.search("[a-z]", weekday):
        return weekday
    numbers: set[int] = set()
    for part in weekday.split(","):
        read = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?", part)
        if read is None:
            raise ValueError("a day of the week is a number, a span or a step")
        first, last, step = (None if each is None else int(each) for each in read.groups())
        span = range(7) if first is None else range(first, (first if last is None else last) + 1)
        numbers.update(span[:: step or 1])
    if not numbers or max(numbers) > len(DAYS):
        raise ValueError("a day of the week is 0 to 7")
    return ",".join(DAYS[number % len(DAYS)] for number in sorted(numbers))
