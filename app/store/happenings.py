"""Events and gaps: found, listed and ended, with the series that each is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.store.desensitisations import level_changes
from app.store.labels import further_series, labelled_and_open_spans
from app.store.series import Matcher, selected_by
from app.store.tables import Concerned, Declared, Desensitisation, Event, Gap, GapSeries, Label, Retrain, Series
from detectors.contract import Ints
from feedback.recurrence import Occurrence, Recurring, occurrences
from feedback.training_mask import Exclusions, SharedSpans

Happening = TypeVar("Happening", Event, Gap)
MADE: dict[str, type[Event] | type[Gap] | type[Desensitisation]] = {
    "event": Event,
    "gap": Gap,
    "desensitisation": Desensitisation,
}
"""What labels make, by the name that their receipts have for it."""
FAR_FUTURE = 2**40  # unix seconds
FOREVER = datetime.max.replace(tzinfo=UTC)
FOUND = ("silence", "zeros", "stuck")
"""Origins of gaps that Heed noticed by itself."""


def get(session: Session, kind: type[Happening], happening_id: int) -> Happening | None:
    return session.get(kind, happening_id)


def page(
    session: Session, kind: type[Happening], *, limit: int, before_id: int, calendar: str | None = None
) -> list[Happening]:
    """The newest first, taken back or not; of one calendar's events only where that is given."""
    query = sa.select(kind).where(kind.id < before_id).order_by(kind.id.desc()).limit(limit)
    if calendar is not None:
        query = query.where(Event.calendar == calendar)
    return list(session.scalars(query))


def names_of(session: Session, event_ids: Iterable[int]) -> dict[int, str]:
    """What these events are called, by id."""
    wanted = list(event_ids)
    if not wanted:
        return {}
    rows = session.execute(sa.select(Event.id, Event.name).where(Event.id.in_(wanted)))
    return {row.id: row.name for row in rows}


def standing(session: Session, kind: type[Happening]) -> list[Happening]:
    """Those that nobody has taken back, neither itself nor the label that made it, oldest first."""
    return list(session.scalars(sa.select(kind).where(*_stands(kind)).order_by(kind.id)))


def deleted_by_hand(session: Session, calendar: str, *, but_for: str) -> list[Event]:
    """Events of a calendar that were taken back, but for those that `but_for` took back."""
    query = sa.select(Event).where(Event.calendar == calendar, Event.revoked_at.is_not(None))
    return list(session.scalars(query.where(Event.revoked_by != but_for)))


def _stands(kind: type[Event] | type[Gap]) -> list[sa.ColumnElement[bool]]:
    revoked: InstrumentedAttribute[Any] = kind.revoked_at
    undone = sa.exists().where(Label.id == kind.label_id, Label.revoked_at.is_not(None))
    return [revoked.is_(None), ~undone]


def recurring(event: Event) -> Recurring:
    """When the event takes place."""
    return Recurring(
        event.started_at,
        event.ended_at,
        event.timezone,
        event.rrule,
        [datetime.fromisoformat(each) for each in event.also_on],
        [datetime.fromisoformat(each) for each in event.not_on],
    )


def series_ids_of(session: Session, happening: Concerned) -> Ints:
    """Ids of the series that it is about, ascending.

    What a label on an alert made is about all series that the label is about, and so is the retrain of a gap.
    """
    if isinstance(happening, Retrain) and happening.gap_id is not None:
        happening = session.get(Gap, happening.gap_id) or happening
    if happening.series_id is not None:
        label_id = happening.label_id if isinstance(happening, Declared) else None
        further = [each.series_id for each in further_series(session, label_id)] if label_id else []
        return np.array(sorted({happening.series_id, *further}), np.int64)
    if isinstance(happening, Gap) and was_found(happening):
        members = sa.select(GapSeries.series_id).where(GapSeries.gap_id == happening.id)
        return np.array(session.scalars(members.order_by(GapSeries.series_id)).all(), np.int64)
    query = selected_by(session, Matcher(happening.metric, happening.dimensions)).with_only_columns(Series.id)
    if isinstance(happening, Gap) and happening.token_id is not None:
        query = query.where(Series.token_id == happening.token_id)
    return np.array(session.scalars(query.order_by(Series.id)).all(), np.int64)


def among(session: Session, happening: Concerned, series: Iterable[Series]) -> set[int]:
    """Ids of those of the series that it is about."""
    if happening.series_id is not None or (isinstance(happening, Gap) and was_found(happening)):
        return {each.id for each in series} & set(series_ids_of(session, happening).tolist())
    matcher = Matcher(happening.metric, happening.dimensions)
    token_id = happening.token_id if isinstance(happening, Gap) else None
    return {
        each.id
        for each in series
        if token_id in (None, each.token_id) and matcher.matches(each.metric, each.dimensions)
    }


def spans_of(happening: Event | Gap, until: datetime) -> list[Occurrence]:
    """When it is on, as far as that begins before then; a gap not where somebody said that what it shows is real."""
    if isinstance(happening, Event):
        return occurrences(recurring(happening), until)
    return [] if happening.real_at else [Occurrence(happening.started_at, happening.ended_at or FOREVER)]


def with_further(ids: Ints, happening: Concerned, further: Iterable[int]) -> Ints:
    """And those, where it is about single series: what `series_ids_of` will answer once it is stored with its label."""
    return ids if happening.series_id is None else np.union1d(ids, np.array(sorted(further), np.int64))


def was_found(gap: Gap) -> bool:
    """Whether Heed noticed it by itself; such a gap is about the series that it was found in."""
    return gap.origin in FOUND


