"""Make what verdicts create: an event, a gap, or a new normal, each of the labelled span, and take them back again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import structlog
from sqlalchemy.orm import Session

from app.alerts.rules import Outcome
from app.alerts.wording import moment, span
from app.errors import Unprocessable
from app.pipeline import desensitise, events, gaps
from app.pipeline.creations import (
    NOTHING_MADE,
    NOTHING_SAID,
    NOTHING_STANDS,
    OVERRULED,
    Foretold,
    Made,
    Standing,
    ToCome,
    Wanted,
    check_what_is_said,
    said,
)
from app.pipeline.ingest import Committer
from app.pipeline.settle import would_be_told
from app.store import alerts as stored_alerts
from app.store import desensitisations as stored_desensitisations
from app.store import happenings, labels
from app.store import series as stored_series
from app.store.series import Matcher
from app.store.tables import Alert, Anomaly, Desensitisation, Event, Gap, Label, LabelledSeries, Series
from detectors.contract import Ints
from feedback.desensitise import LONGEST, widened
from feedback.labels import Creates, Verdict
from feedback.receipt import Band
from feedback.recurrence import occurrences

log = structlog.get_logger()

FALLBACK_CADENCE = 3_600
ONE_OFF = "one-off event"
LONGEST_ALLOWED = timedelta(days=90)


class Creator:
    """Makes what a label of this committer's series creates."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    def check(self, session: Session, label: Label, wanted: Wanted, further: Sequence[LabelledSeries]) -> None:
        """Refuse what is said of what a label will make, and of its `further` series, that is not stored yet.

        Raises Unprocessable where it has no meaning, or where an event would not explain what is labelled.
        """
        if _gap_of_alert(session, label) is not None:
            _check_of_found_gap(Verdict(label.verdict), wanted)
            return
        creates = labels.effects_of(label).creates
        check_what_is_said(Verdict(label.verdict), creates, wanted)
        if creates is Creates.EVENT:
            spans = _labelled_spans(session, label, further)
            event = _event(session, label, session.get_one(Series, label.series_id), wanted, spans)
            events.check(event)
            _check_explains(event, spans)

    def foretell(
        self, session: Session, label: Label, wanted: Wanted, further: Sequence[LabelledSeries] | None = None
    ) -> Foretold:
        """What it will make; raises Unprocessable where it can't.

        further: what the label says of other series, of one that is not stored yet.
        """
        series = session.get_one(Series, label.series_id)
        if further is None:
            further = labels.further_series(session, label.id)
        ids, spans = [each.series_id for each in further], _labelled_spans(session, label, further)
        if (found := _gap_of_alert(session, label)) is not None:
            return Foretold([_verdict_on_gap_in_words(Verdict(label.verdict), found, wanted)])
        match labels.effects_of(label).creates:
            case Creates.EVENT:
                event = _event(session, label, series, wanted, spans)
                events.check(event)
                return self._foretold_of_event(session, event, series, label.created_at, ids)
            case Creates.GAP:
                gap = _gap(session, label, series, wanted, spans)
                if gap.ended_at is not None and gap.ended_at <= gap.started_at:
                    raise Unprocessable("The gap ends before it starts. Send `start` before `end`.")
                return _foretold_of_gap(session, gap, series, label.created_at, ids)
            case Creates.DESENSITISATION:
                return self._foretold_of_new_normal(_new_normal(session, label, wanted, ids), session, series)
            case Creates.NOTHING:
                return NOTHING_MADE

    def standing(self, session: Session, label: Label) -> Standing:
        """What it has made that nobody has taken back yet."""
        found: list[Alert] = []
        standing = NOTHING_STANDS
        made = bool(happenings.all_made_by(session, label.id))
        for event_id in happenings.made_by(session, Event, label.id):
            found += stored_alerts.explained_or_caused_by(session, Event, [event_id])
            event = session.get_one(Event, event_id)
            if label.series_id in happenings.series_ids_of(session, event):
                standing = Standing(with_it=events.band_during(event, label.series_id))
        for gap_id in happenings.made_by(session, Gap, label.id):
            found += stored_alerts.explained_or_caused_by(session, Gap, [gap_id])
            gap = session.get_one(Gap, gap_id)
            standing = Standing(with_it=_band_in_gap(gap, label.series_id, happenings.series_ids_of(session, gap)))
        for made_id in happenings.made_by(session, Desensitisation, label.id):
            members = stored_desensitisations.members_of(session, [made_id])
            since = min(member.started_at for member in members)
            ids = [member.series_id for member in members]
            told = stored_alerts.told_of_series(session, ids, since=since, before=label.created_at)
            found += [alert for alert, _ in told]
            for member in members:
                if member.series_id == label.series_id:
                    standing = Standing(without_it=desensitise.band_without(self._committer, member))
        freed = would_be_told(session, found, without_labels=[label.id])
        return replace(standing, label_ids=[label.id], alert_ids=freed, exists=made)

    def wanted_again(self, session: Session, label: Label) -> Wanted | None:
        """What a label that is heeded again is to make: what it had made before another verdict was heeded instead.

        Before it made anything, what was said of it. None where nothing is, since that stands, or somebody took it back
        by itself.
        """
        before = [row for kind in happenings.MADE.values() for row in happenings.ever_made_by(session, kind, label.id)]
        if not before:
            return said(label.wanted)
        return _as_wanted(session, before[-1]) if before[-1].revoked_by == OVERRULED else None

    def make(self, label: Label, wanted: Wanted) -> Made | None:
        """Make it for a label that is stored; on the committer's thread, so that no point comes in between."""
        now = label.created_at
        with self._committer.database.reading() as session:
            found = _gap_of_alert(session, label)
            make = None if found is not None else self._making(session, label, wanted)
        if found is not None and label.verdict == Verdict.REAL:
            gaps.was_real(self._committer, found.id, now=now)
        elif found is not None:
            gaps.retrain_once_filled(self._committer, found.id, asked=wanted.retrain_when_backfilled)
        return make() if make is not None else None

    def _making(self, session: Session, label: Label, wanted: Wanted) -> Callable[[], Made] | None:
        """How to make what the label creates, where it does. Raises Unprocessable as `foretell` does."""
        series, now = session.get_one(Series, label.series_id), label.created_at
        further = labels.further_series(session, label.id)
        spans = _labelled_spans(session, label, further)
        match labels.effects_of(label).creates:
            case Creates.EVENT:
                event = _event(session, label, series, wanted, spans)
                return lambda: Made("event", events.declare(self._committer, [event], now)[0].id)
            case Creates.GAP:
                gap = _gap(session, label, series, wanted, spans)
                return lambda: Made("gap", gaps.declare(self._committer, gap, now).id)
            case Creates.DESENSITISATION:
                new_normal = _new_normal(session, label, wanted, [each.series_id for each in further])
                return lambda: Made("desensitisation", desensitise.begin(self._committer, new_normal))
            case Creates.NOTHING:
                return None

    def unmake(self, label: Label, *, by: str, now: datetime) -> None:
        """Take back what a label made that is revoked, or no longer heeded."""
        with self._committer.database.reading() as session:
            found = _gap_of_alert(session, label)
            made = {kind: happenings.made_by(session, kind, label.id) for kind in happenings.MADE.values()}
        if found is not None and label.verdict == Verdict.REAL and found.real_at == label.created_at:
            gaps.was_real(self._committer, found.id, now=None)
        elif found is not None and label.verdict == Verdict.BAD_DATA:
            gaps.retrain_once_filled(self._committer, found.id, asked=False)
        for event_id in made[Event]:
            events.take_back(self._committer, event_id, by=by, now=now)
        for gap_id in made[Gap]:
            gaps.take_back(self._committer, gap_id, by=by, now=now)
        for each in made[Desensitisation]:
            desensitise.take_back(self._committer, each, by=by, now=now)

    def _foretold_of_event(
        self, session: Session, event: Event, series: Series, now: datetime, further: Collection[int]
    ) -> Foretold:
        explained = _still_sent(events.explained(session, event, now, further))
        words = [_event_in_words(event, series, now)]
        ids = happenings.with_further(happenings.series_ids_of(session, event), event, further)
        to_come = events.to_come(self._committer, event, ids, now)
        if series.id not in ids:
            return Foretold(words, explained, to_come=[to_come])
        return Foretold(words, explained, band=events.band_during(event, series.id), to_come=[to_come])

    def _foretold_of_new_normal(self, wanted: desensitise.NewNormal, session: Session, series: Series) -> Foretold:
        start = wanted.start or wanted.now
        ids = desensitise.series_of(session, wanted)
        words = (
            f"The level since {moment(start, series.timezone, wanted.now)} is learned at once with the old season's "
            "shape. Heed is more tolerant until the series has settled there, for "
            f"{wanted.longest.days} days at most, and says when it has."
        )
        told = stored_alerts.told_of_series(session, ids, since=start, before=wanted.now)
        foretold = Foretold([words], _still_sent(told), dict.fromkeys(ids, widened(0.0)))
        if series.id not in ids:
            return foretold
        return replace(foretold, band=desensitise.band_after(self._committer, series.id, start))


