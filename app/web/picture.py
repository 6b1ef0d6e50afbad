"""The picture in a message: the last days of the foremost series as a PNG, drawn once and kept.

Mail and chat programs show no SVG. The picture has a ground of its own, so that it reads the same on a light and on a
dark screen, and letters that are still letters when it is as wide as a phone.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import structlog

from app.alerts.message import AlertFacts
from app.alerts.wording import quantity
from app.clock import Clock, wall_now
from app.pipeline.facts import facts_of
from app.security import Links
from app.store import alerts as stored_alerts
from app.store import pictures as stored
from app.store.database import Database
from app.store.points import PointBatch
from app.web.chart import (
    GAP_STEPS,
    Mark,
    NamedMark,
    Shown,
    Values,
    points_of,
    time_ticks,
    value_range,
    value_ticks,
    within,
    within_picture,
)
from detectors.contract import Floats

log = structlog.get_logger()

SIZE_INCHES, DOTS_PER_INCH = (8.0, 4.2), 150
LETTERS = 19  # points: 11 pixels on a phone that is 360 wide
LABEL_LETTERS = 16
LABELS_AT, TOP_WITH_LABELS = 1.08, 1.15  # of the height of the values: the names of events stand above all of them
GROUND, INK, FAINT, VALUE, BAND, STRANGE = "#ffffff", "#374151", "#d1d5db", "#1d4ed8", "#dbeafe", "#dc2626"
LONGEST_WAIT_SECONDS = 2.0
"""What a message waits for its picture."""
ROUNDED_TO = 60
"""Seconds: messages of one minute share a picture."""


@dataclass(frozen=True)
class Drawn:
    """What a picture is drawn of: one series' points by time, its anomalies and the events among them."""

    batch: PointBatch
    marks: Sequence[Mark]
    events: Sequence[NamedMark]
    cadence_seconds: int
    timezone: str
    unit: str


class Pictures:
    """Draws on a thread of its own, one picture after the other, and keeps what it drew in the database."""

    def __init__(self, database: Database, links: Links, clock: Clock) -> None:
        self._database = database
        self._links = links
        self._clock = clock
        self._pencil = ThreadPoolExecutor(1, thread_name_prefix="picture")
        self._begun: dict[tuple[int, int], Future[bytes | None]] = {}
        self._lock = threading.Lock()

    def url(self, alert_id: int) -> str:
        """Where the picture of the alert as it is now can be had; it is drawn when somebody asks for it."""
        return self._links.chart_url(alert_id, self._now(), wall_now())

    def url_once_drawn(self, alert_id: int) -> str | None:
        """The same of a picture that is there; none where drawing it fails, or takes more than two seconds."""
        until = self._now()
        try:
            drawn = self._begin(alert_id, until).result(LONGEST_WAIT_SECONDS)
        except TimeoutError:
            log.warning("picture_late", alert=alert_id)
            return None
        return self._links.chart_url(alert_id, until, wall_now()) if drawn else None

    def png(self, alert_id: int, until: int) -> bytes | None:
        """The picture of an alert as it was at a time (unix seconds), none where there is nothing to show."""
        return self._begin(alert_id, until).result()

    def start(self) -> None:
        """Take the pencil out, so that the first message need not wait for that."""
        self._pencil.submit(_sharpen)

    def stop(self) -> None:
        self._pencil.shutdown(wait=True, cancel_futures=True)

    def _now(self) -> int:
        return int(self._clock.now().timestamp()) // ROUNDED_TO * ROUNDED_TO

    def _begin(self, alert_id: int, until: int) -> Future[bytes | None]:
        """The one drawing of this picture, which may be under way already."""
        key = alert_id, until
        with self._lock:
            if key in self._begun:
                return self._begun[key]
            begun = self._begun[key] = self._pencil.submit(self._kept_or_drawn, alert_id, until)
        begun.add_done_callback(lambda _: self._forget(key))  # outside the lock: it may be done already
        return begun

    def _forget(self, key: tuple[int, int]) -> None:
        with self._lock:
            self._begun.pop(key, None)

    def _kept_or_drawn(self, alert_id: int, until: int) -> bytes | None:
        try:
            with self._database.reading() as session:
                kept = stored.get(session, alert_id, until)
                if kept is not None:
                    return kept
                alert = stored_alerts.get(session, alert_id)
                if alert is None:
                    return None
                facts = facts_of(session, [alert], self._links, origin="", now=wall_now())[alert_id]
                drawn = _drawn(points_of(session, facts, until=until), facts)
            picture = render_png(drawn) if drawn else None
            if picture is not None:
                with self._database.writing() as session:
                    stored.put(session, alert_id, until, picture, wall_now())
            return picture
        except Exception:  # a picture that can't be drawn must never stop a message
            log.exception("picture_failed", alert=alert_id)
            return None


