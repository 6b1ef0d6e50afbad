"""The committer: one thread that takes posted points through scoring and alerting to one commit.

Waiting POSTs share a commit. Their points, the series they created, the anomalies, alerts and notifications they caused
are one transaction; when it is on disk the new state is put in place and every POST gets its answer. Whatever else
touches a partition (training, folding, new labels) runs on this thread too, between two groups.
"""

from __future__ import annotations

import threading
import uuid
from collections import ChainMap, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import numpy as np
import structlog
from sqlalchemy.orm import Session

from app.alerts.rules import Delivery, are_fresh, delivery_of
from app.clock import Clock, wall_now
from app.errors import TooManyRequests, Unavailable
from app.formats.contract import PostedPoints, Rejection
from app.partitions.partition import NewSeries, Partition, Switches
from app.pipeline import alert, fall_back, happenings, probe, recover, score
from app.pipeline.creations import Conditions
from app.pipeline.happenings import Changed
from app.pipeline.learn import current_tolerances
from app.pipeline.policies import current_policies, regulated, zone_of
from app.pipeline.score import Judged, Transition
from app.pipeline.silenced import silencings
from app.security import Bearer
from app.store import flags, points, series, tokens
from app.store.database import Database
from app.store.flags import FLAGS, FlagName
from app.store.points import PointBatch
from app.store.series import SeriesIdentity
from detectors.contract import Bools, Floats, Ints
from feedback import guards
from feedback.receipt import Band, Power
from feedback.tolerance import Tolerances

log = structlog.get_logger()
T = TypeVar("T")

MOST_WAITING_POINTS = 2_000_000
MOST_GROUP_POINTS = 200_000
MOST_GROUP_POSTS = 256


@dataclass(frozen=True)
class IngestRules:
    """What the committer needs of the settings."""

    timezone: str
    partition_count: int
    policy_defaults: Mapping[str, Any] = field(default_factory=dict)
    """Settings that hold where no policy says anything, less those that are Heed's own defaults."""
    label_half_life: timedelta = guards.HALF_LIFE


@dataclass(frozen=True)
class IngestOutcome:
    """The answer to one POST, given after its commit."""

    accepted: int
    duplicates: int
    rejected: list[Rejection]


@dataclass(frozen=True)
class Place:
    """Where a series lives."""

    partition: int
    slot: int
    series_id: int


@dataclass
class _Waiting:
    posted: PostedPoints
    bearer: Bearer | None
    delivery: Delivery | None
    answer: Future[IngestOutcome] = field(default_factory=Future)