Spans = Sequence[tuple[datetime, datetime]]
"""Of each run that is labelled, its first and its last abnormal point."""


def _labelled_spans(session: Session, label: Label, further: Sequence[LabelledSeries]) -> Spans:
    """A label on a whole alert is about every run that this had then, not only the rarest of each series."""
    spans = [(label.started_at, label.ended_at), *((each.started_at, each.ended_at) for each in further)]
    if label.of_whole_alert and label.alert_id is not None:
        runs = stored_alerts.anomalies_of(session, [label.alert_id]).get(label.alert_id, [])
        until = max(label.created_at, label.ended_at)
        spans += [
            (run.started_at, min(run.last_abnormal_at, until))
            for run in runs
            if run.outcome != Outcome.WITHDRAWN and run.started_at <= until
        ]
    return spans


def _event(session: Session, label: Label, series: Series, wanted: Wanted, spans: Spans) -> Event:
    return Event(
        name=wanted.name or label.comment or ONE_OFF,
        **_about(session, series, wanted),
        started_at=wanted.start or min(start for start, _ in spans),
        ended_at=wanted.end or _end_of_event(label, series, spans),
        timezone=wanted.timezone or series.timezone,
        rrule=wanted.rrule,
        also_on=[],
        not_on=[],
        author=label.author,
        created_at=label.created_at,
        label_id=label.id,
    )


