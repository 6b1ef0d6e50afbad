"""A fixed share of all series, held as struct of arrays: the unit of state, order and recovery.

Row `slot` of every array belongs to one series. What is here is either in the database (series, labels) or can be
rebuilt from it: the last checkpoint, then the log after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from app.alerts import life as lives
from app.alerts.policy import Policies, PolicySettings, Resolved
from app.partitions.arrivals import Arrivals
from app.partitions.happenings import Happenings
from app.partitions.model import BLOCK, Model, grown
from app.partitions.regime import Regimes
from app.partitions.stand_ins import SIMPLE, StandIns
from app.store.points import PointBatch
from detectors import registry, training
from detectors.bars import Bar, Bars
from detectors.contract import Bools, Fields, Floats, Ints, put, take
from detectors.days import kinds_of_day_of_many
from detectors.static import Static, with_limits
from feedback.tolerance import Tolerances

KINDS = max(len(detector.evidence) for detector in registry.DETECTORS.values())
DEFAULT_DETECTOR = "seasonal"
REST_SECONDS = 7 * training.DAY
"""So long the nightly training leaves series alone whose data a retrain would not learn, or that were rolled back."""
IN_WORK = 2**62
"""In the column `late_at`: the series is being scored again; points that come late meanwhile put their time there."""
UNKNOWN = -1
"""The slot of a series that this partition does not hold."""

_COLUMNS = {
    "series_id": np.int64,
    "zone": np.int32,
    "metric": np.int32,
    "token": np.int64,  # id of the token that brought the series in, 0: none
    "model": np.int16,
    "row": np.int64,
    "regime": np.int32,  # what policies say of it
    "asked": np.int16,  # model that the last training was to fit, and one; 0: none yet
    "chosen": np.int16,  # model that the next training is to fit
    "chosen_at": np.int64,  # event time of that choice, 0: never compared
    "cadence": np.int64,  # seconds, 0 while unknown
    "first_at": np.int64,  # unix seconds, 0 while no point was seen
    "last_at": np.int64,
    "point_count": np.int64,
    "trained_points": np.int64,  # point_count when last trained
    "trained_at": np.int64,  # event time of the last training
    "seen_log": np.int64,  # newest log row that this slot's state has taken in
    "anchor_at": np.int64,  # newest point when last trained: what comes before it is never scored again
    "since_anchor": np.int64,  # points counted since then
    "least": np.float64,  # least change that is news, found when last trained, in the series' unit
    "siblings": np.int64,  # how many siblings' shape its own days bore out when last trained, 0: learned alone
    "version": np.int64,  # id of the baseline version that its baseline is of, 0: none
    "retrain": np.int64,  # id of the newest retrain that gave it a baseline, 0: none
    "rests_until": np.int64,  # event time until which only what somebody asks for trains it
    "refused_since": np.int64,  # event time of the night that first refused what a week outweighs, 0: none since then
    "late_at": np.int64,  # oldest point since then that came late or was corrected and waits to be scored, 0: none
}
GROUND = ("point_count", "first_at", "last_at", "cadence", "siblings")
"""Columns that say whether a series may alert yet, in the order of `detectors.training.may_alert`."""
REBUILT = ("series_id", "zone", "metric", "token", "regime", "chosen", "chosen_at")
"""Columns that come from tables of their own, not from the checkpoint."""


@dataclass(frozen=True)
class NewSeries:
    """A series that a partition takes in: its id, slot, metric, time zone and dimensions, and whose token sent it."""

    series_id: int
    slot: int
    metric: str
    timezone: str
    dimensions: Mapping[str, str] = field(default_factory=dict)
    token_id: int | None = None


@dataclass(frozen=True)
class Switches:
    """What flags ask of whoever judges. basic: the basic detector stands in for all others. frozen: nothing learns."""

    basic: bool = False
    frozen: bool = False


USUAL = Switches()


class Names:
    """A small code for each distinct string, in order of first sight."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._codes: dict[str, int] = {}

    def code(self, name: str) -> int:
        if name not in self._codes:
            self._codes[name] = len(self.names)
            self.names.append(name)
        return self._codes[name]


