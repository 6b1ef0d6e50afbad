"""Find gaps that nobody declared: a source that is silent, or stuck at one value, or at zero where zeros are unknown.

A *source* is what one token sends (docs/decisions/0027): all its series that stop within a few of their steps are one
gap with one alert, however many metrics they belong to. Silence and stuck values are looked for every minute; zeros
before they are judged, so that one alert is told in place of one a series.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np
import structlog

from app.alerts.rules import are_fresh
from app.partitions.partition import Partition
from app.pipeline import gaps
from app.pipeline.gaps import Loss
from app.pipeline.ingest import Committer
from app.store import points, tokens
from app.store.points import PointBatch
from detectors import loss
from detectors.contract import Bools, Floats, Ints

log = structlog.get_logger()

MANY_SOURCES = 3
"""So many that fall silent in the same minute are one loss."""
LEAST_ARRIVALS = 8
"""So often points must have come of a series before its silence says anything."""
SAMPLED = 3
"""Series of each metric whose earlier points are read to see whether the silence is usual."""
MOST_STEPS = 400
LOOK_AGAIN_SECONDS = 600
LIVE_STEPS = 3
"""A series belongs to what its source sends now if it is no further behind the newest one of its metric."""
FORGOTTEN = timedelta(days=14)
"""What has been silent for so long is no longer looked at."""


class Arriving(Protocol):
    """Points that are about to be judged; arrays (n,)."""

    partition: Ints
    slot: Ints
    timestamp: Ints
    value: Floats


@dataclass(frozen=True)
class _Group:
    """The series of one metric and token that send now; arrays (M,). steps: missed since `newest`."""

    token: int
    metric: str
    series_ids: Ints
    newest: int
    first_at: int
    cadence: int
    steps: int

    @property
    def looked_at(self) -> int:
        """Steps of the silence that are compared, its last ones."""
        return min(self.steps, MOST_STEPS)

    @property
    def stretches(self) -> list[int]:
        return loss.comparable(self.first_at, self.newest)

    @property
    def before(self) -> int:
        """Steps before the silence that are compared too, as far as its source was known in all stretches."""
        known = (self.newest - max(self.stretches, default=0) - self.first_at) // self.cadence
        return int(min(known, loss.STEPS_BEFORE))

    @property
    def start(self) -> int:
        """One step before the first one that is compared."""
        return self.newest + (self.steps - self.looked_at - self.before) * self.cadence


@dataclass(frozen=True)
class _Stuck:
    """The series of one token that are stuck; arrays (M,). sending: all metrics that it sends."""

    token: int
    sending: set[str]
    series_ids: Ints
    since: Ints
    cadence: Ints


class GapFinder:
    """Looks for gaps in what a committer's series send."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._look_again: dict[tuple[int, str], int] = {}

    def find_lost(self, now: datetime) -> int:
        """Look for what shows by itself as time goes on; returns how many gaps were opened."""
        return self.find_silent(now) + self.find_stuck(now)

    def find_silent(self, now: datetime) -> int:
        """Open a gap for every source that has gone silent; returns how many."""
        seconds = int(now.timestamp())
        quiet, live = self._committer.call(lambda: self._quiet(seconds))
        due = [each for each in quiet if self._look_again.get((each.token, each.metric), 0) <= seconds]
        if not due:
            return 0
        for each in due:
            pause = min(each.cadence, LOOK_AGAIN_SECONDS)
            self._look_again[each.token, each.metric] = seconds + pause
        lost = [each for each, rarity in self._rarities(due) if rarity >= loss.TOLD_FROM]
        sources = _by_token(lost)
        if len(sources) >= MANY_SOURCES:  # something that they share, such as the way to Heed
            return self._open_silence(0, lost, set(), now, of_all=f"{len(sources)} sources")
        return sum(self._open_silence(token, those, live[token], now) for token, those in sources.items())

    def find_stuck(self, now: datetime) -> int:
        """Open a gap for the series of every source that have sent one value for too long; returns how many."""
        found = 0
        for stuck in self._committer.call(lambda: self._stuck(int(now.timestamp()))):
            step, source = int(stuck.cadence.max()), self._source(stuck.token)
            order = np.argsort(stuck.since, kind="stable")
            apart = np.flatnonzero(np.diff(stuck.since[order]) > gaps.JOINED_STEPS * step) + 1
            for together in np.split(order, apart):
                start = int(stuck.since[together].min())
                words = Words(source, stuck.sending, self._moment(start, stuck.series_ids[together]))
                lost = Loss(
                    "stuck", stuck.token or None, stuck.series_ids[together], _time(start), words.of_stuck, step
                )
                found += gaps.open_found(self._committer, lost, now) is not None
        return found

    def look_for_zeros(self, arriving: Arriving, now: datetime) -> None:
        """Open a gap where these points make all series of a metric zero; on the committer's thread, before them."""
        found: dict[tuple[int, str], tuple[Ints, int]] = {}
        sending: defaultdict[int, set[str]] = defaultdict(set)
        ahead = [self._ahead(p, arriving, now) for p in self._committer.partitions]
        for partition, newest in zip(self._committer.partitions, ahead, strict=True):
            for token, metric in newest.suspects(partition):
                if (token, metric) not in found and (zeros := self._zeros(ahead, token, metric)) is not None:
                    found[token, metric] = zeros
        for token in {token for token, _ in found}:
            sending[token] |= _metrics_of(self._committer.partitions, token)
        for token, those in _grouped(found).items():
            start = min(since for _, since in those.values())
            ids = np.concatenate([ids for ids, _ in those.values()])
            words = Words(self._source(token), sending[token], self._moment(start, ids))
            lost = Loss("zeros", token or None, ids, _time(start), words.of_zeros, self._step_of(ids))
            gaps.open_found(self._committer, lost, now)

    def _stuck(self, now: int) -> list[_Stuck]:
        """The series that are stuck, by token."""
        rows: list[tuple[Ints, ...]] = []
        for partition in self._committer.partitions:
            run = partition.arrivals.columns
            slots = np.flatnonzero(run["repeat_run"][: partition.count] >= loss.LEAST_REPEATS)
            if not slots.size:
                continue  # nearly always
            column = {n: partition.columns[n][slots].astype(np.int64) for n in ("last_at", "cadence", "point_count")}
            rarity = loss.rarity_of_repeats(
                run["repeat_run"][slots],
                longest=run["longest_run"][slots],
                repeats=run["repeats"][slots],
                known=column["point_count"],
                cadence=column["cadence"],
            )
            fresh = are_fresh(column["last_at"], column["cadence"], now)
            told = slots[(rarity >= loss.TOLD_FROM) & fresh & ~_in_open_gap(partition, slots)]
            names = ("token", "series_id", "cadence")
            token, series_id, cadence = (partition.columns[name][told].astype(np.int64) for name in names)
            rows.append((token, series_id, run["repeat_since"][told], cadence))
        if not rows:
            return []
        token, *columns = (np.concatenate(each) for each in zip(*rows, strict=True))
        return [
            _Stuck(each, _metrics_of(self._committer.partitions, each), *(column[token == each] for column in columns))
            for each in np.unique(token).tolist()
        ]

    def _quiet(self, now: int) -> tuple[list[_Group], Mapping[int, set[str]]]:
        """Metrics of which every series that sent lately is overdue, and which metrics each token sends lately."""
        newest: dict[tuple[int, str], tuple[int, int]] = {}
        for partition in self._committer.partitions:
            for key, last, cadence in _newest_by_source(partition, now):
                before = newest.get(key, (0, cadence))
                newest[key] = max(last, before[0]), min(cadence, before[1])
        live: defaultdict[int, set[str]] = defaultdict(set)
        found = []
        for (token, metric), (last, cadence) in newest.items():
            live[token].add(metric)
            if now - last < max(loss.LEAST_STEPS * cadence, loss.LEAST_SECONDS):
                continue  # nearly always
            group = self._if_quiet(token, metric, now)
            if group is not None:
                found.append(group)
        return found, live

    def _if_quiet(self, token: int, metric: str, now: int) -> _Group | None:
        parts = [(p, _slots_of(p, token, metric)) for p in self._committer.partitions]

        def column(name: str) -> Ints:
            return np.concatenate([p.columns[name][slots].astype(np.int64) for p, slots in parts])

        last, cadence = column("last_at"), column("cadence")
        newest = int(last.max())
        arrivals, wait = (
            np.concatenate([p.arrivals.columns[name][slots] for p, slots in parts]) for name in ("arrivals", "wait")
        )
        lost = np.concatenate([_in_open_gap(p, slots) for p, slots in parts])
        live = (last >= newest - LIVE_STEPS * cadence) & (arrivals >= LEAST_ARRIVALS) & (cadence > 0)
        overdue = loss.overdue(now, last, cadence, wait, self._committer.listening_since)
        if not live.any() or lost[live].any() or not overdue[live].all():
            return None
        usual = int(np.median(cadence[live]))
        extra = int(max(np.median(wait[live]) - usual, 0))
        return _Group(
            token=token,
            metric=metric,
            series_ids=column("series_id")[live],
            newest=newest,
            first_at=int(column("first_at")[live].min()),
            cadence=usual,
            steps=(now - extra - newest) // usual,
        )

    def _rarities(self, groups: Sequence[_Group]) -> list[tuple[_Group, float]]:
        """How rarely each of them is this silent by chance, by what it sent in the same stretch of earlier weeks."""
        backs = sorted({back for each in groups for back in each.stretches})
        ids = np.concatenate([each.series_ids[:SAMPLED] for each in groups])
        start = min(each.start for each in groups)
        end = max(each.newest + each.steps * each.cadence for each in groups)
        slack = max(each.cadence for each in groups)
        with self._committer.database.reading() as session:
            read = {b: points.read_points(session, ids.tolist(), start - b, end - b + slack) for b in backs}
        return [
            (each, loss.rarity_of_silence(np.array(spoke), each.looked_at, each.cadence))
            for each in groups
            for spoke in [[_spoke(each, read[back], back) for back in each.stretches]]
        ]

    def _open_silence(
        self, token: int, groups: Sequence[_Group], sending: set[str], now: datetime, of_all: str | None = None
    ) -> int:
        newest = max(each.newest for each in groups)
        ids = np.concatenate([each.series_ids for each in groups])
        words = Words(self._source(token), sending, self._moment(newest, ids), of_all)
        step = max(each.cadence for each in groups)
        lost = Loss("silence", token or None, ids, _time(newest + 1), words.of_silence, step)
        return int(gaps.open_found(self._committer, lost, now) is not None)

    def _source(self, token: int) -> str | None:
        """What the token is called that sends it."""
        if not token:
            return None
        with self._committer.database.reading() as session:
            return tokens.names_of(session, [token]).get(token)

    def _step_of(self, series_ids: Ints) -> int:
        steps = [
            int(p.columns["cadence"][slots[slots >= 0]].max(initial=0))
            for p in self._committer.partitions
            for slots in [p.slots_of(series_ids)]
        ]
        return max(steps)

    def _moment(self, seconds: int, series_ids: Ints) -> str:
        return gaps.as_readers_say_it(self._committer, _time(seconds), series_ids)

    @staticmethod
    def _ahead(partition: Partition, arriving: Arriving, now: datetime) -> _Ahead:
        """The newest value that each series will have."""
        mine = np.flatnonzero(arriving.partition == partition.number)
        slot, timestamp, value = arriving.slot[mine], arriving.timestamp[mine], arriving.value[mine]
        newer = np.isfinite(value) & (timestamp > partition.columns["last_at"][slot])
        order = np.flatnonzero(newer)
        order = order[np.lexsort((timestamp[order], slot[order]))]
        slot, timestamp, value = slot[order], timestamp[order], value[order]
        last = np.append(slot[1:] != slot[:-1], True) if slot.size else np.zeros(0, bool)
        slot, timestamp, zero = slot[last], timestamp[last], value[last] == 0
        fresh = are_fresh(timestamp, partition.columns["cadence"][slot], now.timestamp())
        return _Ahead(slot, timestamp, zero, fresh)

    def _zeros(self, ahead: Sequence[_Ahead], token: int, metric: str) -> tuple[Ints, int] | None:
        """The ids of a metric's series and since when they are zero, if all that send now are; else None."""
        parts = [each.of(p, token, metric) for p, each in zip(self._committer.partitions, ahead, strict=True)]
        ids, last, cadence, zero, unknown, since, lost = (np.concatenate(each) for each in zip(*parts, strict=True))
        live = last >= last.max() - 2 * cadence
        together = loss.zero_together(zero[live], unknown[live], since[live], cadence[live])
        if not together or lost[live].any():
            return None
        return ids[live], int(since[live & unknown].min())