def _drawn(shown: Shown | None, facts: AlertFacts) -> Drawn | None:
    if shown is None or facts.foremost is None:
        return None
    series, cadence = facts.foremost.series, int(shown.step.total_seconds())
    return Drawn(shown.batch, shown.marks, shown.events, cadence, series.timezone, series.suffix)


def render_png(drawn: Drawn) -> bytes | None:
    """Band, expectation, values, anomalies in red, events in grey. None where there are too few points to show."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, and not needed to start
    from matplotlib.figure import Figure

    batch = drawn.batch
    if np.isfinite(batch.value).sum() < 2:
        return None
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, facecolor=GROUND, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=GROUND)
    time = batch.timestamp.astype(np.float64)
    gap = np.concatenate([[False], np.diff(time) > GAP_STEPS * drawn.cadence_seconds])
    low, high = value_range(batch)

    def height(plane: Values) -> Floats:
        """As a share of the picture's height, since matplotlib can't take very large values."""
        share = np.clip((plane.astype(np.float64) - low) / (high - low), 0.0, 1.0)
        return np.asarray(np.where(gap, np.nan, share))

    value = height(batch.value)
    half = drawn.cadence_seconds / 2
    events = within_picture(drawn.events, int(time[0]), int(time[-1]))
    for event in events:
        axes.axvspan(event.start, event.end, color=INK, alpha=0.1, linewidth=0)
        axes.text(
            event.end if event.label_ends else event.start,
            LABELS_AT,
            event.label,
            fontsize=LABEL_LETTERS,
            color=INK,
            ha="right" if event.label_ends else "left",
            va="center",
            clip_on=True,
            parse_math=False,
        )
    for mark in drawn.marks:
        axes.axvspan(mark.start - half, mark.end + half, color=STRANGE, alpha=0.12, linewidth=0)
    axes.fill_between(time, height(batch.lower), height(batch.upper), color=BAND, linewidth=0)
    axes.plot(time, height(batch.expected), color=INK, linewidth=1.6, linestyle=(0, (4, 3)), label="expected")
    axes.plot(time, value, color=VALUE, linewidth=2.6, solid_capstyle="round", label="actual")
    strange = np.where(within(batch.timestamp, drawn.marks), value, np.nan)
    axes.plot(time, strange, color=STRANGE, linewidth=3.2, marker="o", markersize=6, solid_capstyle="round")
    axes.set_xlim(time[0], time[-1])
    axes.set_ylim(-0.02, TOP_WITH_LABELS if events else 1.02)
    values = np.array(value_ticks(low, high))
    axes.set_yticks((values - low) / (high - low), [quantity(tick, drawn.unit) for tick in values.tolist()])
    times = time_ticks(int(time[0]), int(time[-1]), drawn.timezone)
    axes.set_xticks([at for at, _ in times], [label for _, label in times])
    axes.tick_params(labelsize=LETTERS, labelcolor=INK, length=0)
    axes.grid(axis="y", color=FAINT, linewidth=1)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=LETTERS, labelcolor=INK, handlelength=1.6)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _sharpen() -> None:
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401 - slow to import


def forget_old(database: Database, now: datetime, lifetime: timedelta) -> int:
    """Delete the pictures whose links have expired; returns how many."""
    with database.writing() as session:
        return stored.delete_older(session, now - lifetime)
