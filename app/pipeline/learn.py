"""Learn from people: a verdict becomes a label, the label acts at once, and a receipt tells what it changed.

What was learned is a fold over the labels that stand, so a dry run, a label and its undo all compare two folds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from app.alerts.policy import Policies
from app.alerts.rules import Outcome
from app.clock import wall_now
from app.errors import Conflict, NotFound, TooManyRequests, Unconfirmed, Unprocessable
from app.pipeline import missed
from app.pipeline.consequences import Prober, Worlds, draw_up_receipt
from app.pipeline.creations import (
    NOTHING_MADE,
    NOTHING_SAID,
    NOTHING_STANDS,
    Conditions,
    Foretold,
    Made,
    Maker,
    Standing,
    Wanted,
    all_standing,
    kept,
)
from app.pipeline.heeded import Heeded, creating, made_again
from app.pipeline.missed import Witnessed
from app.pipeline.policies import Budgets, current_policies
from app.pipeline.receipts import receipt_json
from app.pipeline.settle import cut_short, settle
from app.pipeline.silence import unanswered
from app.security import Links
from app.store import alerts as stored_alerts
from app.store import desensitisations, happenings
from app.store import flags as stored_flags
from app.store import labels as stored_labels
from app.store import series as stored_series
from app.store.database import Database
from app.store.flags import FlagName
from app.store.tables import Alert, Anomaly, Label, LabelledSeries, Series
from feedback import guards
from feedback.desensitise import LONGEST
from feedback.labels import (
    EFFECTS,
    AlertEffect,
    EffectOn,
    LabelEvidence,
    ToleranceEffect,
    TrainingEffect,
    Verdict,
)
from feedback.missed import Replayed, replay
from feedback.receipt import Action, Change, Receipt
from feedback.tolerance import Tolerances, fold
from feedback.wording import deafening, reaching_beyond

log = structlog.get_logger()
T = TypeVar("T")

DAY = timedelta(days=1)

AHEAD = DAY
"""A labelled span may end so much later than now: with the day, or by a clock of its own."""
LONGEST_SPAN = timedelta(days=31)
"""Of what is not learned; more is asked about."""

MOST_TOGETHER = 1_000
"""Series of one alert that a label on it teaches by themselves, the rarest; the rest learn as siblings do."""

NEWEST = 2**62
"""Id of a label that is not stored yet."""

NOT_HEEDED = "It makes nothing, since another verdict decides on what is made."
TAKEN_BACK = "What the verdict made that decided until now is taken back."


class Rules(Protocol):
    @property
    def policy_defaults(self) -> Mapping[str, Any]: ...
    @property
    def label_half_life(self) -> timedelta: ...


class Committer(Prober, Protocol):
    """What learning needs of the owner of all partitions."""

    @property
    def rules(self) -> Rules: ...

    def call(self, work: Callable[[], T]) -> T:
        """Run `work` between two groups of points, and return what it returns."""
        ...

    def relabel(self, store: Callable[[], Sequence[int]]) -> None:
        """Commit a change of labels and heed it from the next point on, with no point in between.

        `store` commits, and returns the ids of the series whose runs it ended.
        """
        ...


class Heed(Protocol):
    """What learning needs of the running service."""

    @property
    def database(self) -> Database: ...
    @property
    def links(self) -> Links: ...
    @property
    def committer(self) -> Committer: ...
    @property
    def maker(self) -> Maker: ...

    def resume(self, runs: Sequence[Anomaly], now: datetime) -> None:
        """Let runs go on that somebody had ended and no longer has, as far as their series are strange still."""
        ...


@dataclass(frozen=True)
class Answer:
    """The receipt of a label, or of its undo, as JSON. `repeated`: the same was asked before, and nothing was done."""

    receipt: dict[str, Any]
    label_id: int | None
    repeated: bool = False


@dataclass(frozen=True)
class _Signature:
    """Who gives a verdict, and when."""

    author: str
    source: str
    comment: str | None
    once_key: str | None
    now: datetime
    asked: str | None = None


def current_tolerances(
    session: Session, now: datetime, policies: Policies, half_life: timedelta = guards.HALF_LIFE
) -> Tolerances:
    """What the labels that stand teach, each beside its series' alert budget; wider for those with a new normal.

    Nothing while a flag has feedback ignored; and no silence is learned from that came after learning was frozen.
    """
    flags = stored_flags.standing(session)
    standing = [] if FlagName.FEEDBACK in flags else stored_labels.standing_evidence(session)
    silent = unanswered(session, standing)
    if frozen := flags.get(FlagName.LEARNING):
        silent = [each for each in silent if each.ended_at <= frozen.started_at]
    budgets = Budgets(session, policies, (each.series_id for those in (standing, silent) for each in those))
    taught = fold(standing, now, budgets, silent, half_life)
    return replace(taught, widened=desensitisations.widening(session))


def label_alert(
    heed: Heed,
    alert_id: int,
    verdict: str,
    *,
    author: str,
    source: str,
    now: datetime,
    comment: str | None = None,
    once_key: str | None = None,
    asked: str | None = None,
    wanted: Wanted = NOTHING_SAID,
    only: Collection[EffectOn] | None = None,
    confirmed: bool = False,
    dry_run: bool = False,
) -> Answer:
    """Give a verdict on an alert, and so on each of its series. A dry run answers with the receipt, and does nothing.

    source: "link" for whoever holds a link, "api" for a token, "slack" for a person there.
    once_key: the same key again is answered with the first receipt, while that label stands. asked: digest of what is
    asked for under that key; with another one the key is refused.
    wanted: what is said of the event, gap or new normal that the verdict creates. only: what it acts on, if not on all
    that the verdict acts on. confirmed: it acts although it would
    hide changes that the owner wants to hear of.
    Raises NotFound, Unprocessable, Conflict, TooManyRequests.
    """
    given = _verdict(verdict)
    acting = _only(given, only)
    if given is Verdict.MISSED:
        raise Unprocessable("An alert was not missed. Answer `real`, or report a span with POST /v1/labels.")
    signature = _Signature(author, source, comment, once_key, now, asked)
    with heed.database.reading() as session:
        alert = stored_alerts.get(session, alert_id)
        if alert is None:
            raise NotFound("There is no such alert. List them with GET /v1/alerts.")
        if alert.kind == "data":
            if only is not None:
                raise Unprocessable(
                    "This alert tells of lost data, and a verdict on it acts as a whole. Leave `only` out."
                )
            label = _label_of_gap(session, given, alert, signature)
            return _act(heed, session, label, _How(wanted, confirmed, dry_run))
        anomalies = stored_alerts.anomalies_of(session, [alert_id]).get(alert_id, [])
        if not anomalies:
            raise Unprocessable("This alert is not about a series, so there is nothing to learn from it.")
        first, *others = _strangest_of_each_series(anomalies, lead=alert.lead_series_id)
        span = first.started_at, first.last_abnormal_at
        label = _new_label(given, first.series_id, span, first, signature)
        label.of_whole_alert, label.only = True, acting
        further = tuple(_as_further_series(each) for each in others[: MOST_TOGETHER - 1])
        return _act(heed, session, label, _How(wanted, confirmed, dry_run, further=further))


def label_span(
    heed: Heed,
    series_id: int,
    verdict: str,
    *,
    start: datetime,
    end: datetime,
    author: str,
    source: str,
    now: datetime,
    comment: str | None = None,
    once_key: str | None = None,
    asked: str | None = None,
    wanted: Wanted = NOTHING_SAID,
    only: Collection[EffectOn] | None = None,
    confirmed: bool = False,
    dry_run: bool = False,
) -> Answer:
    """Give a verdict on a span of a series: on the rarest anomaly in it, if there is one. Else as `label_alert`."""
    given = _verdict(verdict)
    if end < start:
        raise Unprocessable("The span ends before it starts. Send `start` before `end`.")
    if end > now + AHEAD:
        raise Unprocessable("Send an `end` that has passed. For what is to come, declare an event: POST /v1/events.")
    with heed.database.reading() as session:
        series = stored_series.get(session, series_id)
        if series is None:
            raise NotFound("There is no such series. List them with GET /v1/series.")
        how = _How(wanted, confirmed, dry_run)
        if given is Verdict.MISSED:
            policies = current_policies(session, heed.committer.rules.policy_defaults)
            how = replace(how, missed=missed.witness(session, series, start, end, policies))
        rarest = how.missed.anomaly if how.missed else stored_alerts.strongest_anomaly(session, series_id, start, end)
        signature = _Signature(author, source, comment, once_key, now, asked)
        label = _new_label(given, series_id, (start, end), rarest, signature)
        label.only = _only(given, only)
        if not (confirmed or dry_run):
            _refuse_long(label)
        return _act(heed, session, label, how)


def revoke_label(heed: Heed, label_id: int, *, by: str, now: datetime, dry_run: bool = False) -> Answer:
    """Take a label back: what it taught is gone, and the alert that it closed is as it would be without it."""
    with heed.database.reading() as session:
        label = stored_labels.get(session, label_id)
        if label is None:
            raise NotFound("There is no such label. List them with GET /v1/labels.")
        before = stored_labels.standing_evidence(session)
        after = [each for each in before if each.label_id != label_id]
        action = Action.WOULD_UNDO if dry_run else Action.UNDONE
        beside = [each.series_id for each in stored_labels.further_series(session, label_id)]
        known = stored_series.get_many(session, beside)
        made = made_again(heed.maker, session, label, creating(after) - creating(before))
        widened = _widening(session, [label_id], made)
        worlds = _worlds(heed, session, (before, after), widened, now)
        unmade = heed.maker.standing(session, label)
        receipt = _receipt(
            heed, session, label, [known[each] for each in beside], worlds, action, now, made, unmade=unmade
        )
        answer = Answer(receipt_json(receipt), label_id, repeated=label.revoked_at is not None)
    if dry_run or answer.repeated:
        return answer
    undone = False

    def undo() -> list[int]:
        nonlocal undone
        with heed.database.writing() as session:
            label = session.get_one(Label, label_id, with_for_update=True)
            if label.revoked_at is not None:
                return []
            undone = True
            stored_labels.revoke(label, by, now)
            return settle_alert(session, label.alert_id, now)

    def together() -> None:
        heeded = Heeded(heed.database, heed.maker, label)
        heed.committer.relabel(undo)
        if undone:
            heed.maker.unmake(label, by=by, now=now)
            heeded.pass_on(now)
            _resume_what_was_cut_short(heed, label, now)
            with heed.database.writing() as session:
                stored_labels.finish(session, label_id, label.receipt)

    heed.committer.call(together)
    if not undone:
        return replace(answer, repeated=True)
    with heed.database.reading() as session:
        receipt = _as_it_came(session, receipt)
    if receipt.verdict is Verdict.NEW_NORMAL and unmade.exists:
        receipt = _as_it_hears(heed, receipt, worlds.tolerances.after)
    answer = replace(answer, receipt=receipt_json(receipt))
    log.info("label_revoked", label=label_id, verdict=label.verdict, series=label.series_id)
    return answer


@dataclass(frozen=True)
class _How:
    """How a label is given. missed: what is known of the span that it reports. further: what it says of other series
    of its alert."""

    wanted: Wanted
    confirmed: bool
    dry_run: bool
    missed: Witnessed | None = None
    further: tuple[LabelledSeries, ...] = ()


def _act(heed: Heed, session: Session, label: Label, how: _How) -> Answer:
    """Draw up the receipt of a label that is not stored yet and, unless it is only tried, let it act."""
    if not how.dry_run and (first := _first_answer(heed, session, label)):
        return first
    heed.maker.check(session, label, how.wanted, how.further)
    before = stored_labels.standing_evidence(session)
    series = stored_series.get_many(session, [label.series_id, *(each.series_id for each in how.further)])
    metrics = {series_id: each.metric for series_id, each in series.items()}
    after = [*before, *stored_labels.as_evidence_of_all(label, how.further, metrics, label_id=NEWEST)]
    action = Action.WOULD_LABEL if how.dry_run else Action.LABELLED
    beside = [series[each.series_id] for each in how.further]
    made = heed.maker.foretell(session, label, how.wanted, how.further)
    if NEWEST not in creating(after):
        made = Foretold([NOT_HEEDED]) if made.words else NOTHING_MADE
    overruled = stored_labels.get_many(session, creating(before) - creating(after))
    unmade = all_standing([heed.maker.standing(session, each) for each in overruled])
    if unmade.exists:
        made = replace(made, words=[TAKEN_BACK, *made.words])
    widened = _widening(session, [each.id for each in overruled], made)
    worlds = _worlds(heed, session, (before, after), widened, label.created_at)
    receipt = _receipt(heed, session, label, beside, worlds, action, label.created_at, made, unmade)
    if how.missed is not None and stored_labels.effects_of(label).tolerance is ToleranceEffect.LOWERED:
        receipt = replace(receipt, replayed=_replayed(worlds, how.missed, series[label.series_id]))
    if how.dry_run:
        return Answer(receipt_json(replace(receipt, label_id=None)), None)
    _refuse_too_many(session, label)
    _refuse_deafness(receipt, how)
    try:
        heed.committer.call(lambda: _carry_out(heed, label, receipt, how))
    except sa.exc.IntegrityError:  # the same key came twice at the same moment
        with heed.database.reading() as later:
            if first := _first_answer(heed, later, label):
                return first
        raise Conflict("The same answer was given and taken back at the same moment. Send it again.") from None
    log.info("label_given", label=label.id, verdict=label.verdict, series=label.series_id, source=label.source)
    return _answer(heed, label)


def _refuse_long(label: Label) -> None:
    is_learned = stored_labels.effects_of(label).training is not TrainingEffect.EXCLUDED
    if label.ended_at - label.started_at > LONGEST_SPAN and not is_learned:
        raise Unconfirmed("The span is longer than a month, and nothing of it would be learned.")


def _refuse_too_many(session: Session, label: Label) -> None:
    """One person, or one channel's links, can only teach so much a day, by mistake or by a robot."""
    most = guards.most_labels_a_day(label.source)
    given = stored_labels.count_given(session, label.author, label.source, since=label.created_at - DAY)
    if given >= most:
        raise TooManyRequests(
            f"{most} labels of the same author in a day are enough to look at first. Undo what was a mistake, "
            "or go on tomorrow.",
            headers={"Retry-After": "3600"},
        )


