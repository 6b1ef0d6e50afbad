"""Numbers, times and rarity as people say them. Pure: facts in, words out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

NAME_LIMIT = 80
EXACT_COUNT_BELOW = 10_000
MILLIONS = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"))
UNITS = {"ms": " ms", "milliseconds": " ms", "seconds": " s", "bytes": " B", "percent": " %", "pct": " %"}
UNITS |= {currency: f" {currency.upper()}" for currency in ("eur", "usd", "gbp", "jpy", "chf")}
WEEKS_A_YEAR = 52.18
YEAR_IS_KNOWN_FOR = timedelta(days=300)


@dataclass(frozen=True)
class Difference:
    """Actual against expected, rounded so that the three numbers and the percentage agree with each other."""

    actual: str
    expected: str
    size: str
    percent: str | None  # None where the expectation is so near zero that a share of it says nothing
    is_from_nothing: bool  # whether the difference is all there is, so that to say it says nothing more


def difference(actual: float, expected: float, unit: str = "") -> Difference:
    """The four numbers of one sentence.

    Rounded to three digits, below 1 to two, and finer where both would otherwise look the same; small whole numbers are
    counts of something and stay exact.
    """
    actual, expected = _bounded(actual), _bounded(expected)
    finest = _place(actual - expected, digits=2)
    place_of_actual = 0 if _is_count(actual) else min(_place_of(actual), finest)
    place_of_expected = min(_place_of(expected), finest)
    said_actual, said_expected = _round_to(actual, place_of_actual), _round_to(expected, place_of_expected)
    gap = abs(said_actual - said_expected)
    if _place(gap, digits=2) >= (coarser := max(place_of_actual, place_of_expected)) > 0:
        gap = _round_to(gap, coarser)
    return Difference(
        actual=_said(said_actual, unit),
        expected=_said(said_expected, unit),
        size=_said(gap, " points" if unit == " %" else unit),
        percent=_percent(gap, said_expected),
        is_from_nothing=gap == abs(said_actual),
    )


def quantity(value: float, unit: str = "") -> str:
    """One number by itself: `12,300`, `1.23 million`, `0.042 s`; never a raw float."""
    value = _bounded(value)
    return _said(value if _is_count(value) else _round_to(value, _place(value, digits=3)), unit)


def unit_of(metric: str) -> str:
    """The unit that the metric's name ends in by common custom, as in `latency_ms`; empty where it tells none."""
    named, _, last = metric.lower().replace(".", "_").rpartition("_")
    return UNITS.get(last, "") if named else ""


def rarity_in_words(weeks: float) -> str:
    """A return period as one would say it: `once in 40 weeks`."""
    if weeks >= 100 * WEEKS_A_YEAR:
        return "less than once in 100 years"
    if weeks >= 2 * WEEKS_A_YEAR:
        return f"once in {_round_count(weeks / WEEKS_A_YEAR)} years"
    if weeks >= 1.5:
        return f"once in {_round_count(weeks)} weeks"
    if weeks > 0.75:
        return "once a week"
    times = _round_count(1 / max(weeks, 0.05))
    return {1: "once a week", 2: "twice a week", 20: "many times a week"}.get(times, f"{times} times a week")


def moment(at: datetime, timezone: str, told_at: datetime) -> str:
    """`Tue 3 Nov, 14:00 (Tokyo time)`; with the year where the reader would not guess it."""
    clock = f"{at.astimezone(_zone(timezone)):%H:%M}"
    return f"{day(at, timezone, told_at)}, {clock} ({_zone_in_words(timezone, at)})"


def on_moment(at: datetime, timezone: str, told_at: datetime) -> str:
    """`on Tue 3 Nov at 14:00 (Tokyo time)`."""
    clock = f"{at.astimezone(_zone(timezone)):%H:%M}"
    return f"on {day(at, timezone, told_at)} at {clock} ({_zone_in_words(timezone, at)})"


def day(at: datetime, timezone: str, told_at: datetime) -> str:
    """`Tue 3 Nov`, with the year where the reader would not guess it."""
    zone = _zone(timezone)
    return _day(at, zone) + (f" {at.astimezone(zone).year}" if abs(told_at - at) > YEAR_IS_KNOWN_FOR else "")