@dataclass(frozen=True)
class _Ahead:
    """Of each series of a partition that has points to be judged, the newest one: arrays (R,)."""

    slot: Ints
    timestamp: Ints
    zero: Bools
    fresh: Bools

    def suspects(self, partition: Partition) -> list[tuple[int, str]]:
        """Token and metric of series that turn zero now, and of which zeros are unknown."""
        turned = self.zero & self.fresh
        slots = self.slot[turned]
        if not slots.size:
            return []
        unknown = partition.arrivals.zeros_are_unknown(slots, partition.columns["point_count"][slots])
        slots = slots[unknown & ~_in_open_gap(partition, slots)]
        kinds = np.unique(np.stack([partition.columns[n][slots] for n in ("token", "metric")], axis=1), axis=0)
        return [(int(token), partition.metrics.names[metric]) for token, metric in kinds]

    def of(self, partition: Partition, token: int, metric: str) -> tuple[np.ndarray, ...]:
        """Id, newest time, cadence, whether zero, whether that is unknown, since when, and whether in an open gap; of
        all series of a metric and token as they will be."""
        column = {name: array[: partition.count] for name, array in partition.columns.items()}
        slots = _slots_of(partition, token, metric)
        slots = slots[column["cadence"][slots] > 0]
        run = partition.arrivals.columns
        zero, since, last = run["zero_run"][slots] > 0, run["zero_since"][slots].copy(), column["last_at"][slots].copy()
        there = np.isin(self.slot, slots)
        place = np.searchsorted(slots, self.slot[there])
        begins = self.zero[there] & (since[place] == 0)
        since[place] = np.where(self.zero[there], np.where(begins, self.timestamp[there], since[place]), 0)
        zero[place], last[place] = self.zero[there], self.timestamp[there]
        unknown = partition.arrivals.zeros_are_unknown(slots, column["point_count"][slots])
        return (
            column["series_id"][slots],
            last,
            column["cadence"][slots],
            zero,
            unknown,
            since,
            _in_open_gap(partition, slots),
        )


