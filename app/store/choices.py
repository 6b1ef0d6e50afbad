"""Which detector was chosen for each series, why, and why another one may have to stand in for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.store.database import is_among
from app.store.tables import DetectorChoice, Series


@dataclass(frozen=True)
class Chosen:
    """The detector that a series should have; `at` is None where nothing has been compared yet."""

    slot: int
    detector: str
    at: datetime | None


def record(session: Session, chosen: Mapping[int, tuple[str, str]], now: datetime) -> None:
    """The detector and the reason that a comparison on its own past found, by series id."""
    rows = [
        {"series_id": series_id, "detector": detector, "reason": reason, "chosen_at": now}
        for series_id, (detector, reason) in chosen.items()
    ]
    _write(session, rows, ("detector", "reason", "chosen_at"))


def record_fall_backs(
    session: Session, trained: Iterable[int], failed: Mapping[int, str], *, detector: str, reason: str
) -> None:
    """Why the fall-back judges a series from this training on; where it went well nothing stands in any more.

    `detector` and `reason` are of those that were never compared.
    """
    well = sorted(set(trained) - failed.keys())
    session.execute(
        sa.update(DetectorChoice)
        .where(is_among(session, DetectorChoice.series_id, well), DetectorChoice.fell_back.is_not(None))
        .values(fell_back=None)
    )
    rows = [
        {"series_id": series_id, "detector": detector, "reason": reason, "fell_back": why}
        for series_id, why in failed.items()
    ]
    _write(session, rows, ("fell_back",))


def of_partition(session: Session, partition: int) -> Iterator[Chosen]:
    query = (
        sa.select(Series.slot, DetectorChoice.detector, DetectorChoice.chosen_at)
        .join(Series, Series.id == DetectorChoice.series_id)
        .where(Series.partition == partition)
    )
    for slot, detector, at in session.execute(query):
        yield Chosen(slot, detector, at)


def judges(session: Session, series_ids: Iterable[int], *, fall_back: str) -> dict[int, str]:
    """The detector that judges each of these series by comparison or as a fall-back, of those of which one is known."""
    query = sa.select(DetectorChoice.series_id, DetectorChoice.detector, DetectorChoice.fell_back)
    rows = session.execute(query.where(is_among(session, DetectorChoice.series_id, sorted(series_ids))))
    return {series_id: detector if fell_back is None else fall_back for series_id, detector, fell_back in rows}


def reasons(session: Session, series_ids: Iterable[int]) -> dict[int, str]:
    """Why each of these series has the detector that it has, of those of which there is something to say."""
    query = sa.select(DetectorChoice.series_id, DetectorChoice.reason, DetectorChoice.fell_back)
    rows = session.execute(query.where(is_among(session, DetectorChoice.series_id, sorted(series_ids))))
    return {series_id: fell_back or reason for series_id, reason, fell_back in rows}


def count_fallen_back(session: Session) -> dict[str, int]:
    """How many series the fall-back judges in place of each detector."""
    counted = sa.select(DetectorChoice.detector, sa.func.count()).where(DetectorChoice.fell_back.is_not(None))
    return dict(session.execute(counted.group_by(DetectorChoice.detector)).all())


def _write(session: Session, rows: list[dict[str, object]], changing: tuple[str, ...]) -> None:
    if not rows:
        return
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    insert = dialect.insert(DetectorChoice)
    new = {name: insert.excluded[name] for name in changing}
    session.execute(insert.on_conflict_do_update(index_elements=["series_id"], set_=new), rows)
