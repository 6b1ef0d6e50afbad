"""Where the points of a series lie: its tile group and its row there, and how tiles are loaded and saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.store.database import is_among
from app.store.points.batch import Ints, StoredPoints
from app.store.points.tiles import COLUMNS, ROWS, Tile, unpack_tile
from app.store.tables import Tile as TileRow
from app.store.tables import TileGroup, TileMember

TILES_AT_A_TIME = 64
PACKING_THREADS = 2
DENSE_CODES_UP_TO = 4_000_000
T = TypeVar("T")
TileKey = tuple[int, int]
"""Group id and start of a tile."""


@dataclass(frozen=True)
class Places:
    """Each series' tile group, row and cadence in seconds, by series id; a series has one place at most."""

    series: Ints
    group: Ints
    row: Ints
    cadence: Ints

    def take(self, chosen: Ints) -> Places:
        return Places(self.series[chosen], self.group[chosen], self.row[chosen], self.cadence[chosen])

    def by_group(self) -> Iterator[tuple[int, int, Places]]:
        """Group id, cadence, and the places in it."""
        for group in np.unique(self.group):
            members = self.take(np.flatnonzero(self.group == group))
            yield int(group), int(members.cadence[0]), members


@dataclass(frozen=True)
class Share:
    """The points of a batch that lie in one tile: positions in the batch, and the row of each in the tile."""

    group: int
    start: int
    cadence: int
    positions: Ints
    row: Ints


def places_of(session: Session, series: Ints) -> Places:
    """The places of those of these series that have one."""
    query = sa.select(TileMember.series_id, TileMember.group_id, TileMember.row, TileGroup.cadence_seconds).join(
        TileGroup
    )
    rows = session.execute(query.where(is_among(session, TileMember.series_id, series)).order_by(TileMember.series_id))
    table = np.fromiter(chain.from_iterable(rows), np.int64).reshape(-1, 4)
    return Places(*np.ascontiguousarray(table.T))


def give_places(session: Session, partition: int, cadences: Mapping[int, int]) -> None:
    """Give each series id a free row in a group of its cadence."""
    for cadence in sorted(set(cadences.values())):
        joining = [series_id for series_id, seconds in cadences.items() if seconds == cadence]
        free = _free_rows(session, partition, cadence, len(joining))
        members = [
            {"series_id": series_id, "group_id": group_id, "row": row}
            for series_id, (group_id, row) in zip(joining, free, strict=False)
        ]
        session.execute(sa.insert(TileMember), members)


def _free_rows(session: Session, partition: int, cadence: int, wanted: int) -> list[TileKey]:
    free = []
    for group_id, taken in _groups_with_room(session, partition, cadence):
        free += [(group_id, row) for row in range(ROWS) if row not in taken]
    while len(free) < wanted:
        group = TileGroup(partition=partition, cadence_seconds=cadence)
        session.add(group)
        session.flush()
        free += [(group.id, row) for row in range(ROWS)]
    return free


def _groups_with_room(session: Session, partition: int, cadence: int) -> list[tuple[int, set[int]]]:
    """Id and taken rows of the groups that are not full."""
    groups = session.scalars(
        sa.select(TileGroup.id)
        .outerjoin(TileMember)
        .where(TileGroup.partition == partition, TileGroup.cadence_seconds == cadence)
        .group_by(TileGroup.id)
        .having(sa.func.count(TileMember.row) < ROWS)
        .order_by(TileGroup.id)
    )
    taken = sa.select(TileMember.row)
    return [(group, set(session.scalars(taken.where(TileMember.group_id == group)))) for group in groups]


def shares(places: Places, series: Ints, timestamp: Ints) -> list[Share]:
    """Points of placed series, tile by tile; the points of a tile keep their order."""
    place = np.zeros(int(places.series[-1]) + 1, np.int32)
    place[places.series] = np.arange(len(places.series))
    place = place[series]
    # Every tile starts at a multiple of this, whatever its cadence.
    step = COLUMNS * int(np.gcd.reduce(np.unique(places.cadence)))
    slot = _tile_starts(places, place, timestamp, step)
    groups, first_member, group_number = np.unique(places.group, return_index=True, return_inverse=True)
    earliest, width = int(slot.min()), int(slot.max() - slot.min()) + 1
    codes, tile = _distinct(group_number[place] * width + (slot - earliest))
    order = np.argsort(tile.astype(np.uint16) if len(codes) < 1 << 16 else tile, kind="stable")  # 16 bits: radix sort
    row = places.row[place]
    of_group, start = codes // width, (codes % width + earliest) * step
    parts = np.split(order, np.cumsum(np.bincount(tile))[:-1])
    return [
        Share(group, tile_start, cadence, part, row[part])
        for group, tile_start, cadence, part in zip(
            groups[of_group].tolist(),
            start.tolist(),
            places.cadence[first_member][of_group].tolist(),
            parts,
            strict=True,
        )
    ]