def span(start: datetime, end: datetime, timezone: str, told_at: datetime) -> str:
    """`from Tue 3 Nov, 14:00 to 18:00 (Tokyo time)`, with years where the reader would not guess them."""
    zone = _zone(timezone)
    began, over = start.astimezone(zone), end.astimezone(zone)
    last = _day(end, zone) if began.year == over.year else day(end, timezone, told_at)
    until = f"{over:%H:%M}" if began.date() == over.date() else f"{last}, {over:%H:%M}"
    return f"from {day(start, timezone, told_at)}, {began:%H:%M} to {until} ({_zone_in_words(timezone, start)})"


def lasting(length: timedelta) -> str:
    """`25 minutes`, `4 hours`, `3 days`."""
    minutes = max(1, round(length.total_seconds() / 60))
    if minutes < 100:
        return _counted(minutes, "minute")
    if minutes < 48 * 60:
        return _counted(round(minutes / 60), "hour")
    return _counted(round(minutes / 1440), "day")


def name_in_words(metric: str, dimensions: Mapping[str, str]) -> str:
    """`orders (country DE, device phone)`."""
    return f"{clipped(metric)} ({dimensions_in_words(dimensions)})" if dimensions else clipped(metric)


def dimensions_in_words(dimensions: Mapping[str, str]) -> str:
    """`country DE, device phone`."""
    listed = ", ".join(f"{clipped(name, 40)} {clipped(value, 40)}" for name, value in sorted(dimensions.items())[:6])
    return f"{listed}, …" if len(dimensions) > 6 else listed


def clipped(text: str, limit: int = NAME_LIMIT) -> str:
    """One line of bounded length without control characters, since names come from whoever posts points."""
    line = "".join(character if character.isprintable() else " " for character in text[: limit + 1])
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _said(rounded: float, unit: str) -> str:
    return f"{_number(rounded)}{unit}".replace("-", "−")


def _number(value: float) -> str:
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-6:
        return _power_of_ten(value)
    for scale, word in MILLIONS:
        if size >= scale:
            return f"{_plain(value / scale)} {word}"
    return _plain(value)


def _plain(rounded: float) -> str:
    return f"{rounded:,.10f}".rstrip("0").rstrip(".") if rounded else "0"


def _power_of_ten(value: float) -> str:
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def _place(value: float, digits: int) -> int:
    """The power of ten of the last of so many leading digits."""
    return math.floor(math.log10(abs(value))) - digits + 1 if value else 0


def _place_of(value: float) -> int:
    return _place(value, digits=3 if abs(value) >= 1 else 2)


def _bounded(value: float) -> float:
    """Short of where the difference or the rounding of two numbers overflows."""
    return max(-1e300, min(1e300, value))


def _round_to(value: float, place: int) -> float:
    return round(value, -place)


def _is_count(value: float) -> bool:
    return value == round(value) and abs(value) < EXACT_COUNT_BELOW


def _percent(gap: float, expected: float) -> str | None:
    if not expected or gap / abs(expected) > 100:
        return None
    percent = 100 * gap / abs(expected)
    return f"{percent:,.0f} %" if percent >= 10 else f"{_number(_round_to(percent, _place(percent, 2)))} %"


def _round_count(value: float) -> int:
    """Whole up to 20, then to fives, as one says a long time."""
    return round(value) if value < 20 else 5 * round(value / 5)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _day(at: datetime, zone: ZoneInfo) -> str:
    local = at.astimezone(zone)
    return f"{local:%a} {local.day} {local:%b}"


def _zone(timezone: str) -> ZoneInfo:
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def _zone_in_words(timezone: str, at: datetime) -> str:
    zone = _zone(timezone)
    area, _, place = zone.key.rpartition("/")
    if not area or area == "Etc" or place in ("UTC", "GMT"):
        name = at.astimezone(zone).tzname() or "UTC"
        return f"UTC{name}" if name[:1] in "+-" else name
    return f"{place.replace('_', ' ')} time"


def listed(names: Sequence[str]) -> str:
    """`DE, FR and IT`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
