"""Wall-clock time in a series' own zone, for many instants at once, right on 23-hour and 25-hour days.

Offsets come from the system's zone rules, looked up once per zone as a table of its changes.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

import numpy as np

from detectors.contract import Ints

HOUR, DAY, WEEK = 3_600, 86_400, 604_800
FIRST_YEAR, LAST_YEAR = 1970, 2100
"""Changes of offset are known between these years; outside, the nearest known offset holds."""


@cache
def zone_names() -> frozenset[str]:
    """All IANA zones that this machine knows; looked for once, since that takes a walk through hundreds of files."""
    return frozenset(available_timezones())


def local_seconds(timestamp: Ints, zone: str) -> Ints:
    """Unix seconds as wall-clock seconds (unix seconds + UTC offset) in an IANA zone.

    Raises ZoneInfoNotFoundError for an unknown zone.
    """
    starts, offsets = zone_changes(zone)
    if len(offsets) == 1:
        return np.asarray(timestamp + offsets[0])
    place = np.searchsorted(starts, timestamp, side="right") - 1
    return np.asarray(timestamp + offsets[np.maximum(place, 0)])


def local_seconds_of_many(timestamp: Ints, zones: list[str], zone: Ints) -> Ints:
    """The same where each instant has its own zone: `zone` holds indices into `zones`, in the shape of `timestamp`."""
    local = np.empty_like(timestamp)
    for index, name in enumerate(zones):
        there = zone == index
        local[there] = local_seconds(timestamp[there], name)
    return local


@lru_cache(maxsize=512)
def zone_changes(zone: str) -> tuple[Ints, Ints]:
    """When each UTC offset of a zone starts (unix seconds) and what it is (seconds)."""
    rules = ZoneInfo(zone)
    day, last = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC), datetime(LAST_YEAR, 1, 1, tzinfo=UTC)
    starts, offsets = [_unix(day)], [_offset(rules, day)]
    while day < last:
        following = day + timedelta(days=7)
        if _offset(rules, following) != offsets[-1]:
            change = _first_with_another_offset(rules, day, following)
            starts.append(change)
            offsets.append(_offset(rules, datetime.fromtimestamp(change, UTC)))
            following = datetime.fromtimestamp(change, UTC)
        day = following
    return np.array(starts, np.int64), np.array(offsets, np.int64)


def _first_with_another_offset(rules: ZoneInfo, before: datetime, after: datetime) -> int:
    """First unix second in (before, after] at which the offset is no longer the one at `before`."""
    usual = _offset(rules, before)
    start = _unix(before)

    def is_another(second: int) -> bool:
        return _offset(rules, datetime.fromtimestamp(second, UTC)) != usual

    return start + bisect_right(range(start, _unix(after) + 1), False, key=is_another)


def _offset(rules: ZoneInfo, instant: datetime) -> int:
    offset = instant.astimezone(rules).utcoffset()
    return int(offset.total_seconds()) if offset else 0


def _unix(instant: datetime) -> int:
    return int(instant.timestamp())


def day_of_week(local: Ints) -> Ints:
    """0 (Monday) to 6 of wall-clock seconds; 1 January 1970 was a Thursday."""
    return (local // DAY + 3) % 7