def _refuse_deafness(receipt: Receipt, how: _How) -> None:
    """Ask about what would be hidden, and about series that the label is not about.

    A new normal tolerates much at first, which is what it is for, but not for longer than it takes to settle.
    """
    if how.confirmed:
        return
    settles = receipt.verdict is Verdict.NEW_NORMAL and (how.wanted.longest or LONGEST) <= LONGEST
    if said := "" if settles else deafening(receipt):
        raise Unconfirmed(f"{said} The owner of the series wants to hear of those.")
    if said := reaching_beyond(receipt):
        raise Unconfirmed(said)


def _carry_out(heed: Heed, label: Label, receipt: Receipt, how: _How) -> None:
    """Store the label, let it act, and make what it creates, with no point in between."""
    heeded = Heeded(heed.database, heed.maker, label)
    heed.committer.relabel(lambda: _store(heed, label, receipt, how))
    made = heeded.pass_on(label.created_at, how.wanted)
    _resume_what_was_cut_short(heed, label, label.created_at)
    with heed.database.reading() as session:
        seen = _as_it_came(session, replace(receipt, label_id=label.id, alert_id=label.alert_id))
    final = receipt_json(seen) | {"created": made.json() if made else None}
    with heed.database.writing() as session:
        stored_labels.finish(session, label.id, final)
    label.receipt = final


