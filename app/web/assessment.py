"""An assessment as a page: what to do, why, and the pictures behind it. It stands alone as a file, too."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from markupsafe import Markup

from app.alerts.wording import lasting, name_in_words, quantity, unit_of
from app.pipeline.assess import Past, Report
from app.store.points import PointBatch
from app.web.chart import Chart, Mark, draw
from app.web.figures import Figure, draw_power, draw_week
from app.web.pages import STYLE, rendered
from detectors.advice import FEW_ALERTS, Advice, gains_over
from detectors.assessment import Assessment, Season
from detectors.injection import FEWEST_TRIALS, WITHIN_POINTS, ExpectedAlerts, SmallestChange
from detectors.special_days import SpecialDays

SHOWN_COLUMNS = 1_500
ADVICE = {
    Advice.WATCH: "Advice: watch it",
    Advice.OUTAGES_ONLY: "Advice: watch it for outages only",
    Advice.FIXED_LIMIT: "Advice: a fixed limit",
    Advice.WAIT: "Advice: wait",
    Advice.NOTHING_TO_SEE: "Advice: leave it",
}
CADENCES = {60: "minute", 3_600: "hour", 86_400: "day", 604_800: "week"}
SEASONS = {Season.NONE: "None", Season.DAILY: "A day", Season.WEEKLY: "A week"}


@dataclass(frozen=True)
class Fact:
    """One line of the table: what, and what it says."""

    name: str
    text: str


@dataclass(frozen=True)
class ChangeRow:
    """The smallest drop and spike seen within so many points, in words."""

    within: str
    drop: str
    spike: str


@dataclass(frozen=True)
class Sheet:
    """One report as the template shows it."""

    name: str
    advice: str
    is_advised: bool
    recommendation: str
    facts: list[Fact]
    changes: list[ChangeRow]
    alerts: list[tuple[str, str, bool]]  # budget, what it gave, whether it is the one that was asked for
    chart: Chart | None
    judged_from: str
    week: Figure | None
    power: list[Figure]


def assessment_page(reports: Sequence[Report], *, root: str = "../", left_out: bool = False) -> str:
    """All reports as one page of a running Heed."""
    return rendered("assessment.html", root=root, **_context(reports, left_out=left_out))


def assessment_file(report: Report) -> str:
    """One report as a file that needs nothing else: its style inside, and nothing else allowed to load or run."""
    style = STYLE.decode()
    digest = base64.b64encode(hashlib.sha256(STYLE).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'none'; base-uri 'none'"
    own = {"own_style": Markup(style), "policy": policy}
    return rendered("assessment.html", **_context([report], left_out=False) | own)


def _context(reports: Sequence[Report], *, left_out: bool) -> dict[str, Any]:
    return {"sheets": [_sheet(report) for report in reports], "left_out": left_out, "own_style": None, "policy": None}


def _sheet(report: Report) -> Sheet:
    one, course = report.assessment, report.assessment.course
    power = [draw_power(course.power, kind) for kind in ("drop", "spike")] if course else []
    return Sheet(
        name=name_in_words(report.past.metric, report.past.dimensions),
        advice=ADVICE[one.advice],
        is_advised=one.advice in (Advice.WATCH, Advice.OUTAGES_ONLY),
        recommendation=one.recommendation,
        facts=facts(report),
        changes=[_change(report, points) for points in WITHIN_POINTS] if one.smallest else [],
        alerts=[
            (budget_in_words(each.budget), alerts_in_words(each), each.budget == report.alerts_per_week)
            for each in one.alerts
        ],
        chart=_chart(report),
        judged_from=lasting(timedelta(weeks=one.judged_weeks)),
        week=draw_week(report.history),
        power=[figure for figure in power if figure is not None],
    )


def facts(report: Report) -> list[Fact]:
    """What a reader should know before any picture, in the order of the questions that are asked."""
    one = report.assessment
    said = [
        Fact("Predictable", _predictable(one)),
        Fact("Repeats every", _season(one)),
        Fact("History", _history(report)),
    ]
    if special := [*one.monthly, *([one.holidays] if one.holidays else [])]:
        said.insert(2, Fact("Special days", " ".join(_special(days, report.past.metric) for days in special)))
    said.append(Fact("Quality", "; ".join(one.quality.findings) or "Nothing is missing or stuck."))
    said.append(Fact("Told", _told(report.past)))
    if one.gain_over_fixed_limit is not None:
        said.append(Fact("Against a fixed limit", _against_a_limit(one)))
    if one.gain_over_last_week is not None:
        said.append(Fact("Against the same time last week", _by_last_week(one.gain_over_last_week)))
    if one.smallest:
        said.append(Fact("Tried on", _tried(one)))
    return said


def change_in_words(change: SmallestChange, metric: str) -> str:
    """`12 % (about 48)`; at most where only fewer points could be tried often enough."""
    if change.share is None or change.size is None:
        return "none" if change.is_known else f"not known: {change.reason}"
    at_most = "" if change.trials >= FEWEST_TRIALS else "at most "
    return f"{at_most}{percent(change.share)} (about {quantity(float(f'{change.size:.2g}'), unit_of(metric))})"


def budget_in_words(budget: float) -> str:
    """A budget of alerts a week as one would say it."""
    if budget >= 1:
        return f"{budget:g} a week"
    return f"1 in {1 / budget:.3g} weeks"


def alerts_in_words(expected: ExpectedAlerts) -> str:
    """`4, which is 1.2 a week`; without the rate where they are too few to tell one."""
    if expected.alerts < FEW_ALERTS:
        return str(expected.alerts)
    return f"{expected.alerts}, which is {expected.alerts_per_week:.2g} a week"


def percent(share: float) -> str:
    """`12 %`; one digit where it is small."""
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"


def _predictable(one: Assessment) -> str:
    if one.predictability is None:
        return "Not known yet." if one.course is None else "Its median never errs: there is nothing to predict."
    if one.predictability < 0.05:
        return "No: what comes next is as well guessed by its median."
    degree = "Well" if one.predictability > 0.6 else "Somewhat"
    return f"{degree}: expecting it by its pattern errs {percent(one.predictability)} less than expecting its median."


def _season(one: Assessment) -> str:
    if one.season is Season.NONE:
        return "Nothing repeats that could be found."
    return f"{SEASONS[one.season]}. That makes {percent(one.season_strength)} of its ups and downs."


def _special(days: SpecialDays, metric: str) -> str:
    """`Last day of the month: 41 % more is expected (8 of them seen).`"""
    more = "more" if days.amount > 0 else "less"
    size = quantity(abs(days.amount), unit_of(metric)) if days.share is None else percent(abs(days.share))
    return f"{days.which.capitalize()}: {size} {more} is expected ({days.days} of them seen)."


def _history(report: Report) -> str:
    one = report.assessment
    if not one.quality.points:
        return "None."
    points, length = one.quality.points + one.quality.sharing, lasting(timedelta(days=one.quality.days))
    every = _every(one.quality.spacing if one.quality.is_too_slow else report.history.cadence)
    had = f"{points:,} points over {length}, one every {every}, time zone {report.past.timezone}"
    if one.quality.is_too_slow:
        return f"{had}."
    if not one.days_still_needed:
        return f"{had}: enough."
    more = lasting(timedelta(days=one.days_still_needed))
    return f"{had}: {more} more {'are' if one.days_still_needed > 1 else 'is'} needed."


def _told(past: Past) -> str:
    """Who judges it, and what is told at all."""
    bar, unit = past.bar, unit_of(past.metric)
    sides = "Rises and falls" if bar.up and bar.down else "Rises only" if bar.up else "Falls only"
    least = [percent(bar.relative)] if bar.relative else []
    least += [quantity(bar.absolute, unit)] if bar.absolute else []
    size = f" of at least {' and '.join(least)}" if least else ""
    return f"{sides}{size}, as the detector {past.detector} judges."


def _every(cadence_seconds: int) -> str:
    return CADENCES.get(cadence_seconds) or lasting(timedelta(seconds=cadence_seconds))


def _by_last_week(gain: float) -> str:
    return f"It errs {percent(gain)} less." if gain > 0 else "Nothing is gained."


def _against_a_limit(one: Assessment) -> str:
    """`Drops: those seen are 20 % smaller. Spikes: that sees none.`"""
    gains = gains_over(one.smallest, one.limited)
    return " ".join(f"{kind.capitalize()}s: {_by_kind(gain)}" for kind, gain in gains.items())


def _by_kind(gain: float) -> str:
    if gain <= -1:
        return "only that sees any."
    if gain >= 1:
        return "that sees none."
    if gain < 0:
        return "that sees smaller ones."
    return f"those seen are {percent(gain)} smaller." if gain else "the same are seen."


def _tried(one: Assessment) -> str:
    calm = {change.within_points: change.trials for change in one.smallest}
    places = ", ".join(f"{trials} for {points}" for points, trials in calm.items())
    length = lasting(timedelta(weeks=one.judged_weeks))
    return f"Its last {length}, by what was learned before them. Places that were calm for so many points: {places}."


def _change(report: Report, points: int) -> ChangeRow:
    found = {each.kind: each for each in report.assessment.smallest if each.within_points == points}
    words = {kind: change_in_words(each, report.past.metric) for kind, each in found.items()}
    return ChangeRow("1 point" if points == 1 else f"{points} points", words["drop"], words["spike"])


def _chart(report: Report) -> Chart | None:
    """The newest part of the history, what was expected of it, and the alerts that there would have been."""
    history, course = report.history, report.assessment.course
    columns = history.values.shape[1]
    known = {name: np.full(columns, np.nan, np.float32) for name in ("expected", "lower", "upper", "rarity")}
    if course is not None:
        with np.errstate(over="ignore"):
            for name, values in known.items():
                values[course.first :] = getattr(course, name)
    shown = slice(max(columns - SHOWN_COLUMNS, 0), columns)
    batch = PointBatch(
        np.zeros(columns, np.int64)[shown],
        history.timestamp[shown],
        history.values[0][shown],
        **{name: values[shown] for name, values in known.items()},
    )
    marks = [Mark(start, end) for start, end in report.told if end >= int(batch.timestamp[0])]
    return draw(batch, marks, cadence_seconds=history.cadence, timezone=report.past.timezone)
