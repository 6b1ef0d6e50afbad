"""Forgetting points: all of some series, or all before a time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.store.points.log import keep_in_log
from app.store.points.placement import places_of, remove_from_tiles
from app.store.points.tiles import COLUMNS
from app.store.tables import Tile, TileGroup


def erase_series(session: Session, series_ids: Iterable[int]) -> None:
    """Forget every point of these series, in tiles and log; the series themselves stay."""
    series = np.unique(np.fromiter(series_ids, np.int64))
    remove_from_tiles(session, places_of(session, series))
    keep_in_log(session, lambda batch: ~np.isin(batch.series, series))


def drop_before(session: Session, time: int) -> None:
    """Drop the tiles that end before a time (unix seconds), so that a point stays up to one tile's span longer."""
    for cadence in session.scalars(sa.select(TileGroup.cadence_seconds).distinct()).all():
        groups = sa.select(TileGroup.id).where(TileGroup.cadence_seconds == cadence)
        is_over = Tile.start <= time - COLUMNS * cadence
        session.execute(sa.delete(Tile).where(Tile.group_id.in_(groups), is_over))
