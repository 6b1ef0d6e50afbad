"""What is done without anybody asking, and when. APScheduler only triggers; each job is a plain function of `now`.

With the wall clock the jobs run on threads of their own. With the event clock they are due when the newest event time
seen has passed their next time, and run on the committer's thread right after the points that made them due.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from app.clock import Clock, wall_now
from app.pipeline import (
    budget,
    choose,
    daily_digest,
    desensitise,
    erase,
    escalate,
    events,
    flags,
    over_gaps,
    rescore,
    retrain,
    roll_back,
    shadow,
    silenced,
    stale,
    train,
)
from app.pipeline.found_gaps import GapFinder
from app.pipeline.gaps import GapFiller
from app.pipeline.ingest import Committer
from app.pipeline.notify import Notifier
from app.store import jobs, silences
from app.store.database import Database
from app.web.picture import forget_old

log = structlog.get_logger()

FOLD_POINTS = 1_000_000
FOLD_ROWS = 5_000  # a row a commit, however few its points
FOLD_AGE = timedelta(hours=6)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # else intervals would count from the start of the process, by real time
FROZEN = "nothing, since learning is frozen"
NIGHTLY_HOUR, NIGHTLY_MINUTE = 3, 10  # few zones' clock changes repeat or skip it; the slot holds it to once a day


@dataclass(frozen=True)
class Job:
    """`run(now)` says in a few words what it did, or how many of what it `counts`; nothing if there was nothing to do.

    once_a_day: fires once a local day whatever the clock does, and with several processes in one of them only.
    """

    name: str
    trigger: BaseTrigger
    run: Callable[[datetime], str | int]
    once_a_day: bool = False
    counts: str = ""


def jobs_of(
    committer: Committer,
    notifier: Notifier,
    gap_finder: GapFinder,
    timezone: str,
    *,
    choice_budget_ms: float,
    picture_lifetime: timedelta,
    longest_gap: timedelta,
    retention: timedelta | None,
) -> list[Job]:
    """Everything that Heed does by itself. `choice_budget_ms`: what trying dear detectors may cost a night."""
    zone = ZoneInfo(timezone)
    gap_filler = GapFiller(committer)
    nightly = CronTrigger(hour=NIGHTLY_HOUR, minute=NIGHTLY_MINUTE, timezone=zone)
    return [
        Job("train-nightly", nightly, lambda now: _choose_and_train(committer, now, choice_budget_ms), once_a_day=True),
        Job("retention", nightly, lambda now: _drop_old_points(committer, now, retention), once_a_day=True),
        Job("retrains", every(minutes=1), lambda now: retrain.run_due(committer, now), counts="retrains run"),
        Job("snapshots", every(hours=24), lambda now: roll_back.forget_old(committer, now)),
        Job(
            "digests",
            every(minutes=5),
            lambda now: daily_digest.send_digests(committer, now),
            counts="alerts told in a digest",
        ),
        Job(
            "budgets",
            every(minutes=10),
            lambda now: budget.watch_budgets(committer, now),
            counts="policies began or ceased to break their budget",
        ),
        Job("train-young", every(minutes=1), lambda now: _train_young(committer, now), counts="series trained"),
        Job("events", every(minutes=10), lambda now: _learn_events(committer, now), counts="events learned"),
        Job("gaps-found", every(minutes=1), gap_finder.find_lost, counts="gaps found"),
        Job(
            "gaps-over",
            every(minutes=1),
            lambda now: over_gaps.end_what_is_over(committer, now, longest_gap),
            counts="gaps ended",
        ),
        Job("gaps-filled", every(minutes=1), gap_filler.fill_what_came, counts="gaps filled"),
        Job(
            "late-points",
            every(minutes=1),
            lambda now: rescore.score_again(committer, now),
            counts="series scored again",
        ),
        Job("escalations", every(minutes=1), lambda now: escalate.escalate(committer, now), counts="alerts escalated"),
        Job("silences", every(seconds=10), lambda now: _follow_silences(committer, notifier, now), counts="messages"),
        Job("flags", every(seconds=5), lambda _now: flags.follow(committer)),
        Job("fold", every(minutes=10), lambda _now: _fold_if_due(committer), counts="points folded"),
        Job("outbox", every(seconds=30), lambda _now: _wake(notifier)),
        Job(
            "staleness",
            every(minutes=5),
            lambda now: stale.end_silent(committer, now),
            counts="anomalies of silent series ended",
        ),
        Job(
            "pictures",
            every(hours=24),
            lambda _now: forget_old(committer.database, wall_now(), picture_lifetime),
            counts="pictures deleted",
        ),
        Job("new-normals", every(hours=1), lambda now: _follow_new_normals(committer, now)),
        Job("tolerance", every(hours=12), lambda _now: _fade(committer)),
    ]


class Schedule:
    """Fires jobs when they are due."""

    def __init__(self, database: Database, clock: Clock, timezone: str, planned: Sequence[Job]) -> None:
        self._database = database
        self._clock = clock
        self._zone = ZoneInfo(timezone)
        self._jobs = planned
        self._next: dict[str, datetime] = {}
        self._scheduler: BackgroundScheduler | None = None

    def start(self) -> None:
        """Fire by the wall clock, on threads of its own, until `stop`."""
        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(4)}, job_defaults=defaults, timezone=UTC
        )
        for job in self._jobs:
            self._scheduler.add_job(self.fire, job.trigger, args=[job], id=job.name)
            if job.once_a_day:  # today's may have been due while nobody was there to fire it
                self._scheduler.add_job(self.fire, args=[job, self._last_due(job)], id=f"{job.name}-missed")
        self._scheduler.start()

    def stop(self) -> None:
        if self._scheduler:
            self._scheduler.shutdown(wait=True)

    def resume(self) -> None:
        """Go on by the event clock where a run before this one left off."""
        now = self._clock.now()
        for job in self._jobs:
            self._next[job.name] = self._last_due(job) if job.once_a_day else _after(job, now)

    def run_due(self) -> None:
        """Fire what the event clock has passed since the last call, once however often it would have been due."""
        now = self._clock.now()
        for job in self._jobs:
            due = self._next.get(job.name, now)
            if due <= now:
                self._next[job.name] = _after(job, now)
                self.fire(job, due)

    def fire(self, job: Job, due: datetime | None = None) -> None:
        """Run a job now unless its slot is taken; a job that fails is logged and tried at its next time."""
        now = self._clock.now()
        slot = self._day_of(due or now)
        try:
            if job.once_a_day and not self._take(job, slot):
                return
            outcome = self._run(job, now)
            if job.once_a_day:
                with self._database.writing() as session:
                    jobs.finish_slot(session, job.name, slot, now=wall_now(), outcome=outcome)
        except Exception:  # the outermost loop of all jobs: a database that is away must not end them
            log.exception("job_not_recorded", job=job.name)

    def _run(self, job: Job, now: datetime) -> str:
        try:
            did = job.run(now)
        except Exception:  # one job that fails must not end the others
            log.exception("job_failed", job=job.name)
            return "failed"
        outcome = did if isinstance(did, str) else f"{did} {job.counts}" if did else ""
        if outcome:
            log.info("job_ran", job=job.name, outcome=outcome)
        return outcome

    def _last_due(self, job: Job) -> datetime:
        """When a daily job was last due."""
        return _after(job, self._clock.now() - timedelta(days=1))

    def _take(self, job: Job, slot: datetime) -> bool:
        with self._database.writing() as session:
            return jobs.take_slot(session, job.name, slot, wall_now())

    def _day_of(self, now: datetime) -> datetime:
        """The local date, kept as its midnight in UTC, so that a slot's key does not depend on the clock's offset."""
        local = now.astimezone(self._zone)
        return datetime(local.year, local.month, local.day, tzinfo=UTC)


def _after(job: Job, moment: datetime) -> datetime:
    """When a job is next due after a moment. Our triggers never end."""
    due: datetime = job.trigger.get_next_fire_time(None, moment + timedelta(seconds=1))
    return due


def every(**interval: int) -> IntervalTrigger:
    """At whole multiples of the interval since 1970, so that it holds for any clock."""
    return IntervalTrigger(**interval, start_date=EPOCH, timezone=UTC)


def _choose_and_train(committer: Committer, now: datetime, budget_ms: float) -> str:
    shadow.count_shadows(committer, now)
    if committer.switches.frozen:
        return FROZEN
    compared = choose.choose_detectors(committer, now=now, budget_ms=budget_ms)
    night = retrain.run_night(committer, now)
    return f"{compared} series compared with other detectors; " + (retrain.outcome(night) if night else "none trained")


def _drop_old_points(committer: Committer, now: datetime, retention: timedelta | None) -> str:
    if retention is None:
        return ""
    erase.drop_old_points(committer, now, retention)
    return f"points older than {retention.days} days dropped"


def _train_young(committer: Committer, now: datetime) -> int:
    return train.train(committer, now=now, reason="young series", wanted=train.due).trained


def _follow_new_normals(committer: Committer, now: datetime) -> str:
    """A series settles on its new level as it learns it."""
    return FROZEN if committer.switches.frozen else desensitise.follow(committer, now)


def _learn_events(committer: Committer, now: datetime) -> int | str:
    if committer.switches.frozen:
        return FROZEN
    return events.learn_what_ended(committer, now)


def _fold_if_due(committer: Committer) -> int:
    return sum(
        train.fold(committer, partition.number)
        for partition in committer.partitions
        if partition.tail_points >= FOLD_POINTS
        or len(partition.tail) >= FOLD_ROWS
        or partition.tail_age(wall_now()) >= FOLD_AGE
    )


def _wake(notifier: Notifier) -> str:
    notifier.wake()
    return ""


def _follow_silences(committer: Committer, notifier: Notifier, now: datetime) -> int:
    with committer.database.reading() as session:
        if not silences.matter(session, now):
            return 0
    with committer.database.writing() as session:
        due = silenced.follow(session, now)
    if due:
        notifier.wake()
    return due


def _fade(committer: Committer) -> str:
    committer.labels_changed()
    return ""
