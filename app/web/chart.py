"""A chart as geometry for an inline SVG: line, expected value, band, and what was strange. Needs no script.

x is in percent of the width, so that the picture stretches while its text keeps its size; y is in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app.alerts.message import AlertFacts
from app.alerts.wording import clipped, quantity
from app.store import happenings, points
from app.store import series as stored_series
from app.store.points import PointBatch
from detectors.contract import Bools, Floats, Ints

Values = Floats | NDArray[np.float32]

WIDTH = 1000.0  # of the stretched part
HEIGHT = 200
TOP, BOTTOM = 12, 8
GAP_STEPS = 3
Y_TICKS = 4
MOST_X_TICKS = 4
HOUR = 3600
DAY = 24 * HOUR
TICK_HOURS = (1, 2, 3, 6, 12)
STEPS_BEFORE, STEPS_AFTER = 150, 30
LEAST_BEFORE = timedelta(days=2)
FALLBACK_CADENCE = 3600
SMALLEST_SHARE = 1e-6
SMALLEST_MARGIN = 1e-30
LONGEST_LABEL = 24
LETTER_SHARE = 0.022
"""Of the width of a picture that fills a phone, what a letter takes: 24 of them a little more than half."""
BAND_ROOM = 0.6
"""How far a very wide band may stretch the picture beyond the values, as a share of their range."""


@dataclass(frozen=True)
class Mark:
    """A span to mark, unix seconds, both ends included."""

    start: int
    end: int


@dataclass(frozen=True)
class NamedMark:
    """An event, unix seconds, from its start until before its end."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Shown:
    """What a picture is drawn of: one series' points by time, its anomalies and the events among them, its cadence."""

    batch: PointBatch
    marks: Sequence[Mark]
    events: Sequence[NamedMark]
    step: timedelta


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class Dot:
    x: float
    y: float


@dataclass(frozen=True)
class Span:
    x: float
    width: float


@dataclass(frozen=True)
class EventSpan:
    """An event in the picture. label: its name, if there is room; from its left end on, or up to its right one."""

    x: float
    width: float
    name: str
    label: str
    label_at: float
    label_ends: bool


@dataclass(frozen=True)
class Chart:
    """What the template draws. Paths are in a box of WIDTH by HEIGHT."""

    height: int
    band: str
    expected: str
    value: str
    strange: str
    spans: list[Span]
    events: list[EventSpan]
    dots: list[Dot]
    y_ticks: list[Tick]
    x_ticks: list[Tick]
    zone: str


@dataclass(frozen=True)
class _Scale:
    """From seconds and values to the box."""

    start: int
    end: int
    low: float
    high: float

    def x(self, timestamp: Ints) -> Floats:
        return np.asarray((timestamp - self.start) / (self.end - self.start) * WIDTH, np.float64)

    def y(self, value: Values) -> Floats:
        share = np.clip((value.astype(np.float64) - self.low) / (self.high - self.low), -0.2, 1.2)
        return np.asarray(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), np.float64)

    def percent(self, timestamp: int) -> float:
        return round(100 * (timestamp - self.start) / (self.end - self.start), 2)


def points_of(session: Session, facts: AlertFacts, *, until: int) -> Shown | None:
    """The foremost series of an alert around its anomaly, up to a time."""
    foremost = facts.foremost
    series = stored_series.get(session, foremost.series.id) if foremost else None
    if foremost is None or series is None:
        return None
    step = timedelta(seconds=series.cadence_seconds or FALLBACK_CADENCE)
    last = foremost.ended_at or datetime.fromtimestamp(until, UTC)
    before = max(STEPS_BEFORE * step, LEAST_BEFORE)
    start = max(foremost.started_at, last - 2 * before) - before
    end = min(int((last + STEPS_AFTER * step).timestamp()), until + 1)
    batch = points.read_points(session, [series.id], int(start.timestamp()), end)
    marks = [
        Mark(int(each.started_at.timestamp()), int((each.ended_at or last).timestamp()))
        for each in facts.anomalies
        if each.series.id == series.id
    ]
    events = [
        NamedMark(name, int(each.start.timestamp()), int(each.end.timestamp()))
        for name, each in happenings.events_of(session, series, start, datetime.fromtimestamp(end, UTC))
    ]
    return Shown(batch, marks, sorted(events, key=lambda each: each.start), step)


