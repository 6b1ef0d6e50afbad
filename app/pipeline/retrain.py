"""Retrains: asked for, run when they are due, cancelled.

A retrain is a row. Whoever runs it claims it by compare-and-set and commits part by part, each with what it decided and
what was there before, so that a process that dies is gone on from where it was, and no part is done twice.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime

import numpy as np
import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.errors import Conflict, NotFound, Unprocessable
from app.partitions.partition import UNKNOWN, Partition
from app.pipeline.candidates import Asked, Candidates, read_candidates
from app.pipeline.challenge import Outcome, challenge, failed
from app.pipeline.cron import Cron
from app.pipeline.ingest import Committer
from app.pipeline.promote import put_in_place
from app.pipeline.rescore import score_again
from app.pipeline.train import WAIT_FOR_LATE_SECONDS, everything, fold, portions, with_points
from app.store import happenings
from app.store import retrains as stored
from app.store.tables import Concerned, Gap, Retrain
from detectors import training
from detectors.contract import Ints
from feedback.training_mask import Exclusions

log = structlog.get_logger()

NIGHTLY, OURSELVES = "nightly", "Heed"
PATIENCE_SECONDS = 7 * training.DAY
"""What nights have refused for so long is learned all the same, unless it is about labels or too few points."""


def ask(committer: Committer, wanted: Retrain) -> Retrain:
    """Enter a retrain, or find the one that the same request made before. Raises Unprocessable."""
    _check(wanted)
    try:
        with committer.database.writing() as session:
            known = stored.by_once_key(session, wanted.once_key) if wanted.once_key else None
            if known is None:
                _check_series(session, wanted)
                session.add(wanted)
                session.flush()
                log.info("retrain_asked", retrain=wanted.id, author=wanted.author, cron=wanted.cron is not None)
                return wanted
    except IntegrityError:  # sent twice at the same time
        with committer.database.reading() as session:
            known = stored.by_once_key(session, wanted.once_key or "")
        if known is None:
            raise
    if known.asked != wanted.asked:
        raise Unprocessable("This Idempotency-Key was sent with another request. Send a new key for a new retrain.")
    return known


def _check(wanted: Retrain) -> None:
    if wanted.window_start and wanted.window_end and wanted.window_end <= wanted.window_start:
        raise Unprocessable("The window ends before it starts. Send `start` before `end`.")
    if any(end <= start for start, end in wanted.without):
        raise Unprocessable("A span to exclude ends before it starts. Send `start` before `end`.")
    if wanted.cron:
        wanted.due_at = Cron(wanted.cron, wanted.timezone or "UTC", now=wanted.due_at).after(wanted.due_at)


def _check_series(session: Session, wanted: Retrain) -> None:
    """Refuse one for now of series that there are none of. Raises Unprocessable.

    For later they may come, those of a gap may have been erased, and all of none are none.
    """
    selects = wanted.metric != "*" or wanted.dimensions
    is_for_now = wanted.cron is None and wanted.gap_id is None and wanted.due_at <= wanted.created_at
    if selects and is_for_now and not happenings.series_ids_of(session, wanted).size:
        raise Unprocessable("No series matches. GET /v1/series lists what there is.")


class Retrainer:
    """Runs what was asked for now, on a thread of its own; the schedule runs what is due later."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retrainer", daemon=True)
        self._stopping = False

    def start(self) -> None:
        """Go on with what was running when this database was left."""
        with self._committer.database.writing() as session:
            resumed = stored.resume(session)
        if resumed:
            log.info("retrains_resumed", retrains=resumed)
        self._thread.start()
        self.wake()

    def wake(self) -> None:
        """Something may be due now."""
        self._wanted.set()

    def stop(self) -> None:
        """Leave what is running where it is; the next start goes on with it. The committer must have been closed."""
        self._stopping = True
        self.wake()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._stopping:
                return
            try:
                run_due(self._committer, self._committer.clock.now())
            except Exception:  # the outermost loop: a database that is away must not end it
                log.exception("retrains_not_run")