def _end_of_event(label: Label, series: Series, spans: Spans) -> datetime:
    """With the last labelled span; while that still goes on, with the local day, as campaigns mostly do."""
    if (end := _end_if_over(label, series, spans)) is not None:
        return end
    local = label.created_at.astimezone(ZoneInfo(series.timezone))
    midnight = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(midnight.astimezone(label.created_at.tzinfo), max(end for _, end in spans) + _step(series))


def _end_if_over(label: Label, series: Series, spans: Spans) -> datetime | None:
    """When the last of what is labelled was over; None while any of it still goes on."""
    last, step = max(end for _, end in spans), _step(series)
    return last + step if label.created_at - last > 2 * step else None


def _check_explains(event: Event, spans: Spans) -> None:
    """Refuse an event of another time than what is labelled. Raises Unprocessable."""
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    taking_place = occurrences(happenings.recurring(event), last + timedelta(seconds=1))
    for start, end in spans:
        if not any(each.start <= start < each.end and end <= each.end for each in taking_place):
            raise Unprocessable(
                f"`start` to `end` must cover all that is labelled, from {first.isoformat()} to {last.isoformat()}. "
                "Send such times, or leave them out; other events are declared by POST /v1/events."
            )


def _gap_of_alert(session: Session, label: Label) -> Gap | None:
    """The gap that the labelled alert tells of, where it does."""
    alert = stored_alerts.get(session, label.alert_id) if label.alert_id is not None else None
    return happenings.found_gap(session, alert.gap_id) if alert is not None and alert.kind == "data" else None


def _foretold_of_gap(session: Session, gap: Gap, series: Series, now: datetime, further: Collection[int]) -> Foretold:
    ids = happenings.with_further(happenings.series_ids_of(session, gap), gap, further)
    caused = _still_sent(gaps.caused(session, gap, ids))
    end = int(gap.ended_at.timestamp()) if gap.ended_at else happenings.FAR_FUTURE
    to_come = ToCome(np.array([int(gap.started_at.timestamp())]), np.array([end]), ids)
    words = [_gap_in_words(gap, series, now)]
    return Foretold(words, caused, band=_band_in_gap(gap, series.id, ids), to_come=[to_come])


def _band_in_gap(gap: Gap, series_id: int, ids: Ints) -> Callable[[Band], Band | None]:
    """None where the next point of the series lies in the gap, which is that of the series with these ids."""

    def band(before: Band) -> Band | None:
        lost = gap.started_at <= before.timestamp and (gap.ended_at is None or before.timestamp < gap.ended_at)
        return None if lost and series_id in ids else before

    return band


def _still_sent(told: Iterable[tuple[Alert, list[Anomaly]]]) -> set[int]:
    """Ids of those that nothing else took back."""
    return {alert.id for alert, _ in told if alert.status != "withdrawn"}


def _check_of_found_gap(verdict: Verdict, wanted: Wanted) -> None:
    """Refuse what is said of a gap that is there already. Raises Unprocessable."""
    retrain_alone = replace(NOTHING_SAID, retrain_when_backfilled=wanted.retrain_when_backfilled)
    if wanted != (retrain_alone if verdict is Verdict.BAD_DATA else NOTHING_SAID):
        raise Unprocessable(
            "The gap of this alert is there already: `creates` can say `retrain_when_backfilled` alone, of `bad_data`. "
            "Leave the rest out; say when the data were back with PATCH /v1/gaps/{id}."
        )