def draw(
    batch: PointBatch,
    marks: Sequence[Mark],
    *,
    cadence_seconds: int,
    timezone: str,
    events: Sequence[NamedMark] = (),
) -> Chart | None:
    """The chart of one series' points, sorted by time; None where there are too few to show."""
    if np.isfinite(batch.value).sum() < 2:
        return None
    time = batch.timestamp
    scale = _Scale(int(time[0]), int(time[-1]), *value_range(batch))
    strange = within(time, marks)
    breaks = np.flatnonzero(np.diff(time) > GAP_STEPS * cadence_seconds) + 1
    return Chart(
        height=HEIGHT,
        band=_area(scale, time, batch.lower, batch.upper, breaks),
        expected=_line(scale, time, batch.expected, breaks),
        value=_line(scale, time, batch.value, breaks),
        strange=_line(scale, time, np.where(strange, batch.value, np.nan), breaks),
        spans=list(_spans(scale, marks, cadence_seconds)),
        events=[
            EventSpan(
                scale.percent(each.start),
                round(scale.percent(each.end) - scale.percent(each.start), 2),
                each.name,
                each.label,
                scale.percent(each.end if each.label_ends else each.start),
                each.label_ends,
            )
            for each in within_picture(events, scale.start, scale.end)
        ],
        dots=_dots(scale, time, np.where(strange, batch.value, np.nan)),
        y_ticks=_y_ticks(scale),
        x_ticks=[Tick(scale.percent(at), label) for at, label in time_ticks(scale.start, scale.end, timezone)],
        zone=timezone,
    )


@dataclass(frozen=True)
class InPicture:
    """The part of an event that a picture shows, unix seconds. label: as in `EventSpan`."""

    name: str
    start: int
    end: int
    label: str
    label_ends: bool


def within_picture(events: Sequence[NamedMark], start: int, end: int) -> list[InPicture]:
    """Events by their start, cut to the picture. Their labels are one line: of two that would meet one is left out."""
    shown = []
    free_from = float(start)
    for event in events:
        left, right = max(event.start, start), min(event.end, end)
        if left >= right:
            continue
        label = clipped(event.name, LONGEST_LABEL)
        room = len(label) * LETTER_SHARE * (end - start)
        ends = left + room > end
        begins = right - room if ends else left
        fits = begins >= free_from
        if fits:
            free_from = begins + room
        shown.append(InPicture(event.name, left, right, label if fits else "", ends))
    return shown


def value_range(batch: PointBatch) -> tuple[float, float]:
    """Low and high end of the picture: all values and expectations, and of the band what is not far beyond."""
    shown = np.concatenate([batch.value, batch.expected])
    shown = shown[np.isfinite(shown)]
    low, high = float(shown.min()), float(shown.max())
    room = BAND_ROOM * (high - low or abs(high) or 1.0)
    band = np.concatenate([batch.lower, batch.upper]).astype(np.float64)
    band = np.clip(band[np.isfinite(band)], low - room, high + room)
    low, high = min(low, *band, low), max(high, *band, high)
    margin = max(0.04 * (high - low), SMALLEST_SHARE * max(abs(low), abs(high)), SMALLEST_MARGIN)
    return (low if low >= 0 > low - margin else low - margin), high + margin


def within(time: Ints, marks: Sequence[Mark]) -> Bools:
    """Which of these times lie in a marked span."""
    inside = np.zeros(len(time), np.bool_)
    for mark in marks:
        inside |= (time >= mark.start) & (time <= mark.end)
    return inside


def _pieces(value: Values, breaks: Ints) -> Iterator[Ints]:
    """Runs of indices without a missing value or a gap in time."""
    starts = set(breaks.tolist())
    piece: list[int] = []
    for index in range(len(value)):
        if piece and (index in starts or not np.isfinite(value[index])):
            yield np.array(piece)
            piece = []
        if np.isfinite(value[index]):
            piece.append(index)
    if piece:
        yield np.array(piece)