def run_due(committer: Committer, now: datetime) -> int:
    """Run the retrains whose time has come, and let crons make their next one; returns how many were run.

    They wait while a flag has learning frozen.
    """
    if committer.switches.frozen:
        return 0
    with committer.database.reading() as session:
        waiting = stored.due(session, now)
    made = [made for each in waiting if each.cron and (made := _make_run(committer, each, now))]
    ran = 0
    for each in [*(each for each in waiting if not each.cron), *made]:
        if not committer.is_running:
            break
        ran += _claim_and_run(committer, each, now)
    return ran


def run_night(committer: Committer, now: datetime) -> Retrain | None:
    """Train every series that does not rest, on the thread of whoever calls; None where there is none, or later."""
    partitions = committer.call(lambda: [everything(each).size for each in committer.partitions])
    if not any(partitions):
        return None
    all_series = Retrain(metric="*", dimensions={})
    key = f"{stored.NIGHT}{now.isoformat()}"
    asked = run_now(committer, all_series, reason=NIGHTLY, author=OURSELVES, key=key, now=now)
    with committer.database.reading() as session:
        return existing(session, asked.id)


def run_now(
    committer: Committer, concerned: Concerned, *, reason: str, author: str, key: str, now: datetime
) -> Retrain:
    """Retrain the series that something is about, once for each key, on the thread of whoever calls.

    It waits while a flag has learning frozen.
    """
    wanted = Retrain(
        metric=concerned.metric,
        dimensions=concerned.dimensions,
        series_id=concerned.series_id,
        gap_id=concerned.id if isinstance(concerned, Gap) else None,
        without=[],
        reason=reason,
        author=author,
        force=False,
        due_at=now,
        status=stored.SCHEDULED,
        once_key=key,
        created_at=now,
    )
    asked = ask(committer, wanted)
    if not committer.switches.frozen:
        _claim_and_run(committer, asked, now)
    return asked


def _claim_and_run(committer: Committer, retrain: Retrain, now: datetime) -> bool:
    """False where somebody else has it, or it is over."""
    with committer.database.writing() as session:
        mine = stored.claim(session, retrain.id, now)
    if mine:
        _run_one(committer, retrain, now)
    return mine


def _make_run(committer: Committer, schedule: Retrain, now: datetime) -> Retrain | None:
    """The run of a cron that is due, once however many slots have passed; None where somebody else made it."""
    following = Cron(schedule.cron or "", schedule.timezone or "UTC", now=now).after(max(now, schedule.due_at))
    kept = ("metric", "dimensions", "series_id", "window_start", "window_end", "without", "reason", "author", "force")
    run = Retrain(
        **{name: getattr(schedule, name) for name in kept},
        schedule_id=schedule.id,
        due_at=schedule.due_at,
        status=stored.SCHEDULED,
        created_at=now,
    )
    with committer.database.writing() as session:
        if not stored.claim_slot(session, schedule, following):
            return None
        session.add(run)
        session.flush()
    return run


def _run_one(committer: Committer, retrain: Retrain, now: datetime) -> None:
    log.info("retrain_began", retrain=retrain.id)
    try:
        complete = _train_all(committer, retrain, now)
    except Exception as fault:  # one retrain that fails must not end the others
        log.exception("retrain_failed", retrain=retrain.id)
        with committer.database.writing() as session:
            stored.finish(session, retrain.id, status=stored.FAILED, now=now, error=type(fault).__name__)
        return
    if complete:
        with committer.database.writing() as session:
            stored.finish(session, retrain.id, status=stored.DONE, now=committer.clock.now())
    log.info("retrain_ended", retrain=retrain.id, complete=complete)


def _train_all(committer: Committer, retrain: Retrain, now: datetime) -> bool:
    """Work through all series that it has not decided of yet; False where it goes on later, or not at all."""
    slots = _wanted_slots(committer, retrain)
    asked = _asked(retrain, now)
    for number, those in slots.items():
        if those.size:
            score_again(committer, now)
            fold(committer, number)
        with committer.database.reading() as session:
            excluded = happenings.exclusions(session, now)
        for portion in portions(committer, number, those):
            if committer.switches.frozen:
                with committer.database.writing() as session:
                    stored.postpone(session, retrain.id)
                return False
            if not committer.is_running or not _train_part(committer, retrain, number, portion, excluded, asked, now):
                return False
    return True