def count_members(session: Session, gap_ids: Iterable[int]) -> dict[int, int]:
    """How many series each of these gaps was found in; none of those that were declared."""
    of_gap = sa.select(GapSeries.gap_id, sa.func.count()).where(GapSeries.gap_id.in_(list(gap_ids)))
    return dict(session.execute(of_gap.group_by(GapSeries.gap_id)).all())


def found_gap(session: Session, gap_id: int | None) -> Gap | None:
    """The gap of that id, if Heed found it and nobody has taken it back."""
    gap = session.get(Gap, gap_id) if gap_id is not None else None
    return gap if gap is not None and was_found(gap) and gap.revoked_at is None else None


def origins_of(session: Session, gap_ids: Iterable[int]) -> dict[int, str]:
    """How each of these gaps came to be known."""
    rows = session.execute(sa.select(Gap.id, Gap.origin).where(Gap.id.in_(list(gap_ids)), Gap.revoked_at.is_(None)))
    return {row.id: row.origin for row in rows}


def add_members(session: Session, gap: Gap, series_ids: Iterable[int]) -> None:
    """These series belong to a found gap too."""
    known = set(series_ids_of(session, gap).tolist())
    session.add_all([GapSeries(gap_id=gap.id, series_id=each) for each in sorted({*map(int, series_ids)} - known)])
    session.flush()


def metrics_of(session: Session, gap: Gap) -> list[str]:
    """The metrics of the series that a gap was found in, by name."""
    of_gap = sa.select(Series.metric).join(GapSeries, GapSeries.series_id == Series.id)
    return list(session.scalars(of_gap.where(GapSeries.gap_id == gap.id).distinct().order_by(Series.metric)))


def found_since(session: Session, origin: str, since: datetime) -> list[Gap]:
    """Gaps of that origin that Heed found and that began since then, whatever became of them, newest first."""
    query = sa.select(Gap).where(Gap.origin == origin, Gap.started_at >= since)
    return list(session.scalars(query.order_by(Gap.id.desc())))


def exclusions(session: Session, until: datetime) -> Exclusions:
    """All that a training of what came before `until` must not learn from.

    Spans of standing labels that exclude and of told anomalies that have not ended, every past occurrence of the
    standing events, and the gaps that have not been filled.
    """
    alone = labelled_and_open_spans(session)
    shared = [_of_event(session, event, until) for event in standing(session, Event)]
    shared += [_of_gap(session, gap) for gap in standing(session, Gap) if gap.filled_at is None]
    spans = [each for each in shared if each.series_id.size]
    return Exclusions(alone.series_id, alone.start, alone.end, spans, level_changes(session))


def _of_event(session: Session, event: Event, until: datetime) -> SharedSpans:
    start, end = as_seconds(occurrences(recurring(event), until))
    return SharedSpans(series_ids_of(session, event), start, end - 1)


def _of_gap(session: Session, gap: Gap) -> SharedSpans:
    end = int(gap.ended_at.timestamp()) - 1 if gap.ended_at else FAR_FUTURE
    ids = series_ids_of(session, gap)
    return SharedSpans(ids, np.array([int(gap.started_at.timestamp())]), np.array([end]))


def made_by(session: Session, kind: type[Event] | type[Gap] | type[Desensitisation], label_id: int) -> list[int]:
    """Ids of what a label made and nobody has taken back by itself."""
    query = sa.select(kind.id).where(kind.label_id == label_id, kind.revoked_at.is_(None))
    return list(session.scalars(query.order_by(kind.id)))


def all_made_by(session: Session, label_id: int) -> list[tuple[str, int]]:
    """The same of every kind, each with the name of its kind."""
    return [(name, made_id) for name, kind in MADE.items() for made_id in made_by(session, kind, label_id)]


def ever_made_by(
    session: Session, kind: type[Event] | type[Gap] | type[Desensitisation], label_id: int
) -> list[Event | Gap | Desensitisation]:
    """What a label made, the oldest first, whoever took it back since."""
    return list(session.scalars(sa.select(kind).where(kind.label_id == label_id).order_by(kind.id)))


def covering(session: Session, series: Series, start: datetime, end: datetime) -> tuple[str | None, bool]:
    """Name of the event that a span of a series lies in, and whether it lies in a gap that was not filled."""
    taking_place = events_of(session, series, start, end)
    in_gap = any(
        judged_as_missing(gap)
        and gap.started_at < end
        and (gap.ended_at or end) > start
        and among(session, gap, [series])
        for gap in standing(session, Gap)
    )
    return (taking_place[0][0] if taking_place else None), in_gap


def events_of(session: Session, series: Series, start: datetime, end: datetime) -> list[tuple[str, Occurrence]]:
    """The events that take place for a series within a span, by name, each as often as it does."""
    return [
        (event.name, each)
        for event in standing(session, Event)
        if among(session, event, [series])
        for each in occurrences(recurring(event), end)
        if each.start < end and start < each.end
    ]


def judged_as_missing(gap: Gap) -> bool:
    """Whether the points of a standing gap are taken for missing: its late points are not in, and nobody said that what
    it shows is real."""
    return gap.filled_at is None and gap.real_at is None


def as_seconds(spans: Sequence[Occurrence] | Iterable[Occurrence]) -> tuple[Ints, Ints]:
    """Starts and ends in unix seconds, arrays (K,)."""
    pairs = [(int(each.start.timestamp()), int(each.end.timestamp())) for each in spans]
    start, end = np.array(pairs, np.int64).reshape(-1, 2).T
    return start, end