@dataclass
class _Arrivals:
    """The points of a group, each with its place; arrays (n,). `post` is the index of the POST it came with."""

    partition: Ints
    slot: Ints
    series_id: Ints
    timestamp: Ints
    value: Floats
    weight: Floats
    post: Ints

    def only(self, rows: Bools | Ints) -> _Arrivals:
        return _Arrivals(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


class Committer:
    """The single writer of all partitions of this process."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        rules: IngestRules,
        *,
        told: Callable[[], None] = lambda: None,
        committed: Callable[[], None] = lambda: None,
        arriving: Callable[[_Arrivals], None] = lambda _arrivals: None,
    ) -> None:
        """What is called on this thread: `told` after a commit with due notifications, `committed` after every group,
        and `arriving` before one that brings zeros, with its points of known series.
        """
        self.database = database
        self.clock = clock
        self.rules = rules
        self.told = told
        self._committed = committed
        self._arriving = arriving
        self.listening_since = 0
        """Unix seconds by the clock since when points could be taken in."""
        self.partitions: list[Partition] = []
        self.flags: Mapping[FlagName, str] = {}  # the states by which points are judged; those left out are usual
        self._places: dict[bytes, Place] = {}
        self._fell_back: set[int] = set()  # partitions of which a series has fallen back since the last checkpoint
        self._posts: deque[_Waiting] = deque()
        self._calls: deque[tuple[Callable[[], object], Future[object]]] = deque()
        self._waiting_points = 0
        self._wanted = threading.Condition()
        self._closing = False
        self._stopping = False
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)

    def start(self) -> None:
        """Load all partitions, then take work."""
        self._load()
        self._thread.start()

    def close(self) -> None:
        """Take no more points. What was submitted is finished, and `call` still works until `stop`."""
        with self._wanted:
            self._closing = True

    def stop(self) -> None:
        """Finish what was submitted, then end. Safe to call twice."""
        self.close()
        with self._wanted:
            self._stopping = True
            self._wanted.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._ended = True

    @property
    def is_running(self) -> bool:
        """Whether posted points will be committed."""
        return self._thread.is_alive() and not self._closing

    def submit(
        self, posted: PostedPoints, bearer: Bearer | None = None, delivery: Delivery | None = None
    ) -> Future[IngestOutcome]:
        """Queue one POST; the future is done once it is committed. Raises TooManyRequests when too much waits."""
        waiting = _Waiting(posted, bearer, delivery)
        with self._wanted:
            if self._closing or self._ended:
                raise Unavailable("The service is stopping. Send the points again in a moment.")
            if self._waiting_points + len(posted) > MOST_WAITING_POINTS:
                raise TooManyRequests("Too many points wait to be stored. Slow down.", headers={"Retry-After": "1"})
            self._posts.append(waiting)
            self._waiting_points += len(posted)
            self._wanted.notify()
        return waiting.answer

    def call(self, work: Callable[[], T]) -> T:
        """Run `work` on the committer's thread, between two groups, and return what it returns."""
        if threading.current_thread() is self._thread:
            return work()
        answer: Future[object] = Future()
        with self._wanted:
            if self._ended:
                raise Unavailable("The service is stopping.")
            self._calls.append((work, answer))
            self._wanted.notify()
        return answer.result()  # type: ignore[return-value]

    def relabel(self, store: Callable[[], Sequence[int]]) -> None:
        """Commit a change of labels and heed it from the next point on, with no point in between.

        `store` commits, and returns the ids of the series whose runs it ended.
        """
        self.call(lambda: self._labels_changed(store()))

    def rejudge(self, store: Callable[[], Changed]) -> None:
        """Commit a change of events or gaps and judge by it from the next point on, with no point in between.

        `store` commits, and returns what the change means for the series concerned.
        """
        self.call(lambda: self._happenings_changed(store()))

    def labels_changed(self) -> None:
        """Heed the labels as they stand now: they fade. Events are laid out further ahead."""
        self.call(lambda: self._labels_changed(()))

    def change_policies(self, change: Callable[[Session], T]) -> T:
        """Change policies and heed them from the next point on, with no point in between. `change` does not commit."""
        return self.call(lambda: self._change_policies(change))

    def _change_policies(self, change: Callable[[Session], T]) -> T:
        """One commit with a checkpoint: a replay must not judge what was before the change by what came after."""
        with self.database.writing() as session:
            changed = change(session)
            policies = current_policies(session, self.rules.policy_defaults)
            tolerances = current_tolerances(
                session, self.clock.now(), policies, self.rules.label_half_life
            )  # a budget is what labels count from
            everyone = {p.number: regulated(session, p, policies, self.rules.timezone) for p in self.partitions}
            for partition in self.partitions:
                recover.save(session, partition)
        for partition in self.partitions:
            recover.saved(partition)
            partition.regulate(policies, everyone[partition.number])
            partition.heed(tolerances)
        return changed

    @property
    def switches(self) -> Switches:
        return switches_of(self.flags)

    def band(self, series_id: int, tolerances: Tolerances) -> Band | None:
        """The next point's band under these tolerances; None while nothing can be said of the series."""
        return self.call(lambda: probe.band(*self.partition_of(series_id), tolerances))

    def power(self, series_id: int, worlds: Sequence[Conditions]) -> list[Power] | None:
        """Share of injected drops and spikes told under each; None while nothing can be said of the series."""
        return self.call(lambda: probe.power(*self.partition_of(series_id), worlds))

    def partition_of(self, series_id: int) -> tuple[Partition, int]:
        """The partition that holds a series, and its slot there. Only for use inside `call`."""
        for partition in self.partitions:
            slot = int(partition.slots_of([series_id])[0])
            if slot >= 0:
                return partition, slot
        raise LookupError("no partition holds this series")

    def forget_place(self, key: bytes) -> None:
        """The series of this key is gone: should it come again, it is new. Only for use inside `call`."""
        self._places.pop(key, None)

    def reload(self, number: int) -> None:
        """Forget what is in memory of a partition and rebuild it from the database."""
        with self.database.reading() as session:
            policies = current_policies(session, self.rules.policy_defaults)
            tolerances = current_tolerances(session, self.clock.now(), policies, self.rules.label_half_life)
            self.partitions[number] = recover.load(session, number, tolerances, policies, self.switches)

    @contextmanager
    def reloading(self, number: int) -> Iterator[None]:
        """What is in memory may be ahead of a commit that failed: take the partition from the database again."""
        try:
            yield
        except BaseException:
            self.reload(number)
            raise

    def _load(self) -> None:
        with self.database.reading() as session:
            for number in range(self.rules.partition_count):
                self.clock.saw(recover.newest(session, number))  # first, since labels fade by this clock
            policies = current_policies(session, self.rules.policy_defaults)
            tolerances = current_tolerances(session, self.clock.now(), policies, self.rules.label_half_life)
            self.flags = flags.states(session)
            self.partitions = [
                recover.load(session, number, tolerances, policies, self.switches)
                for number in range(self.rules.partition_count)
            ]
            for key, place in series.places(session):
                self._places[key] = Place(*place)
        if self._places:
            self.listening_since = int(self.clock.now().timestamp())

    def _labels_changed(self, released: Sequence[int]) -> None:
        with self.database.reading() as session:
            policies = current_policies(session, self.rules.policy_defaults)
            tolerances = current_tolerances(session, self.clock.now(), policies, self.rules.label_half_life)
        for partition in self.partitions:
            partition.heed(tolerances)
        self._happenings_changed(Changed(released=list(released)))

    def _happenings_changed(self, changed: Changed) -> None:
        for partition in self.partitions:
            with self.database.reading() as session:
                known = happenings.read(session, partition)
            happenings.heed(partition, known, changed)
            self._checkpoint(partition)
        self.told()  # an alert may have been closed, and its channels wait to hear of it

    def _checkpoint(self, partition: Partition) -> None:
        """A replay must not cross a change of labels: it would judge what was before it by what came after."""
        with self.reloading(partition.number), self.database.writing() as session:
            recover.save(session, partition)
        recover.saved(partition)

    def _checkpoint_fallen_back(self) -> None:
        """A restart need not wait for the faulty detector once more."""
        while self._fell_back:
            self._checkpoint(self.partitions[self._fell_back.pop()])

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._give_up()

    def _give_up(self) -> None:
        """The thread ends: nobody may wait for it for ever."""
        with self._wanted:
            self._ended = True
            waiting: list[Future[Any]] = [post.answer for post in self._posts]
            waiting += [answer for _, answer in self._calls]
            self._posts.clear()
            self._calls.clear()
        for answer in waiting:
            if answer.set_running_or_notify_cancel():
                answer.set_exception(Unavailable("The service has stopped. Send it again in a moment."))

    def _work(self) -> None:
        while True:
            with self._wanted:
                while not (self._posts or self._calls or self._stopping):
                    self._wanted.wait()
                if self._stopping and not self._posts and not self._calls:
                    return
                group = self._next_group()
                call = self._calls.popleft() if self._calls else None
            if group:
                self._commit_and_answer(group)
            if call:
                _answer_call(*call)

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        count = 0
        while self._posts and len(group) < MOST_GROUP_POSTS:
            if group and count + len(self._posts[0].posted) > MOST_GROUP_POINTS:
                break
            waiting = self._posts.popleft()
            count += len(waiting.posted)
            if waiting.answer.set_running_or_notify_cancel():  # else whoever posted it has hung up
                group.append(waiting)
        self._waiting_points -= count
        return group

    def _commit_and_answer(self, group: list[_Waiting]) -> None:
        try:
            outcomes = self._commit(group, self._look_ahead(group))
        except Exception as fault:
            if len(group) > 1:  # one faulty POST must not take the others down with it
                for waiting in group:
                    self._commit_and_answer([waiting])
                return
            log.exception("ingest_failed", points=len(group[0].posted))
            group[0].answer.set_exception(fault)
            return
        for waiting, outcome in zip(group, outcomes, strict=True):
            waiting.answer.set_result(outcome)
        try:
            self._checkpoint_fallen_back()
            self._committed()
        except Exception:  # what follows a commit must never end the one thread that commits
            log.exception("after_commit_failed")

    def _look_ahead(self, group: Sequence[_Waiting]) -> _Arrivals | None:
        """Zeros may mean that data are lost: to be known before they are judged. Returns the points if it looked."""
        if not any((waiting.posted.value == 0).any() for waiting in group):
            return None
        arrivals = _arrivals(group, self._places, {})
        try:
            self._arriving(arrivals.only(arrivals.slot >= 0))
        except Exception:  # whoever looks ahead must not keep points from being stored
            log.exception("look_ahead_failed")
        return arrivals

    def _commit(self, group: list[_Waiting], placed: _Arrivals | None) -> list[IngestOutcome]:
        """placed: the points with the places of the series that were known before, if somebody has looked them up."""
        now = self.clock.now()
        created: dict[bytes, Place] = {}
        judgements: list[tuple[Partition, Judged, int, PointBatch]] = []
        due = 0
        newcomers: list[tuple[Partition, list[NewSeries]]] = []
        try:
            with self.database.writing() as session:
                past = fall_back.stored_past(session)
                created, refused, newcomers = self._meet(session, group, now)
                if placed is None or refused:  # `refused` names each POST with series that were not known
                    placed = _arrivals(group, ChainMap(self._places, created), refused)
                arrivals = placed
                kept, duplicate, corrected = self._without_duplicates(session, arrivals)
                for number in np.unique(kept.partition).tolist():
                    mine = kept.only(kept.partition == number)
                    partition = self.partitions[number]
                    arrived = score.Batch(mine.slot, mine.timestamp, mine.value, score.given(mine.weight))
                    judged = score.judge(partition, arrived, past)
                    fall_back.record(session, partition, judged.fell_back)
                    batch = _as_batch(mine, judged)
                    log_id = points.append_log(
                        session, partition=number, batch_id=uuid.uuid4().hex, received_at=wall_now(), batch=batch
                    )
                    if judged.transitions:
                        recording = self._recording(session, partition, mine, group, now)
                        due += alert.record(session, judged.transitions, recording)
                    judgements.append((partition, judged, log_id, batch))
        except BaseException:
            for partition, those in newcomers:
                partition.forget(those)
            raise
        self._places.update(created)
        self._note_arrivals(kept, corrected, arrivals.only(duplicate), group, now)
        for partition, judged, log_id, batch in judgements:
            score.install(partition, judged, log_id)
            partition.keep_tail(batch, log_id, wall_now())
            if judged.fell_back:
                self._fell_back.add(partition.number)
        if len(kept.timestamp):
            self.clock.saw(int(kept.timestamp.max()))
        if due:
            self.told()
        return _outcomes(group, arrivals, duplicate, refused)

    def _meet(
        self, session: Session, group: Sequence[_Waiting], now: datetime
    ) -> tuple[dict[bytes, Place], dict[int, set[bytes]], list[tuple[Partition, list[NewSeries]]]]:
        """Create the series that nobody knew, as far as each token's quota of new series goes.

        Returns the places of the new ones, the keys refused per POST, and what each partition took in.
        """
        created: dict[bytes, Place] = {}
        refused: dict[int, set[bytes]] = {}
        taken: list[tuple[Partition, list[NewSeries]]] = []
        for index, waiting in enumerate(group):
            unknown = _unknown(waiting.posted, self._places, created)
            if not unknown:
                continue
            allowed = unknown
            if waiting.bearer is not None:
                allowed = unknown[: tokens.claim_new_series(session, waiting.bearer.token_id, len(unknown))]
            refused[index] = {each.key for each in unknown[len(allowed) :]}  # unless another POST may bring it in
            rows = series.find_or_create(
                session,
                allowed,
                partition_count=self.rules.partition_count,
                timezone=self.rules.timezone,
                token_id=waiting.bearer.token_id if waiting.bearer else None,
                now=wall_now(),
            )
            for row in rows:
                row.timezone = zone_of(self.partitions[row.partition].regimes.policies, row) or row.timezone
            created |= {row.key: Place(row.partition, row.slot, row.id) for row in rows}
            for number in {row.partition for row in rows}:
                those = [
                    NewSeries(row.id, row.slot, row.metric, row.timezone, row.dimensions, row.token_id)
                    for row in rows
                    if row.partition == number
                ]
                self.partitions[number].take_in(those)
                taken.append((self.partitions[number], those))
        return created, {index: keys - created.keys() for index, keys in refused.items()}, taken

    def _note_arrivals(
        self, kept: _Arrivals, corrected: Bools, again: _Arrivals, group: Sequence[_Waiting], now: datetime
    ) -> None:
        """Count what has come, before it is put in place."""
        for number in np.unique(kept.partition).tolist():
            here = kept.partition == number
            mine, partition = kept.only(here), self.partitions[number]
            recover.note_arrivals(partition, mine.slot, mine.timestamp, mine.value, corrected=corrected[here], now=now)
            live = _is_live(partition, mine, group, now)
            partition.arrivals.note_live(mine.slot[live], mine.timestamp[live])
        for number in np.unique(again.partition).tolist():
            mine = again.only(again.partition == number)
            self.partitions[number].arrivals.note_duplicates(mine.slot, mine.timestamp)

    def _without_duplicates(self, session: Session, arrivals: _Arrivals) -> tuple[_Arrivals, Bools, Bools]:
        """One point for each series and time, the last one sent; which of all arrivals told nothing new; and which of
        the points correct a stored one."""
        order = np.lexsort((np.arange(arrivals.timestamp.size), arrivals.timestamp, arrivals.series_id))
        ordered = arrivals.only(order)
        again = np.zeros(order.size, bool)
        again[1:] = (np.diff(ordered.series_id) == 0) & (np.diff(ordered.timestamp) == 0)
        repeated = again.copy()
        repeated[1:] &= _same(ordered.value[1:], ordered.value[:-1])
        last = ~np.append(again[1:], False) if order.size else again
        late = np.zeros(order.size, bool)
        for number in np.unique(ordered.partition).tolist():
            here = ordered.partition == number
            seen = self.partitions[number].columns["last_at"][ordered.slot[here]]
            late[here] = ordered.timestamp[here] <= seen
        corrects = np.zeros(order.size, bool)
        if late.any():
            stored, exists = points.stored_values(session, ordered.series_id[late], ordered.timestamp[late])
            known = np.zeros(order.size, bool)
            known[late] = exists & _same(stored, ordered.value[late])
            corrects[late] = exists
            repeated |= known & ~again
            last &= ~known
        duplicate = np.zeros(order.size, bool)
        duplicate[order] = repeated
        return ordered.only(last), duplicate, corrects[last]

    def _recording(
        self, session: Session, partition: Partition, mine: _Arrivals, group: Sequence[_Waiting], now: datetime
    ) -> alert.Recording:
        asked = [waiting.delivery for waiting in group]
        nobody_asked = not any(asked)

        def asked_of(transition: Transition) -> Delivery | None:
            if nobody_asked:
                return None
            row = np.flatnonzero((mine.slot == transition.slot) & (mine.timestamp == transition.timestamp))[0]
            return asked[int(mine.post[row])]

        def delivery(transition: Transition) -> Delivery:
            cadence = int(partition.columns["cadence"][transition.slot])
            at = alert.as_time(transition.timestamp)
            return delivery_of(asked_of(transition), at, now=now, cadence_seconds=cadence)

        return alert.Recording(
            series_id=lambda slot: int(partition.columns["series_id"][slot]),
            delivery=delivery,
            wall_now=wall_now(),
            now=now,
            policy=partition.policy,
            silences=silencings(session, now),
        )


def _is_live(partition: Partition, mine: _Arrivals, group: Sequence[_Waiting], now: datetime) -> Bools:
    """Which points are told if they are strange: as whoever posted them asked for, else the recent ones."""
    asked = np.array([waiting.delivery in (Delivery.LIVE, Delivery.DIGEST) for waiting in group], bool)
    unasked = np.array([waiting.delivery is None for waiting in group], bool)
    fresh = are_fresh(mine.timestamp, partition.columns["cadence"][mine.slot], int(now.timestamp()))
    return np.asarray(asked[mine.post] | (unasked[mine.post] & fresh))


def switches_of(states: Mapping[FlagName, str]) -> Switches:
    """What these states of flags ask of whoever judges."""
    return Switches(
        basic=states.get(FlagName.DETECTOR) == FLAGS[FlagName.DETECTOR].other,
        frozen=states.get(FlagName.LEARNING) == FLAGS[FlagName.LEARNING].other,
    )


def _as_batch(arrivals: _Arrivals, judged: Judged) -> PointBatch:
    with np.errstate(over="ignore"):
        beside = (judged.expected, judged.lower, judged.upper, judged.rarity, arrivals.weight)
        columns = [column.astype(np.float32) for column in beside]
    return PointBatch(arrivals.series_id, arrivals.timestamp, arrivals.value, *columns)


def _unknown(posted: PostedPoints, places: dict[bytes, Place], created: dict[bytes, Place]) -> list[SeriesIdentity]:
    """The series of a POST that exist nowhere yet and have an acceptable point."""
    strangers = [
        index for index, each in enumerate(posted.identities) if each.key not in places and each.key not in created
    ]
    if not strangers:
        return []
    used = set(np.unique(posted.identity).tolist())
    return [posted.identities[index] for index in strangers if index in used]


def _arrivals(group: Sequence[_Waiting], places: Mapping[bytes, Place], refused: dict[int, set[bytes]]) -> _Arrivals:
    """All acceptable points of a group with the places of their series, POST by POST."""
    parts = []
    for index, waiting in enumerate(group):
        posted = waiting.posted
        found = [places.get(each.key) for each in posted.identities]
        table = np.array([(p.partition, p.slot, p.series_id) if p else (-1, -1, -1) for p in found], np.int64)
        where = table.reshape(-1, 3)[posted.identity]
        part = _Arrivals(
            where[:, 0],
            where[:, 1],
            where[:, 2],
            posted.timestamp,
            posted.value,
            np.broadcast_to(np.nan, len(posted)) if posted.weight is None else posted.weight,
            np.full(len(posted), index),
        )
        parts.append(part.only(part.slot >= 0) if refused.get(index) else part)
    return _Arrivals(*(np.concatenate([getattr(p, n) for p in parts]) for n in _Arrivals.__dataclass_fields__))


def _outcomes(
    group: Sequence[_Waiting], arrivals: _Arrivals, duplicate: Bools, refused: dict[int, set[bytes]]
) -> list[IngestOutcome]:
    stored = np.bincount(arrivals.post, minlength=len(group))
    duplicates = np.bincount(arrivals.post[duplicate], minlength=len(group))
    outcomes = []
    for index, waiting in enumerate(group):
        rejected = waiting.posted.rejected
        if refused.get(index):
            rejected = sorted([*rejected, *_over_quota(waiting.posted, refused[index])], key=lambda r: r.index)
        outcomes.append(IngestOutcome(int(stored[index] - duplicates[index]), int(duplicates[index]), rejected))
    return outcomes


def _over_quota(posted: PostedPoints, refused: set[bytes]) -> list[Rejection]:
    reason = "this token may bring in no more new series: ask for a larger quota, or check for a runaway dimension"
    over = np.array([each.key in refused for each in posted.identities])[posted.identity]
    return [Rejection(int(index), reason) for index in posted.index[over]]


def _same(one: Floats, other: Floats) -> Bools:
    """Equal values; missing equals missing."""
    return np.asarray((one == other) | (np.isnan(one) & np.isnan(other)))


def _answer_call(work: Callable[[], object], answer: Future[object]) -> None:
    if not answer.set_running_or_notify_cancel():
        return
    try:
        answer.set_result(work())
    except BaseException as fault:  # noqa: BLE001 - whatever it is, the caller waits for it
        answer.set_exception(fault)