def _asked(retrain: Retrain, now: datetime) -> Asked:
    """What it learns from. A night gives up after a week: what has lasted so long is how the series is."""
    overdue = int(now.timestamp()) - PATIENCE_SECONDS if stored.is_of_a_night(retrain) else None
    return Asked(_seconds(retrain.window_start), _seconds(retrain.window_end), retrain.without, retrain.force, overdue)


def _wanted_slots(committer: Committer, retrain: Retrain) -> dict[int, Ints]:
    """By partition, the slots of the series that it is about, less those that a run before this one decided of."""
    by_night = stored.is_of_a_night(retrain)
    with committer.database.writing() as session:
        ids = happenings.series_ids_of(session, retrain)
        decided = stored.decided_ids(session, retrain.id)
        stored.set_total(session, retrain.id, ids.size)
    remaining = np.setdiff1d(ids, decided)

    def slots(partition: Partition) -> Ints:
        found = np.asarray(partition.slots_of(remaining))
        found = found[found != UNKNOWN]
        return np.intersect1d(found, everything(partition)) if by_night else found

    wanted = committer.call(lambda: {each.number: slots(each) for each in committer.partitions})
    if by_night:
        with committer.database.writing() as session:
            stored.set_total(session, retrain.id, decided.size + sum(each.size for each in wanted.values()))
    return wanted


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _train_part(
    committer: Committer,
    retrain: Retrain,
    number: int,
    slots: Ints,
    excluded: Exclusions,
    asked: Asked,
    now: datetime,
) -> bool:
    """Decide of some series and put in place what won; False where the retrain no longer runs."""

    def read(some: Ints) -> list[Candidates]:
        partition = committer.partitions[number]
        in_gap = partition.happenings.in_gap(int(now.timestamp()) - WAIT_FOR_LATE_SECONDS)
        known = np.intersect1d(some, with_points(partition))
        if not known.size:
            return []
        with committer.database.reading() as session:
            return [*read_candidates(session, committer.partitions, partition, known, excluded, in_gap, asked)]

    def decide(some: Ints) -> Iterator[tuple[Candidates, Outcome]]:
        for each in committer.call(lambda: read(some)):
            try:
                yield each, challenge(each)
            except Exception:  # one series may fail in any way; the others must still be trained
                if each.slots.size == 1:
                    log.exception("series_not_compared", retrain=retrain.id, series=int(each.ids[0]))
                    yield each, failed(each)
                else:
                    for half in np.array_split(each.slots, 2):
                        yield from decide(half)

    decided = [*decide(slots)]
    late = committer.call(lambda: put_in_place(committer, retrain, number, slots, decided, now))
    if late:
        score_again(committer, now)
    return late is not None


def outcome(retrain: Retrain) -> str:
    """`2,000 trained, 3 kept their old baseline`, or `failed: KeyError, after …`."""
    kept = retrain.series_count - retrain.promoted
    said = f"{retrain.promoted:,} trained, {kept:,} kept their old baseline"
    if retrain.failed:
        said += f", {retrain.failed:,} of them as its detector failed"
    return f"failed: {retrain.error}, after {said}" if retrain.status == stored.FAILED else said


def cancel(committer: Committer, retrain_id: int, *, by: str, now: datetime) -> Retrain:
    """Do the rest of it not, or end a cron; what was promoted stays. Raises NotFound, Conflict."""
    with committer.database.writing() as session:
        retrain = existing(session, retrain_id)
        status = retrain.status
        if status != stored.CANCELLED and not stored.cancel(session, retrain_id, by=by, now=now):
            raise Conflict(
                f"The retrain is {status} already. Take it back with POST /v1/retrains/{retrain_id}/rollback."
            )
    log.info("retrain_cancelled", retrain=retrain_id, by=by)
    with committer.database.reading() as session:
        return existing(session, retrain_id)


def existing(session: Session, retrain_id: int) -> Retrain:
    retrain = stored.get(session, retrain_id)
    if retrain is None:
        raise NotFound("There is no retrain with this id. GET /v1/retrains lists them.")
    return retrain