def finish_what_was_begun(heed: Heed) -> int:
    """Do what was still to be done of labels, and of undos, when the process ended; returns of how many."""
    with heed.database.reading() as session:
        begun = stored_labels.unfinished(session)
    for label in begun:
        try:
            heed.committer.call(lambda label=label: _finish(heed, label))  # type: ignore[misc]
        except Unprocessable as refusal:  # its series may have been erased since
            log.warning("label_not_finished", label=label.id, reason=refusal.detail)
        with heed.database.writing() as session:
            made = happenings.all_made_by(session, label.id) if label.revoked_at is None else []
            created = {"created": Made(*made[-1]).json()} if made else {}
            stored_labels.finish(session, label.id, label.receipt | created)
        log.warning("label_finished", label=label.id, verdict=label.verdict)
    return len(begun)


def _finish(heed: Heed, label: Label) -> None:
    if label.revoked_at is not None:
        heed.maker.unmake(label, by=label.revoked_by or "", now=label.revoked_at)
    now = label.revoked_at or label.created_at
    Heeded(heed.database, heed.maker, label).make_up_for(now)
    _resume_what_was_cut_short(heed, label, now)


def _resume_what_was_cut_short(heed: Heed, label: Label, now: datetime) -> None:
    """A verdict closes its alert at once; where none does any more, the alert goes on with what goes on."""
    if label.alert_id is None:
        return
    with heed.database.reading() as session:
        runs = cut_short(session, label.alert_id)
    if runs:
        heed.resume(runs, now)


