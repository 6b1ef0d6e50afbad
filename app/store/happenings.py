"""Events and gaps: found, listed and ended, with the series that each is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.store.desensitisations import level_changes
from app.store.labels import labelled_and_open_spans
from app.store.series import Matcher, selected_by
from app.store.tables import Concerned, Desensitisation, Event, Gap, Label, Series
from detectors.contract import Ints
from feedback.recurrence import Occurrence, Recurring, occurrences
from feedback.training_mask import Exclusions, SharedSpans

Happening = TypeVar("Happening", Event, Gap)
FAR_FUTURE = 2**40  # unix seconds


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


def series_ids_of(session: Session, happening: Concerned, token_id: int | None = None) -> Ints:
    """Ids of the series that it is about, ascending; of one token's only where that is given."""
    if happening.series_id is not None:
        return np.array([happening.series_id], np.int64)
    query = selected_by(session, Matcher(happening.metric, happening.dimensions)).with_only_columns(Series.id)
    if token_id is not None:
        query = query.where(Series.token_id == token_id)
    return np.array(session.scalars(query.order_by(Series.id)).all(), np.int64)


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
    ids = series_ids_of(session, gap, gap.token_id)
    return SharedSpans(ids, np.array([int(gap.started_at.timestamp())]), np.array([end]))


def made_by(session: Session, kind: type[Event] | type[Gap] | type[Desensitisation], label_id: int) -> list[int]:
    """Ids of what a label made and nobody has taken back by itself."""
    query = sa.select(kind.id).where(kind.label_id == label_id, kind.revoked_at.is_(None))
    return list(session.scalars(query.order_by(kind.id)))


def covering(session: Session, series: Series, start: datetime, end: datetime) -> tuple[str | None, bool]:
    """Name of the event that a span of a series lies in, and whether it lies in a gap that was not filled."""
    events = (
        event.name
        for event in standing(session, Event)
        if _is_about(event, series)
        and any(each.start < end and start < each.end for each in occurrences(recurring(event), end))
    )
    in_gap = any(
        gap.filled_at is None and _is_about(gap, series) and gap.started_at < end and (gap.ended_at or end) > start
        for gap in standing(session, Gap)
    )
    return next(events, None), in_gap


def _is_about(happening: Concerned, series: Series) -> bool:
    if happening.series_id is not None:
        return happening.series_id == series.id
    return Matcher(happening.metric, happening.dimensions).matches(series.metric, series.dimensions)


def as_seconds(spans: Sequence[Occurrence] | Iterable[Occurrence]) -> tuple[Ints, Ints]:
    """Starts and ends in unix seconds, arrays (K,)."""
    pairs = [(int(each.start.timestamp()), int(each.end.timestamp())) for each in spans]
    start, end = np.array(pairs, np.int64).reshape(-1, 2).T
    return start, end