def _newest_by_source(partition: Partition, now: int) -> Iterable[tuple[tuple[int, str], int, int]]:
    """Each token and metric that has sent points lately, the time of the newest, and its shortest cadence."""
    column = {name: array[: partition.count] for name, array in partition.columns.items()}
    lately = (column["last_at"] > now - FORGOTTEN.total_seconds()) & (column["cadence"] > 0)
    slots = np.flatnonzero(lately)
    kinds = np.stack([column["token"][slots], column["metric"][slots]], axis=1)
    found, member = np.unique(kinds, axis=0, return_inverse=True)
    newest, cadence = np.zeros(len(found), np.int64), np.full(len(found), loss.WEEK)
    np.maximum.at(newest, member.reshape(-1), column["last_at"][slots])
    np.minimum.at(cadence, member.reshape(-1), column["cadence"][slots])
    for (token, metric), last, shortest in zip(found.tolist(), newest.tolist(), cadence.tolist(), strict=True):
        yield (token, partition.metrics.names[metric]), last, shortest


def _slots_of(partition: Partition, token: int, metric: str) -> Ints:
    """The slots of one token's series of a metric that have sent points."""
    column = {name: array[: partition.count] for name, array in partition.columns.items()}
    mine = (column["metric"] == partition.metrics.code(metric)) & (column["token"] == token)
    return np.flatnonzero(mine & (column["point_count"] > 0))