def _verdict_on_gap_in_words(verdict: Verdict, gap: Gap, wanted: Wanted) -> str:
    if verdict is Verdict.REAL:
        return "The points of the span are judged again, of all its series, and still teach nothing."
    if gap.filled_at is not None:
        return "The right points of the span are in already, and count, of all its series."
    again = " They are trained again then." if wanted.retrain_when_backfilled else ""
    return f"The points of the span stay out, of all its series, until the right ones are in.{again}"


def _gap(session: Session, label: Label, series: Series, wanted: Wanted, spans: Spans) -> Gap:
    """Of all that is labelled; while any of that still goes on, without an end."""
    return Gap(
        **_about(session, series, wanted),
        started_at=wanted.start or min(start for start, _ in spans),
        ended_at=wanted.end or _end_if_over(label, series, spans),
        reason=wanted.name or label.comment or "bad data",
        origin="declared",
        author=label.author,
        created_at=label.created_at,
        label_id=label.id,
        retrain_when_backfilled=wanted.retrain_when_backfilled,
        known_points=0,
    )


def _new_normal(session: Session, label: Label, wanted: Wanted, further: Collection[int]) -> desensitise.NewNormal:
    """Since the level changed within the labelled anomaly, which may have opened before."""
    anomaly = stored_alerts.strongest_anomaly(session, label.series_id, label.started_at, label.ended_at)
    start = wanted.start or (desensitise.onset_of(session, anomaly) if anomaly else label.started_at)
    return desensitise.NewNormal(
        reason=wanted.name or label.comment or "new normal",
        author=label.author,
        now=label.created_at,
        matcher=wanted.matcher,
        series_id=None if wanted.matcher else label.series_id,
        further_ids=[] if wanted.matcher else sorted(further),
        start=start,
        longest=_longest(wanted),
        label_id=label.id,
    )


def _as_wanted(session: Session, made: Event | Gap | Desensitisation) -> Wanted:
    """As if somebody described what was made already."""
    matcher = Matcher(made.metric, made.dimensions) if made.series_id is None else None
    match made:
        case Event():
            return Wanted(made.name, made.started_at, made.ended_at, made.rrule, made.timezone, matcher)
        case Gap():
            again = made.retrain_when_backfilled
            return Wanted(made.reason, made.started_at, made.ended_at, matcher=matcher, retrain_when_backfilled=again)
        case Desensitisation():
            start = min(each.started_at for each in stored_desensitisations.members_of(session, [made.id]))
            return Wanted(made.reason, start, matcher=matcher, longest=timedelta(seconds=made.longest_seconds))


def _longest(wanted: Wanted) -> timedelta:
    longest = wanted.longest or LONGEST
    if longest > LONGEST_ALLOWED:
        raise Unprocessable(f"A series may settle for {LONGEST_ALLOWED.days} days at most. Send fewer.")
    return longest


def _about(session: Session, series: Series, wanted: Wanted) -> dict[str, object]:
    """The labelled series alone, or those of a matcher."""
    if wanted.matcher is None:
        return {"metric": series.metric, "dimensions": {}, "series_id": series.id}
    if not stored_series.find(session, wanted.matcher, limit=1):
        raise Unprocessable("No series matches. GET /v1/series lists what there is.")
    dimensions = {name: list(allowed) for name, allowed in wanted.matcher.dimensions.items()}
    return {"metric": wanted.matcher.metric, "dimensions": dimensions, "series_id": None}


def _step(series: Series) -> timedelta:
    return timedelta(seconds=series.cadence_seconds or FALLBACK_CADENCE)


def _event_in_words(event: Event, series: Series, now: datetime) -> str:
    again = ", and again by its rule" if event.rrule else ""
    return (
        f"It is explained by the event “{event.name}”, {span(event.started_at, event.ended_at, series.timezone, now)}"
        f"{again}; what goes far beyond it is told."
    )


def _gap_in_words(gap: Gap, series: Series, now: datetime) -> str:
    if gap.ended_at is None:
        since = (
            f"since {moment(gap.started_at, series.timezone, now)}, and those to come are not judged, until they look "
            "normal again, somebody ends the gap, or it has been open for as long as one may be"
        )
    else:
        since = span(gap.started_at, gap.ended_at, series.timezone, now)
    again = " The series is trained again once the right points are in." if gap.retrain_when_backfilled else ""
    return f"Its points are taken for lost {since}.{again}"
