"""Series: found by what they are called, created the first time a point of them comes in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.store.tables import Series

KEYS_PER_QUERY = 5_000  # PostgreSQL takes 65,535 parameters, SQLite 32,766
Dimensions = tuple[tuple[str, str], ...]
T = TypeVar("T")


class SeriesIdentity(NamedTuple):
    """What makes a series this one: its metric and its dimensions, sorted by name; `key` is their digest."""

    metric: str
    dimensions: Dimensions
    key: bytes


def identity(metric: str, dimensions: Mapping[str, str]) -> SeriesIdentity:
    ordered = tuple(sorted(dimensions.items()))
    return SeriesIdentity(metric, ordered, identity_key(metric, ordered))


def identity_key(metric: str, dimensions: Iterable[tuple[str, str]]) -> bytes:
    """16 bytes that tell this series from every other. `dimensions` must be sorted by name."""
    digest = hashlib.blake2b(digest_size=16)
    for text in (metric, *(part for pair in dimensions for part in pair)):
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(4, "big") + encoded)  # lengths keep "ab","c" from "a","bc"
    return digest.digest()


def partition_of(key: bytes, partition_count: int) -> int:
    """The partition that owns a series; the same in every process and for ever."""
    return int.from_bytes(key[:8], "big") % partition_count


@dataclass(frozen=True)
class Matcher:
    """Selects series by metric (`*` stands for anything) and by allowed values of dimensions; empty selects all."""

    metric: str = "*"
    dimensions: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def matches(self, metric: str, dimensions: Mapping[str, str]) -> bool:
        pattern = ".*".join(re.escape(part) for part in self.metric.split("*"))
        return re.fullmatch(pattern, metric, re.DOTALL) is not None and all(
            dimensions.get(name) in allowed for name, allowed in self.dimensions.items()
        )


def get(session: Session, series_id: int) -> Series | None:
    return session.get(Series, series_id)


def get_many(session: Session, series_ids: Iterable[int]) -> dict[int, Series]:
    """The series of these ids that exist, by id."""
    found: dict[int, Series] = {}
    for ids in _in_parts(series_ids):
        found |= {row.id: row for row in session.scalars(sa.select(Series).where(Series.id.in_(ids)))}
    return found


def of_partition(session: Session, partition: int) -> list[Series]:
    """Every series of a partition, by slot."""
    return list(session.scalars(sa.select(Series).where(Series.partition == partition).order_by(Series.slot)))


def places(session: Session) -> Iterator[tuple[bytes, tuple[int, int, int]]]:
    """Where every series lives: its key, then its partition, slot and id."""
    query = sa.select(Series.key, Series.partition, Series.slot, Series.id).execution_options(yield_per=KEYS_PER_QUERY)
    for key, partition, slot, series_id in session.execute(query):
        yield key, (partition, slot, series_id)


def find_by_key(session: Session, keys: Iterable[bytes]) -> dict[bytes, Series]:
    """The series with these keys that exist, by key."""
    found: dict[bytes, Series] = {}
    for part in _in_parts(keys):
        found |= {row.key: row for row in session.scalars(sa.select(Series).where(Series.key.in_(part)))}
    return found


def find_or_create(
    session: Session,
    identities: Sequence[SeriesIdentity],
    *,
    partition_count: int,
    timezone: str,
    token_id: int | None,
    now: datetime,
) -> list[Series]:
    """The series of these identities, in their order. The new ones take the next free slots of their partitions."""
    known = find_by_key(session, (each.key for each in identities))
    unknown = {each.key: each for each in identities if each.key not in known}
    free = _free_slots(session, {partition_of(key, partition_count) for key in unknown})
    for key, each in unknown.items():
        partition = partition_of(key, partition_count)
        known[key] = Series(
            key=key,
            metric=each.metric,
            dimensions=dict(each.dimensions),
            partition=partition,
            slot=free[partition],
            timezone=timezone,
            cadence_seconds=0,
            token_id=token_id,
            created_at=now,
        )
        free[partition] += 1
    session.add_all([known[key] for key in unknown])
    session.flush()
    return [known[each.key] for each in identities]


def _free_slots(session: Session, partitions: set[int]) -> dict[int, int]:
    last = sa.select(Series.partition, sa.func.max(Series.slot)).where(Series.partition.in_(partitions))
    taken: dict[int, int] = dict(session.execute(last.group_by(Series.partition)).all())
    return {partition: taken.get(partition, -1) + 1 for partition in partitions}


def set_cadences(session: Session, cadences: Mapping[int, int]) -> None:
    """Record the cadence found for each series id, in seconds."""
    rows = [{"id": series_id, "cadence_seconds": seconds} for series_id, seconds in cadences.items()]
    if rows:
        session.execute(sa.update(Series), rows)


def find(session: Session, matcher: Matcher, *, limit: int, after_id: int = 0) -> list[Series]:
    """A page of the series a matcher selects, by id; the last id of a full page leads to the next."""
    query = selected_by(session, matcher).where(Series.id > after_id).order_by(Series.id).limit(limit)
    return list(session.scalars(query))


def dimensions_of_metric(session: Session, metric: str, *, limit: int) -> dict[int, dict[str, str]]:
    """The dimensions of every series of a metric, by id; empty where there are more than `limit`."""
    query = sa.select(Series.id, Series.dimensions).where(Series.metric == metric).limit(limit + 1)
    found: dict[int, dict[str, str]] = dict(session.execute(query.order_by(Series.id)).all())
    return found if len(found) <= limit else {}


def matching(session: Session, matcher: Matcher) -> list[Series]:
    """Every series a matcher selects, by id."""
    return list(session.scalars(selected_by(session, matcher).order_by(Series.id)))


def selected_by(session: Session, matcher: Matcher) -> sa.Select[Series]:
    """The query for what `Matcher.matches` is true of."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    query = sa.select(Series).where(_metric_like(matcher.metric, is_sqlite=is_sqlite))
    pairs = sa.func.json_each if is_sqlite else sa.func.json_each_text
    for name, allowed in matcher.dimensions.items():
        pair = pairs(Series.dimensions).table_valued("key", "value").alias()
        query = query.where(sa.exists().select_from(pair).where(pair.c.key == name, pair.c.value.in_(list(allowed))))
    return query


def _metric_like(pattern: str, *, is_sqlite: bool) -> sa.ColumnElement[bool]:
    if "*" not in pattern:
        return Series.metric == pattern
    if is_sqlite:  # its LIKE ignores case
        return Series.metric.op("GLOB", is_comparison=True)(re.sub(r"([\[?])", r"[\1]", pattern))
    escaped = re.sub(r"([\\%_])", r"\\\1", pattern).replace("*", "%")
    return Series.metric.like(escaped, escape="\\")


def _in_parts(things: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(things)
    while part := list(islice(remaining, KEYS_PER_QUERY)):
        yield part