def _as_it_came(session: Session, receipt: Receipt) -> Receipt:
    """With the alert's status as it is once all was done: judging a span again may find that it goes on, or is over."""
    alert = stored_alerts.get(session, receipt.alert_id) if receipt.alert_id is not None else None
    if alert is None or receipt.alert_status is None:
        return receipt
    return replace(receipt, alert_status=replace(receipt.alert_status, after=alert.status))


def _as_it_hears(heed: Heed, receipt: Receipt, learned: Tolerances) -> Receipt:
    """With the band and the power that there are once all was done: the series know again what they knew before."""
    found = [(each, heed.committer.power(each.series.series_id, [Conditions(learned)])) for each in receipt.power]
    power = [replace(each, after=now[0]) if now else each for each, now in found]
    band = receipt.band and replace(receipt.band, after=heed.committer.band(receipt.series.series_id, learned))
    return replace(receipt, power=power, band=band)


def _widening(session: Session, without_labels: Collection[int], made: Foretold) -> Change[dict[int, float]]:
    """Before and after these labels no longer have what they made."""
    left = desensitisations.widening(session, without_labels)
    return Change(desensitisations.widening(session), {**left, **made.widened})


def _store(heed: Heed, label: Label, receipt: Receipt, how: _How) -> list[int]:
    """Commit the label and what it does to its alert; returns the ids of series whose runs it ended."""
    with heed.database.writing() as session:
        session.add(label)
        if how.missed is not None and stored_labels.effects_of(label).alert is AlertEffect.OPENED_SILENTLY:
            missed.open_silently(session, label, how.missed.anomaly)
        session.flush()
        for each in how.further:
            each.label_id = label.id
        session.add_all(how.further)
        label.receipt = receipt_json(replace(receipt, label_id=label.id, alert_id=label.alert_id))
        label.wanted, label.unfinished = kept(how.wanted), True
        return settle_alert(session, label.alert_id, label.created_at)