def _in_open_gap(partition: Partition, slots: Ints) -> Bools:
    """Which of these have a gap that goes on."""
    return partition.happenings.in_open_gap(slots)


def _spoke(group: _Group, batch: PointBatch, back: int) -> Bools:
    """Whether any of a group's sampled series sent something at each step of its silence, so many seconds earlier."""
    mine = np.isin(batch.series, group.series_ids[:SAMPLED]) & np.isfinite(batch.value)
    step = np.round((batch.timestamp[mine] + back - group.start) / group.cadence).astype(np.int64) - 1
    spoke = np.zeros(group.before + group.looked_at, bool)
    spoke[step[(step >= 0) & (step < spoke.size)]] = True
    return spoke


def _metrics_of(partitions: Sequence[Partition], token: int) -> set[str]:
    return {
        p.metrics.names[code]
        for p in partitions
        for code in np.unique(p.columns["metric"][: p.count][p.columns["token"][: p.count] == token]).tolist()
    }


def _by_token(groups: Iterable[_Group]) -> dict[int, list[_Group]]:
    found: defaultdict[int, list[_Group]] = defaultdict(list)
    for each in groups:
        found[each.token].append(each)
    return dict(found)


def _grouped(found: Mapping[tuple[int, str], tuple[Ints, int]]) -> dict[int, dict[str, tuple[Ints, int]]]:
    by_token: defaultdict[int, dict[str, tuple[Ints, int]]] = defaultdict(dict)
    for (token, metric), zeros in found.items():
        by_token[token][metric] = zeros
    return dict(by_token)