def _line(scale: _Scale, time: Ints, value: Values, breaks: Ints) -> str:
    return " ".join(_path(scale.x(time[piece]), scale.y(value[piece])) for piece in _pieces(value, breaks))


def _area(scale: _Scale, time: Ints, lower: Values, upper: Values, breaks: Ints) -> str:
    """The upper edge from left to right, then the lower edge back."""
    parts = []
    for piece in _pieces(lower + upper, breaks):
        x = scale.x(time[piece])
        around = np.concatenate([piece, piece[::-1]])
        y = np.concatenate([scale.y(upper[piece]), scale.y(lower[piece])[::-1]])
        parts.append(_path(scale.x(time[around]), y) + "Z" if len(x) > 1 else "")
    return " ".join(parts)


def _path(x: Floats, y: Floats) -> str:
    points = [f"{left:.1f},{top:.1f}" for left, top in zip(x.tolist(), y.tolist(), strict=True)]
    return "M" + "L".join(points if len(points) > 1 else points * 2)


def _spans(scale: _Scale, marks: Sequence[Mark], cadence_seconds: int) -> Iterator[Span]:
    half = cadence_seconds // 2
    for mark in marks:
        left, right = max(mark.start - half, scale.start), min(mark.end + half, scale.end)
        if left < right:
            yield Span(scale.percent(left), round(scale.percent(right) - scale.percent(left), 2))


def _dots(scale: _Scale, time: Ints, value: Values) -> list[Dot]:
    """The strange points, when they are few enough to be told apart."""
    there = np.flatnonzero(np.isfinite(value))
    if there.size > 40:
        return []
    y = scale.y(value[there])
    return [Dot(scale.percent(int(time[at])), round(float(top), 1)) for at, top in zip(there, y, strict=True)]


def _y_ticks(scale: _Scale) -> list[Tick]:
    values = np.array(value_ticks(scale.low, scale.high))
    return [
        Tick(round(float(top), 1), quantity(value))
        for value, top in zip(values.tolist(), scale.y(values), strict=True)
        if TOP <= top <= HEIGHT - 2
    ]


def value_ticks(low: float, high: float) -> list[float]:
    """A few round values between two."""
    step = round_step((high - low) / Y_TICKS)
    return [float(f"{value:.12g}") for value in np.arange(np.ceil(low / step) * step, high, step)]


def round_step(size: float) -> float:
    """The nearest of 1, 2, 2.5 or 5 times a power of ten that is at least `size`."""
    power = 10.0 ** np.floor(np.log10(size))
    return float(next(power * lead for lead in (1, 2, 2.5, 5, 10) if power * lead >= size * 0.999))


def time_ticks(start: int, end: int, timezone: str) -> list[tuple[int, str]]:
    """Local midnights, thinned out; or full hours, where the picture holds less than two days. Unix seconds, words."""
    zone = ZoneInfo(timezone)
    if end - start < 2 * DAY:
        hours = next((each for each in TICK_HOURS if (end - start) / (each * HOUR) <= MOST_X_TICKS), TICK_HOURS[-1])
        moments = [each for each in _local_hours(start, end, zone) if each.hour % hours == 0]
        return [(int(each.timestamp()), f"{each:%H:%M}") for each in moments]
    days = [each for each in _local_hours(start, end, zone) if each.hour == 0]
    every = max(1, -(-len(days) // MOST_X_TICKS))
    return [(int(each.timestamp()), f"{each.day} {each:%b}") for each in days[::every]]


def _local_hours(start: int, end: int, zone: ZoneInfo) -> Iterator[datetime]:
    first = datetime.fromtimestamp(start, UTC).replace(minute=0, second=0) + timedelta(hours=1)
    count = (end - int(first.timestamp())) // HOUR + 1
    for hour in range(max(count, 0)):
        local = (first + timedelta(hours=hour)).astimezone(zone)
        if local.minute == 0 or local.hour == 0:
            yield local