def _first_answer(heed: Heed, session: Session, label: Label) -> Answer | None:
    """What was answered when the same was asked before, if it was. Raises Unprocessable where it was something else."""
    first = stored_labels.by_once_key(session, label.once_key) if label.once_key is not None else None
    if first is None:
        return None
    if first.asked not in (None, label.asked):
        raise Unprocessable("This Idempotency-Key was sent with another request. Send a new key for a new label.")
    return _answer(heed, first, repeated=True)


def _answer(heed: Heed, label: Label, *, repeated: bool = False) -> Answer:
    """The undo link is made for each answer: it lets its holder act, so it is not kept."""
    undo_url = heed.links.undo_url(label.id, wall_now())
    return Answer(label.receipt | {"undo_url": undo_url}, label.id, repeated)


def _receipt(
    heed: Heed,
    session: Session,
    label: Label,
    beside: Sequence[Series],
    worlds: Worlds,
    action: Action,
    now: datetime,
    made: Foretold = NOTHING_MADE,
    unmade: Standing = NOTHING_STANDS,
) -> Receipt:
    series = session.get_one(Series, label.series_id)
    receipt = draw_up_receipt(
        session,
        heed.committer,
        worlds,
        stored_labels.as_evidence(label, series.metric, label_id=label.id or NEWEST),
        series,
        action=action,
        beside=beside,
        source=label.source,
        comment=label.comment,
        now=now,
        made=made,
        unmade=unmade,
    )
    alert = stored_alerts.get(session, label.alert_id) if label.alert_id is not None else None
    of_gap = alert is not None and alert.kind == "data"
    return replace(receipt, half_life=heed.committer.rules.label_half_life, of_gap=of_gap)


