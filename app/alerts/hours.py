"""When somebody is there to read an alert. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, ConfigDict, Field

from detectors.calendar import zone_names


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


def _known_zone(name: str) -> str:
    if name not in zone_names():
        raise ValueError("name an IANA time zone such as Europe/Berlin")
    return name


TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]
ZoneName = Annotated[str, AfterValidator(_known_zone)]


@dataclass(frozen=True)
class ActiveHours:
    """From a time of day up to another one, of some days; up to one that is not later, it is of the next day."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    start: Annotated[TimeOfDay, Field(description="Such as 08:00.")]
    end: Annotated[TimeOfDay, Field(description="Up to this time; if it is not later than `start`, of the next day.")]
    days: Annotated[
        tuple[Day, ...], Field(min_length=1, max_length=7, description="Days on which it starts. Default: all.")
    ] = DAYS

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> ActiveHours:
        """As `json` had them."""
        return cls(stored["start"], stored["end"], tuple(Day(day) for day in stored["days"]))

    def json(self) -> dict[str, Any]:
        return {"start": self.start, "end": self.end, "days": list(self.days)}

    def hold(self, at: datetime, timezone: str) -> bool:
        """Whether this time lies within them, by the clocks of that zone."""
        local = at.astimezone(ZoneInfo(timezone))
        start, end, now = time.fromisoformat(self.start), time.fromisoformat(self.end), local.time()
        today = self._starts_on(local)
        if start < end:
            return today and start <= now < end
        return (today and now >= start) or (self._starts_on(local - timedelta(days=1)) and now < end)

    def next_start(self, after: datetime, timezone: str) -> datetime:
        """When they begin next, later than this time."""
        zone, start = ZoneInfo(timezone), time.fromisoformat(self.start)
        today = after.astimezone(zone).date()
        days = (datetime.combine(today + timedelta(days=ahead), start, zone) for ahead in range(9))
        return next(day.astimezone(UTC) for day in days if self._starts_on(day) and day.astimezone(UTC) > after)

    def _starts_on(self, day: datetime) -> bool:
        return DAYS[day.weekday()] in self.days


MORNING = ActiveHours("08:00", "08:00")
"""Where nobody has said when the readers are there: their day begins at eight."""
