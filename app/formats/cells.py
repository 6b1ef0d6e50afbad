"""Cells of CSV files as people write them; one meaning of them for `heed import`, `assess` and `backtest`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

MISSING = frozenset({"", "null", "none", "nan", "na", "n/a", "-"})
FINER_UNITS = {"milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
LATEST = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())


def unix_seconds(text: str, zone: tzinfo | None) -> int:
    """A time in unix seconds or RFC 3339; one that names no zone is of the given one. A fraction is dropped.

    Raises ValueError with what is wrong.
    """
    try:
        number = float(text)
    except ValueError:
        number = _of_moment(text.strip(), zone)
    if fault := fault_of_time(number):
        raise ValueError(fault)
    return math.floor(number)


def fault_of_time(seconds: float) -> str:
    """Why a number can't be unix seconds from 1970 to 2100; empty where it can."""
    if 0 <= seconds < LATEST:
        return ""
    unit = next((unit for unit, of_a_second in FINER_UNITS.items() if 0 <= seconds / of_a_second < LATEST), "")
    looks = f": it looks like {unit}, and must be unix seconds" if unit else ""
    return f"the timestamp does not lie from 1970 to 2100{looks}"


def number(text: str) -> float:
    """A value, NaN where it is said to be missing. Raises ValueError."""
    return math.nan if text.strip().lower() in MISSING else float(text)


def fault_of_separator(header: Sequence[str]) -> str:
    """What to do about a first line that other marks than commas divide; empty where none does."""
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and mark in header[0]:
            return f"its columns are divided by {name}: divide them by commas, and write numbers with a decimal point"
    return ""


def _of_moment(text: str, zone: tzinfo | None) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            "the timestamp is neither RFC 3339 nor unix seconds, such as 2026-01-31T00:00:00Z or 1769817600"
        ) from None
    if moment.tzinfo is None and zone is None:
        raise ValueError("the timestamp has no time zone: say which it is with --timezone, such as --timezone UTC")
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
