"""Curves as geometry for an inline SVG: the usual week of a series, and how small a change is seen. No script.

As in `chart.py`, x is in percent of the width where text and rules stand, and y is in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.alerts.wording import quantity
from app.web.chart import WIDTH, Tick, round_step
from detectors.calendar import DAY, HOUR, day_of_week
from detectors.contract import Floats, History
from detectors.injection import POWER, SIZES, WITHIN_POINTS

HEIGHT = 150
TOP, BOTTOM = 10, 8
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
USUAL = (10, 50, 90)
"""Percentiles of the values of one phase: the edges of what is usual, and the middle."""
STYLES = ("one", "three", "many")
TICK_SIZES = {"drop": (0.02, 0.05, 0.1, 0.25, 1.0), "spike": (0.02, 0.1, 0.5, 4.0)}
"""The last one is as large a change as is tried."""


@dataclass(frozen=True)
class Curve:
    """A line; `style` names how it is drawn."""

    style: str
    path: str


@dataclass(frozen=True)
class Figure:
    """What the template draws. Paths are in a box of chart.WIDTH by `height`. rule: a y to mark, or None."""

    title: str
    height: int
    curves: list[Curve]
    y_ticks: list[Tick]
    x_ticks: list[Tick]
    band: str = ""
    rule: float | None = None


def draw_week(history: History) -> Figure | None:
    """The middle and the usual range of the values at each phase of the local week; None where it tells nothing."""
    step = max(HOUR, min(history.cadence, DAY))
    if history.cadence > DAY or np.isfinite(history.values[0]).sum() < 2:
        return None
    second = day_of_week(history.local) * DAY + history.local % DAY
    phase, values = second // step, history.values[0]
    steps = -(-7 * DAY // step)
    low, middle, high = np.full((3, steps), np.nan)
    for place in range(steps):
        here = values[(phase == place) & np.isfinite(values)]
        if len(here):
            low[place], middle[place], high[place] = np.percentile(here, USUAL)
    known = np.flatnonzero(np.isfinite(middle))
    if len(known) < 2:
        return None
    bottom, top = float(np.nanmin(low)), float(np.nanmax(high))
    y = _Rising(bottom, top if top > bottom else bottom + (abs(bottom) or 1.0))
    x = (known + 0.5) / steps * WIDTH
    return Figure(
        title="The usual week, and where eight of ten values lie",
        height=HEIGHT,
        curves=[Curve("many", _path(x, y.of(middle[known])))],
        band=_area(x, y.of(low[known]), y.of(high[known])),
        y_ticks=[Tick(float(y.of(np.array([value]))[0]), quantity(float(f"{value:.12g}"))) for value in y.steps],
        x_ticks=[Tick(round(100 * (day + 0.5) / 7, 2), name) for day, name in enumerate(DAYS)],
    )


def draw_power(power: Floats, kind: str) -> Figure | None:
    """Share of injected drops or spikes told, over their size; `power` as in `Course`. None where none is known."""
    side, ticks = (0 if kind == "drop" else 1), TICK_SIZES[kind]
    shown = np.less_equal(SIZES, ticks[-1])
    sizes, share = SIZES[shown], power[shown, side]
    if not np.isfinite(share).any():
        return None
    y = _Rising(0.0, 1.0)
    x = _logarithmic(sizes, sizes[0], ticks[-1])
    return Figure(
        title=f"{kind.capitalize()}s that would be seen",
        height=HEIGHT,
        curves=[
            Curve(style, _path(x, y.of(share[:, place])))
            for place, style in zip(range(len(WITHIN_POINTS)), STYLES, strict=True)
            if np.isfinite(share[:, place]).all()
        ],
        y_ticks=[Tick(float(y.of(np.array([at]))[0]), f"{100 * at:.0f} %") for at in (0.0, 0.5, 1.0)],
        x_ticks=[
            Tick(round(float(left) / WIDTH * 100, 2), f"{100 * size:.0f} %")
            for size, left in zip(ticks, _logarithmic(np.array(ticks), sizes[0], ticks[-1]), strict=True)
        ],
        rule=float(y.of(np.array([POWER]))[0]),
    )


def _logarithmic(sizes: Floats, first: float, last: float) -> Floats:
    return np.asarray(np.log(sizes / first) / np.log(last / first) * WIDTH)


@dataclass(frozen=True)
class _Rising:
    """From values to pixels, the largest on top."""

    low: float
    high: float

    def of(self, value: Floats) -> Floats:
        share = (value - self.low) / (self.high - self.low)
        return np.asarray(np.round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1))

    @property
    def steps(self) -> Sequence[float]:
        """Some round values between the ends."""
        step = round_step((self.high - self.low) / 4)
        return [float(value) for value in np.arange(np.ceil(self.low / step) * step, self.high, step)]


def _path(x: Floats, y: Floats) -> str:
    return "M" + "L".join(f"{left:.1f},{top:.1f}" for left, top in zip(x.tolist(), y.tolist(), strict=True))


def _area(x: Floats, lower: Floats, upper: Floats) -> str:
    return _path(np.concatenate([x, x[::-1]]), np.concatenate([upper, lower[::-1]])) + "Z"