def _worlds(
    heed: Heed,
    session: Session,
    standing: tuple[list[LabelEvidence], list[LabelEvidence]],
    widened: Change[dict[int, float]],
    now: datetime,
) -> Worlds:
    """The first labels stand, and then the second ones do."""
    policies = current_policies(session, heed.committer.rules.policy_defaults)
    silent = unanswered(session, standing[0] + standing[1])
    budgets = Budgets(session, policies, (each.series_id for those in (*standing, silent) for each in those))
    return Worlds.of(*standing, now, budgets, silent, widened=widened, half_life=heed.committer.rules.label_half_life)


def _replayed(worlds: Worlds, witnessed: Witnessed, series: Series) -> Replayed:
    """What comes of a reported span once the report stands."""
    heard = witnessed.anomaly is not None and worlds.tells([(witnessed.anomaly, series)])[0][1]
    return replay(witnessed.span, heard=heard, lowest=worlds.budgets(series.id) - guards.MOST_LOWERED)


def settle_alert(session: Session, alert_id: int | None, now: datetime) -> list[int]:
    """As `settle`. What is no longer withdrawn for the gap of a label waits until that is taken back, in a moment."""
    return [] if alert_id is None else settle(session, [alert_id], now, scored_again=lambda _run: True)


def _label_of_gap(session: Session, verdict: Verdict, alert: Alert, signature: _Signature) -> Label:
    """A verdict on the alert of a gap that Heed found, which stands for all its series: kept with the first of them."""
    gap = happenings.found_gap(session, alert.gap_id)
    if gap is None:
        raise Unprocessable("This alert is not about a series, so there is nothing to learn from it.")
    if verdict not in (Verdict.REAL, Verdict.BAD_DATA):
        raise Unprocessable(
            "This alert tells of lost data. Answer `bad_data`, or `real` where it happened; where nothing is lost, end "
            "the gap with DELETE /v1/gaps/{id}."
        )
    label = _new_label(
        verdict,
        int(happenings.series_ids_of(session, gap)[0]),
        (gap.started_at, max(gap.ended_at or signature.now, gap.started_at)),
        None,
        signature,
    )
    label.alert_id = alert.id
    return label


def _strangest_of_each_series(anomalies: Sequence[Anomaly], lead: int | None) -> list[Anomaly]:
    """One anomaly a series, the one of the alert's leading series first, the others by how rare they are."""
    of_series: dict[int, Anomaly] = {}
    for each in anomalies:
        if each.outcome != Outcome.WITHDRAWN:
            of_series.setdefault(each.series_id, each)
    strangest = list(of_series.values()) or [anomalies[0]]
    return sorted(strangest, key=lambda each: each.series_id != lead)


def _as_further_series(anomaly: Anomaly) -> LabelledSeries:
    return LabelledSeries(
        series_id=anomaly.series_id,
        started_at=anomaly.started_at,
        ended_at=anomaly.last_abnormal_at,
        direction=anomaly.direction,
        rarity=anomaly.rarity,
        evidence=stored_labels.kept_of(anomaly),
    )


def _new_label(
    verdict: Verdict,
    series_id: int,
    span: tuple[datetime, datetime],
    anomaly: Anomaly | None,
    signature: _Signature,
) -> Label:
    return Label(
        verdict=verdict.value,
        series_id=series_id,
        alert_id=anomaly.alert_id if anomaly else None,
        started_at=span[0],
        ended_at=span[1],
        direction=anomaly.direction if anomaly else 0,
        rarity=anomaly.rarity if anomaly else None,
        evidence=stored_labels.kept_of(anomaly),
        author=signature.author,
        source=signature.source,
        weight=guards.identity_weight(signature.source),
        comment=signature.comment,
        once_key=signature.once_key,
        asked=signature.asked,
        created_at=signature.now,
        receipt={},
    )


def _only(verdict: Verdict, wanted: Collection[EffectOn] | None) -> str | None:
    """As it is kept with a label."""
    if wanted is None:
        return None
    can = EFFECTS[verdict].separable
    if not wanted or not can.issuperset(wanted):
        names = " and ".join(f"`{each}`" for each in EffectOn if each in can)
        raise Unprocessable(f"`{verdict}` can act alone on {names}. Send some of these as `only`, or leave it out.")
    return ",".join(each for each in EffectOn if each in wanted)


def _verdict(verdict: str) -> Verdict:
    try:
        return Verdict(verdict)
    except ValueError:
        raise Unprocessable(f"There is no such verdict. Send one of {', '.join(Verdict)}.") from None