def _tile_starts(places: Places, place: NDArray[np.int32], timestamp: Ints, step: int) -> Ints:
    """Start of the tile each point lies in, in multiples of `step` seconds."""
    cadences = np.unique(places.cadence).tolist()
    if len(cadences) == 1:
        return timestamp // step
    start = np.empty_like(timestamp)
    cadence_of_each = places.cadence[place]
    for cadence in cadences:
        mine = np.flatnonzero(cadence_of_each == cadence)
        span = COLUMNS * cadence
        start[mine] = timestamp[mine] // span * (span // step)
    return start


def _distinct(codes: Ints) -> tuple[Ints, NDArray[np.integer[Any]]]:
    """The distinct codes in order, and for each code its place among them."""
    if codes.max() > DENSE_CODES_UP_TO:
        return np.unique(codes, return_inverse=True)
    # Ten times as fast as sorting, where the codes lie close together.
    seen = np.zeros(int(codes.max()) + 1, np.bool_)
    seen[codes] = True
    number = np.cumsum(seen, dtype=np.int32) - 1
    return np.flatnonzero(seen), number[codes]


def load_tiles(session: Session, keys: Mapping[TileKey, int], *, judged: bool = True) -> dict[TileKey, Tile]:
    """The tiles that exist of these, each with its group's cadence; judgements cost most of it."""
    scores = TileRow.scores if judged else sa.null().label("scores")
    query = sa.select(TileRow.group_id, TileRow.start, TileRow.values, scores)
    wanted = sa.tuple_(TileRow.group_id, TileRow.start).in_(list(keys))
    return {
        (group, start): unpack_tile(start, keys[group, start], values, scores)
        for group, start, values, scores in session.execute(query.where(wanted))
    }


def save_tiles(session: Session, saved: Mapping[TileKey, Tile]) -> None:
    """Put these tiles in place of what is there."""
    with ThreadPoolExecutor(PACKING_THREADS) as packing:  # pcodec lets go of the interpreter's lock
        packed = packing.map(Tile.pack, saved.values())
    rows = [
        {"group_id": group, "start": start, "values": values, "scores": scores}
        for (group, start), (values, scores) in zip(saved, packed, strict=True)
    ]
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    insert = (sqlite.insert if is_sqlite else postgresql.insert)(TileRow)
    new = {"values": insert.excluded["values"], "scores": insert.excluded["scores"]}
    session.execute(insert.on_conflict_do_update(index_elements=["group_id", "start"], set_=new), rows)


def tile_keys(session: Session, group: int) -> list[TileKey]:
    return [(group, start) for start in session.scalars(sa.select(TileRow.start).where(TileRow.group_id == group))]


def tile_points(session: Session, places: Places, start: int, end: int) -> StoredPoints:
    """What tiles hold of placed series from start until before end, in no order."""
    found = []
    for group, cadence, members in places.by_group():
        series_of_row = np.zeros(ROWS, np.int64)
        series_of_row[members.row] = members.series
        for tile in _tiles_between(session, group, cadence, start, end):
            row, timestamp, value, judged, weight = tile.points(members.row)
            points = StoredPoints(series_of_row[row], timestamp, value, judged, weight)
            found.append(points.take((timestamp >= start) & (timestamp < end)))
    return StoredPoints.joined(found)


def _tiles_between(session: Session, group: int, cadence: int, start: int, end: int) -> Iterator[Tile]:
    query = sa.select(TileRow.start, TileRow.values, TileRow.scores).where(
        TileRow.group_id == group, TileRow.start > start - COLUMNS * cadence, TileRow.start < end
    )
    for tile_start, values, scores in session.execute(query.execution_options(yield_per=TILES_AT_A_TIME)):
        yield unpack_tile(tile_start, cadence, values, scores)


def remove_from_tiles(session: Session, places: Places) -> None:
    """Forget the points of placed series, and their places."""
    for group, cadence, members in places.by_group():
        for keys in in_parts(tile_keys(session, group), TILES_AT_A_TIME):
            cleared = load_tiles(session, dict.fromkeys(keys, cadence))
            for tile in cleared.values():
                tile.clear(members.row)
            save_tiles(session, cleared)
    session.execute(sa.delete(TileMember).where(is_among(session, TileMember.series_id, places.series)))


def in_parts(things: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for first in range(0, len(things), size):
        yield things[first : first + size]