class Partition:
    """State of the series of one partition. Not safe for threads: its owner is the only one to touch it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.count = 0
        self.columns: Fields = {name: np.zeros(0, dtype) for name, dtype in _COLUMNS.items()}
        self.life: Fields = lives.newborn(0, KINDS)
        self.anchor_life: Fields = lives.newborn(0, KINDS)  # as it was when last trained
        self.tolerance_up: Floats = np.zeros(0)
        self.tolerance_down: Floats = np.zeros(0)
        self.models: list[Model] = [Model(detector) for detector in registry.DETECTORS.values()]
        self._codes = {model.detector.name: code for code, model in enumerate(self.models)}
        self.zones = Names()
        self.metrics = Names()
        self.tolerances = Tolerances()
        self.regimes = Regimes(Policies())
        self.happenings = Happenings()
        self.arrivals = Arrivals()
        self.switches = USUAL
        self.stand_ins = StandIns()
        self.tail: list[PointBatch] = []  # what the log holds, until it is folded
        self.tail_points = 0
        self._tail_since: datetime | None = None
        self.newest_log = 0  # id of the newest log row taken in
        self.dirty_blocks: set[int] = set()
        self.dirty_anchors: set[int] = set()
        self._slots: dict[int, int] = {}

    def slots_of(self, series_ids: Iterable[int]) -> Ints:
        """Slot of each series id, UNKNOWN where it is not ours."""
        return np.array([self._slots.get(int(s), UNKNOWN) for s in series_ids], np.int64)

    def take_back(self, known: Sequence[NewSeries], restored: set[int]) -> None:
        """Series that exist already: those that no checkpoint restored start cold."""
        self.take_in([each for each in known if each.slot not in restored])
        self.limit(self._name([each for each in known if each.slot in restored]))
        self.dirty_blocks.clear()

    def take_in(self, newcomers: Sequence[NewSeries]) -> None:
        """New series, cold. Slots are given by the series table and never reused."""
        if not newcomers:
            return
        slots = self._name(newcomers)
        wanted = self.to_fit(slots)
        self.columns["model"][slots] = wanted
        for code in np.unique(wanted).tolist():
            mine = slots[wanted == code]
            self.columns["row"][mine] = self.models[code].add_rows(mine.size)
        self.limit(slots)
        self.touch(slots)

    def _name(self, newcomers: Sequence[NewSeries]) -> Ints:
        """Enter whose slots these are; the series start with the tolerance that their siblings' labels taught."""
        self.make_room(max((n.slot for n in newcomers), default=-1) + 1)
        slots = np.array([n.slot for n in newcomers], np.int64)
        self.columns["series_id"][slots] = [n.series_id for n in newcomers]
        self.columns["zone"][slots] = [self.zones.code(n.timezone) for n in newcomers]
        self.columns["chosen"][slots] = self.model_code(DEFAULT_DETECTOR)
        self.columns["metric"][slots] = [self.metrics.code(n.metric) for n in newcomers]
        self.columns["token"][slots] = [n.token_id or 0 for n in newcomers]
        self.columns["regime"][slots] = self.regimes.codes([(n.metric, n.dimensions) for n in newcomers])
        self._slots.update((n.series_id, n.slot) for n in newcomers)
        self.happenings.meet(newcomers)
        self._tolerate(slots)
        return slots

    def model_code(self, detector: str) -> int:
        return self._codes[detector]

    def choose(self, slots: Ints, detectors: Sequence[str], at: int) -> None:
        """The next training fits these detectors; `at` is the event time of the choice."""
        self.columns["chosen"][slots] = [self.model_code(each) for each in detectors]
        self.columns["chosen_at"][slots] = at

    def stood_in_for(self, slots: Ints) -> Bools:
        """Which of these series the basic detector judges in place of their own."""
        if not self.switches.basic:
            return np.zeros(slots.size, bool)
        simple = [self.model_code(name) for name in SIMPLE]
        return np.isin(self.columns["model"][slots], simple, invert=True)

    def judge_of(self, slot: int) -> tuple[Model, int]:
        """The model that judges a series now, and its row there."""
        alone = np.array([slot], np.int64)
        if self.stood_in_for(alone).any() and not self.stand_ins.untrained(alone).size:
            return self.stand_ins.model, int(self.stand_ins.row[slot])
        return self.models[int(self.columns["model"][slot])], int(self.columns["row"][slot])

    def move(self, slots: Ints, detector: str) -> Ints:
        """Let another detector judge these series from now on; returns their new rows, cold."""
        code = self.model_code(detector)
        moving = slots[self.columns["model"][slots] != code]
        if moving.size:
            for left in np.unique(self.columns["model"][moving]).tolist():
                leaving = moving[self.columns["model"][moving] == left]
                self.models[left].forget(self.columns["row"][leaving].astype(np.int64))
            self.columns["row"][moving] = self.models[code].add_rows(moving.size)
            self.columns["model"][moving] = code
            self.anchor(moving)
        return self.columns["row"][slots].astype(np.int64)

    def to_fit(self, slots: Ints) -> Ints:
        """The model that the next training fits: the one that a policy names, else the one chosen by comparison."""
        forced = np.array([self._forced(each.settings.must_judge) for each in self.regimes.resolved])
        forced = forced[self.columns["regime"][slots]]
        return np.where(forced == UNKNOWN, self.columns["chosen"][slots], forced).astype(np.int64)

    def _forced(self, detector: str | None) -> int:
        return UNKNOWN if detector is None else self.model_code(detector)

    def limit(self, slots: Ints) -> None:
        """Give the series that fixed limits judge the limits that policies say; they count from the next point on."""
        model = self.models[self.model_code(Static.name)]
        mine = slots[self.columns["model"][slots] == self.model_code(Static.name)]
        if mine.size:
            rows = self.columns["row"][mine].astype(np.int64)
            limits = self.regimes.limits[self.columns["regime"][mine]]
            model.correct(rows, with_limits(take(model.baseline, rows), lower=limits[:, 0], upper=limits[:, 1]))

    def anchor(self, slots: Ints) -> None:
        """These series were just trained: their state and life of now are where a scoring again begins."""
        self.columns["anchor_at"][slots] = self.columns["last_at"][slots]
        self.columns["since_anchor"][slots] = 0
        self.columns["late_at"][slots] = 0
        put(self.anchor_life, slots, take(self.life, slots))
        self.stand_ins.forget(slots)
        self.dirty_anchors.update(np.unique(slots // BLOCK).tolist())
        self.touch(slots)

    def anchor_all(self) -> None:
        """No scoring again reaches behind this moment: what comes is judged in another way than what was."""
        for model in self.models:
            model.anchor_here()
        self.anchor(np.arange(self.count))

    def anchor_before(self, slots: Ints, anchor_at: Ints, life: Fields, point_count: Ints) -> None:
        """As `anchor`, but as they were at an earlier moment, since which so many points have come."""
        self.anchor(slots)
        self.columns["anchor_at"][slots] = anchor_at
        self.columns["since_anchor"][slots] = point_count
        put(self.anchor_life, slots, life)

    def rest(self, slots: Ints) -> None:
        """The nightly training leaves these alone for a while, and then refuses as long as ever."""
        self.columns["rests_until"][slots] = self.columns["last_at"][slots] + REST_SECONDS
        self.columns["refused_since"][slots] = 0

    def forget(self, newcomers: Sequence[NewSeries]) -> None:
        """The transaction that would have created these series failed; their slots go to the next ones."""
        for newcomer in newcomers:
            self._slots.pop(newcomer.series_id, None)

    def erase(self, slot: int) -> None:
        """Nothing is left of the series in this slot, as if there had never been one."""
        slots = np.array([slot], np.int64)
        series_id = int(self.columns["series_id"][slot])
        model, row = (self.columns[name][slots].astype(np.int64) for name in ("model", "row"))
        self.models[int(model[0])].forget(row)
        del self._slots[series_id]
        for name in self.columns.keys() - {"model", "row"}:
            self.columns[name][slot] = 0
        self.arrivals.erase(slot)
        self.tail = [batch.of_others(series_id) for batch in self.tail]
        self.tail_points = sum(batch.timestamp.size for batch in self.tail)
        put(self.life, slots, lives.newborn(1, KINDS))
        self.anchor(slots)

    def heed(self, tolerances: Tolerances) -> None:
        """Take in what the labels that stand have taught; it counts from the next point on."""
        ids = self.columns["series_id"][: self.count].astype(np.int64)
        metrics = self.columns["metric"][: self.count].astype(np.int64)
        self.tolerances = tolerances
        for direction, decades in ((1, self.tolerance_up), (-1, self.tolerance_down)):
            decades[: self.count] = tolerances.asked(ids, metrics, self.metrics.names, direction)

    def regulate(self, policies: Policies, members: Sequence[NewSeries]) -> None:
        """Take in what the policies say now of these, all series of the partition; it counts from the next point on."""
        self.regimes = Regimes(policies)
        slots = np.array([each.slot for each in members], np.int64)
        self.columns["regime"][slots] = self.regimes.codes([(each.metric, each.dimensions) for each in members])
        self.columns["zone"][slots] = [self.zones.code(each.timezone) for each in members]
        self.limit(slots)

    def bars(self, slots: Ints) -> Bars:
        """What these series must pass to be told of, tolerance left aside."""
        return self.regimes.bars_of(self.columns["regime"][slots], self.columns["least"][slots])

    def bar(self, slot: int) -> Bar:
        return self.bars(np.array([slot])).one(0)

    def country(self, slots: Ints) -> Ints:
        """The country whose public holidays count for each series, as its place in `regimes.countries`."""
        return np.asarray(self.regimes.country[self.columns["regime"][slots]])

    def kinds_of_day(self, slots: Ints, local: Ints) -> Ints:
        """What kinds of days one wall-clock second each of these series lies on."""
        return kinds_of_day_of_many(local, self.regimes.countries, self.country(slots))

    def settings(self, slot: int) -> PolicySettings:
        """What holds for a series."""
        return self.policy(slot).settings

    def policy(self, slot: int) -> Resolved:
        """What holds for a series, and which policy says so."""
        return self.regimes.resolved[int(self.columns["regime"][slot])]

    def touch(self, slots: Ints) -> None:
        """These slots' blocks belong into the next checkpoint."""
        self.dirty_blocks.update(np.unique(slots // BLOCK).tolist())

    def keep_tail(self, batch: PointBatch, log_id: int, at: datetime) -> None:
        """Remember what was just committed to the log, until it is folded."""
        self._tail_since = self._tail_since or at
        self.newest_log = log_id
        self.tail.append(batch)
        self.tail_points += batch.timestamp.size

    def drop_tail(self) -> None:
        self.tail.clear()
        self.tail_points = 0
        self._tail_since = None

    def tail_age(self, now: datetime) -> timedelta:
        """How long the oldest point of the log has waited to be folded."""
        return now - self._tail_since if self._tail_since else timedelta(0)

    def judge_again_from(self, slots: Ints, since: int) -> None:
        """Let these series be scored again from then on, as far back as their last training; unix seconds."""
        column = self.columns
        waiting = slots[(column["last_at"][slots] >= since) & (column["since_anchor"][slots] > 0)]
        first = np.maximum(column["anchor_at"][waiting] + 1, since)
        late = column["late_at"][waiting]
        column["late_at"][waiting] = np.where(late > 0, np.minimum(late, first), first)
        self.touch(waiting)

    def take_up(self, slot: int, life: Fields) -> None:
        """This series had that run when it was trained: score it again from there on."""
        slots = np.array([slot], np.int64)
        put(self.anchor_life, slots, life)
        self.columns["late_at"][slots] = self.columns["anchor_at"][slots] + 1
        self.dirty_anchors.update(np.unique(slots // BLOCK).tolist())
        self.touch(slots)

    def release(self, slots: Ints) -> None:
        """Close the open runs of these slots: somebody said what they are, so their points may be learned again."""
        same = slots[self.anchor_life["opened_at"][slots] == self.life["opened_at"][slots]]
        put(self.anchor_life, same, lives.let_go(take(self.anchor_life, same)))
        put(self.life, slots, lives.let_go(take(self.life, slots)))
        self.dirty_anchors.update(np.unique(same // BLOCK).tolist())
        self.touch(slots)

    @property
    def newest(self) -> int:
        """Newest event time seen, unix seconds; 0 where there is none."""
        return int(self.columns["last_at"][: self.count].max(initial=0))

    def _tolerate(self, slots: Ints) -> None:
        """New series start with what their siblings' labels taught."""
        ids, metrics = (self.columns[name][slots].astype(np.int64) for name in ("series_id", "metric"))
        for direction, decades in ((1, self.tolerance_up), (-1, self.tolerance_down)):
            decades[slots] = self.tolerances.asked(ids, metrics, self.metrics.names, direction)

    def make_room(self, count: int) -> None:
        """Rows for at least so many slots."""
        self.columns = grown(self.columns, count)
        self.arrivals.make_room(count)
        self.life = grown(self.life, count)
        self.anchor_life = grown(self.anchor_life, count)
        capacity = len(self.columns["series_id"])
        self.stand_ins.make_room(capacity)
        self.tolerance_up = np.pad(self.tolerance_up, (0, capacity - len(self.tolerance_up)))
        self.tolerance_down = np.pad(self.tolerance_down, (0, capacity - len(self.tolerance_down)))
        if count > self.count:
            for name, array in lives.newborn(count - self.count, KINDS).items():
                self.life[name][self.count : count] = array
                self.anchor_life[name][self.count : count] = array
            self.count = count
