"""When somebody is there to read an alert. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, ClassVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, ConfigDict, Field


class Day(StrEnum):
    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


DAYS = tuple(Day)


def _time_of_day(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError("give a time of day such as 08:00")
    return text


TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]


@dataclass(frozen=True)
class ActiveHours:
    """From a time of day up to another one, of some days; up to one that is not later, it is of the next day."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    start: Annotated[TimeOfDay, Field(description="Such as 08:00.")]
    end: Annotated[TimeOfDay, Field(description="Up to this time; if it is not later than `start`, of the next day.")]
    days: Annotated[tuple[Day, ...], Field(max_length=7, description="Days on which it starts. Default: all.")] = DAYS

    def hold(self, at: datetime, timezone: str) -> bool:
        """Whether this time lies within them, by the clocks of that zone."""
        local = at.astimezone(ZoneInfo(timezone))
        start, end, now = time.fromisoformat(self.start), time.fromisoformat(self.end), local.time()
        today = self._starts_on(local)
        if start < end:
            return today and start <= now < end
        return (today and now >= start) or (self._starts_on(local - timedelta(days=1)) and now < end)

    def _starts_on(self, day: datetime) -> bool:
        return DAYS[day.weekday()] in self.days