@dataclass(frozen=True)
class Words:
    """What people are told of a loss. source: what the token is called that sends it; sending: all metrics it sends.

    of_all: what to call it instead, where it is more than one source.
    """

    source: str | None
    sending: set[str]
    since: str
    of_all: str | None = None

    def of_silence(self, series: int, metrics: Sequence[str]) -> str:
        count = "1 series" if series == 1 else f"{series:,} series"
        name, is_one = self._name(metrics)
        return f"{name} {'has' if is_one else 'have'} been silent since {self.since}: {count}"

    def of_zeros(self, series: int, metrics: Sequence[str]) -> str:
        name, is_one = self._name(metrics)
        said = f"{name} {'is' if is_one else 'are'} 0 in all {series:,} series since {self.since}"
        return f"{said}, where zeros are almost unknown: an outage, or lost data"

    def of_stuck(self, series: int, metrics: Sequence[str]) -> str:
        name, is_one = self._name(metrics)
        which = "in one series" if series == 1 else f"in {series:,} series"
        return f"{name} {'has' if is_one else 'have'} not changed at all since {self.since} {which}: stuck values"

    def _name(self, metrics: Sequence[str]) -> tuple[str, bool]:
        """The source where it is all that it sends, else the metric, or how many; and whether that is one thing."""
        if self.of_all is not None:
            return self.of_all, False
        if self.source is not None and len(metrics) > 1 and self.sending <= set(metrics):
            return self.source, True
        if len(metrics) == 1:
            return metrics[0], True
        return f"{len(metrics)} metrics" + (f" of {self.source}" if self.source else ""), False


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
