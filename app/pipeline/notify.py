"""The outbox: what is to be told is written with the alert; here it is claimed, sent, and recorded.

At least once, with the same id each time; in order for one alert and channel; retried for three days. All times here
are real, whatever clock the points follow.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import numpy as np
import structlog
from sqlalchemy.orm import Session

from app.alerts.grouping import Extent, growth_of
from app.alerts.hours import MORNING, ActiveHours
from app.alerts.message import AlertFacts, Reason, Snoozed, as_it_ended
from app.alerts.rules import Delivery, Severity, worse
from app.channels import CHANNELS, KEEP_INCIDENTS, UPDATED_IN_PLACE, open_channel
from app.channels.contract import Channel as OpenChannel
from app.channels.contract import Notice, TransportError
from app.channels.setup import pace_of
from app.clock import wall_now
from app.outbound import Outbound
from app.pipeline.digest import digest_of
from app.pipeline.explain import explained
from app.pipeline.facts import facts_of
from app.security import Links, Vault
from app.store import digests
from app.store import notifications as outbox
from app.store.channels import disable_channel, pause_channel, with_hours
from app.store.database import Database
from app.store.digests import Room
from app.store.notifications import Claim
from app.store.tables import Alert, Channel

log = structlog.get_logger()

LEASE = timedelta(seconds=60)  # six times as long as a request may last
KEEP_TRYING = timedelta(days=3)
FIRST_RETRY_SECONDS = 2.0
SLOWEST_RETRY_SECONDS = 3600.0
CHANNELS_AT_ONCE = 16
LOOK_EVERY_SECONDS = 1.0  # a retry may be due, or another process may have put something into the outbox
WAITING = "waiting"
"""What is said of an alert that the next digest is to tell of."""
TOO_OLD = "the channel took nothing for three days"
NOT_GROWN = "it has not grown enough to be spoken of again"
SNOOZED = "somebody has snoozed it"
LASTS_TOGETHER = "it was told of with others, of which some go on"
OVER_TOGETHER = "it was told to be over with the others"


def enqueue(session: Session, alert_id: int, reason: str, now: datetime) -> int:
    """Put a message of the alert into the outbox, one for each channel that is to hear of it; returns how many.

    In the caller's transaction. `now` is real time, from which the message is due.
    """
    return enqueue_all(session, [alert_id], reason, now)


def announce(
    session: Session,
    title: str,
    now: datetime,
    *,
    since: datetime | None = None,
    over: bool = False,
    severity: str = "warning",
    reason: str = Reason.FIRING,
    gap_id: int | None = None,
    policy: str | None = None,
    channels: list[str] | None = None,
    offer: str | None = None,
    due: datetime | None = None,
) -> int:
    """Tell of something that is about no single anomaly, by an alert of its own; returns how many will hear of it.

    In the caller's transaction. now: when it became known. since: when it began, by default then. over: nothing lasts
    that could end later. channels: names of those that are told, None for all. offer: a change that Heed proposes. due:
    real time from which the messages are, by default at once.
    """
    alert = Alert(
        kind="data",
        status="resolved" if over else "firing",
        severity=severity,
        title=title,
        started_at=since or now,
        ended_at=now if over else None,
        created_at=now,
        delivery=Delivery.LIVE,
        gap_id=gap_id,
        policy=policy,
        channels=channels,
        offer=offer,
    )
    session.add(alert)
    session.flush()
    return enqueue(session, alert.id, reason, due or wall_now())


def enqueue_all(
    session: Session, alert_ids: Iterable[int], reason: str, now: datetime, *, for_digest: bool = False
) -> int:
    """As `enqueue`, for many alerts at the price of few queries. for_digest: a channel hears of them in one message."""
    away = away_until(session, now)
    if Reason(reason) is Reason.GROWN:
        return outbox.add_growth(session, alert_ids, now, UPDATED_IN_PLACE, away=away, for_digest=for_digest)
    return outbox.add_notifications(session, alert_ids, Reason(reason).value, now, away=away, for_digest=for_digest)


def away_until(session: Session, now: datetime) -> dict[int, datetime]:
    """The channels whose readers are not there, by id, and when they are again. `now` is real time."""
    found = {}
    for channel in with_hours(session):
        pace = pace_of(channel)
        if pace.active_hours and pace.timezone and not pace.active_hours.hold(now, pace.timezone):
            found[channel.id] = pace.active_hours.next_start(now, pace.timezone)
    return found


def hours_changed(session: Session, channel_id: int, now: datetime) -> None:
    """What a channel's old hours held back is sent now, or when its new ones begin."""
    outbox.hold_until(session, channel_id, away_until(session, now).get(channel_id, now), now)


def held_until(alert: Alert, now: datetime) -> datetime | None:
    """When those are there again who read the alert; None where they are, or where it is severe. Clock of the points.

    An alert of no policy is read at any hour.
    """
    if alert.active_hours is None or alert.timezone is None or alert.severity == Severity.CRITICAL:
        return None
    hours = ActiveHours.read(alert.active_hours)
    return None if hours.hold(now, alert.timezone) else hours.next_start(now, alert.timezone)


def put_off(alert: Alert, now: datetime) -> None:
    """Tell of it in the next digest: when the hours of those who read it begin, or in the morning."""
    hours = MORNING if alert.active_hours is None else ActiveHours.read(alert.active_hours)
    alert.daily_digest, alert.digest_at = WAITING, hours.next_start(now, alert.timezone or "UTC")


def retry_delay(attempts: int, rng: np.random.Generator) -> timedelta:
    """How long to wait after so many attempts: doubling from 2 s to an hour, less up to half of it by chance."""
    longest = min(SLOWEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(attempts - 1, 20))
    return timedelta(seconds=longest * rng.uniform(0.5, 1.0))


class Pictures(Protocol):
    """Where the pictures of messages come from."""

    def url(self, alert_id: int) -> str:
        """Where the picture can be had; it is drawn when somebody asks for it."""
        ...

    def url_once_drawn(self, alert_id: int) -> str | None:
        """The same of a picture that is there; none where drawing it fails, or takes more than two seconds."""
        ...


@dataclass(frozen=True)
class Said:
    """What a channel took. message: what the receiver calls it. extent: how large and severe it said the alert was."""

    message: str | None
    extent: Mapping[str, Any] | None
    reason: str


@dataclass(frozen=True)
class Unsaid:
    """Nothing was sent, and nothing is to be."""

    why: str


@dataclass(frozen=True)
class Sender:
    """Delivers what waits for a channel, one message after the other."""

    database: Database
    vault: Vault
    links: Links
    outbound: Outbound
    pictures: Pictures
    rng: np.random.Generator
    stopping: threading.Event
    limited: bool = True

    def deliver_due(self, channel_id: int, now: datetime) -> int:
        """Send all that is due to this channel, or until told to stop; returns how many attempts that took."""
        started = time.monotonic()
        attempts = 0
        while True:
            if self.stopping.is_set():
                return attempts
            present = now + timedelta(seconds=time.monotonic() - started)
            claim = self._claim(channel_id, present)
            if claim is None:
                return attempts
            attempts += 1
            self._deliver(claim, present)

    def try_out(self, channel_id: int, now: datetime) -> TransportError | None:
        with self.database.reading() as session:
            row = session.get_one(Channel, channel_id)
        facts = _facts_of_a_test(row.name, self.links.public_url, now)
        try:
            channel = open_channel(row.kind, self.vault.unseal(row.secrets))
            earlier = None
            for reason in (Reason.FIRING, Reason.RESOLVED):
                earlier = channel.send(Notice(str(uuid.uuid4()), reason, facts, now, earlier=earlier), self.outbound)
        except ValueError as error:
            return TransportError(str(error), gone=True)
        except TransportError as error:
            return error
        return None

    def _claim(self, channel_id: int, now: datetime) -> Claim | None:
        """The next one to send; the last message that the channel takes for now tells of all that still wait."""
        while True:
            with self.database.reading() as session:
                room = self._room(session, channel_id, now)
                claim = self._next_due(session, channel_id, room, now)
            if claim is None:
                return None
            with self.database.writing() as session:
                digests.lock_channel(session, channel_id)
                room = self._room(session, channel_id, now)
                if room.left == 0 and (claim.reason == Reason.FIRING or not room.for_openings):
                    return None
                if outbox.take(session, claim, now + LEASE):
                    return self._with_others(session, claim, now) if room.left == 1 or claim.for_digest else claim

    def _room(self, session: Session, channel_id: int, now: datetime) -> Room:
        return digests.room(session, channel_id, now, KEEP_INCIDENTS) if self.limited else Room(None)

    def _next_due(self, session: Session, channel_id: int, room: Room, now: datetime) -> Claim | None:
        if room.left == 0 and not room.for_openings:
            return None
        limited = room.left is not None
        return outbox.next_due(session, channel_id, now, severe_first=limited, opens=room.left != 0)

    def _with_others(self, session: Session, claim: Claim, now: datetime) -> Claim:
        if claim.carries_others or claim.reason == Reason.GROWN or not CHANNELS[claim.kind].takes_digests:
            return claim
        only_openings = CHANNELS[claim.kind].keeps_incidents
        if only_openings and claim.reason != Reason.FIRING:
            return claim
        told = digests.gather(session, claim, now, only_openings=only_openings)
        return replace(claim, carries_others=told > 0)

    def _deliver(self, claim: Claim, now: datetime) -> None:
        if claim.follows_nothing and not claim.carries_others:
            self._record(outbox.record_skipped, claim, "nobody was told of this alert before")
            return
        started = time.monotonic()
        outcome = self._send(claim, now)
        answered = now + timedelta(seconds=time.monotonic() - started)
        if isinstance(outcome, TransportError):
            log.warning("notification_failed", **_logged(claim), error=outcome.message)
            self._record_failure(claim, outcome, answered)
        elif isinstance(outcome, Unsaid):
            self._record(outbox.record_skipped, claim, outcome.why)
        else:
            self._record(record_sent, claim, answered, outcome)
            log.info("notification_sent", notification=claim.notification_id, channel=claim.channel_name)

    def _send(self, claim: Claim, now: datetime) -> TransportError | Unsaid | Said:
        """What went wrong, why there is nothing to say, or what was said."""
        try:
            channel = open_channel(claim.kind, self.vault.unseal(claim.secrets))
        except ValueError as error:
            return TransportError(str(error), gone=True)
        try:
            if claim.carries_others:
                return self._tell_together(channel, claim, now)
            together = self._end_together(channel, claim, now) if channel.keeps_incidents else None
            return together or self._tell(channel, claim, now)
        except TransportError as error:
            return error
        except Exception as error:  # one message that can't be written must not hold up the others
            log.exception("notification_broke", **_logged(claim))
            return TransportError(f"the message could not be written ({type(error).__name__})")

    def _tell(self, channel: OpenChannel, claim: Claim, now: datetime) -> Unsaid | Said:
        with self.database.reading() as session:
            alert = session.get_one(Alert, claim.alert_id)
            facts = facts_of(session, [alert], self.links, origin=claim.channel_name, now=now)[alert.id]
            facts = _explained_if_possible(session, facts)
        reason = worth_saying(claim, facts, in_place=channel.updates_in_place)
        if reason is None:
            return Unsaid(SNOOZED if facts.is_snoozed else NOT_GROWN)
        facts = replace(facts, chart_url=self._picture(channel, facts))
        leave_url = self.links.leave_url(claim.channel_id, now)
        notice = Notice(claim.notification_id, reason, facts, now, leave_url, claim.earlier)
        extent = facts.extent.json() | {"severity": facts.severity}
        return Said(channel.send(notice, self.outbound), extent, reason.value)

    def _tell_together(self, channel: OpenChannel, claim: Claim, now: datetime) -> Said:
        with self.database.reading() as session:
            facts = digest_of(session, claim.notification_id, self.links, origin=claim.channel_name, now=now)
        leave_url = self.links.leave_url(claim.channel_id, now)
        channel.send(Notice(claim.notification_id, Reason.DIGEST, facts, now, leave_url), self.outbound)
        return Said(None, None, Reason.DIGEST.value)

    def _end_together(self, channel: OpenChannel, claim: Claim, now: datetime) -> Unsaid | Said | None:
        """What becomes of news of an alert that one incident tells of with others: it ends once none of them lasts.

        None where the alert has an incident of its own, or is to get one since theirs is over.
        """
        with self.database.reading() as session:
            carrier = digests.opened_with(session, claim.alert_id, claim.channel_id)
            if carrier is None:
                return None
            if digests.was_resolved(session, carrier, claim.channel_id):
                return None if Reason(claim.reason).is_on else Unsaid(OVER_TOGETHER)
            facts = digest_of(session, carrier, self.links, origin=claim.channel_name, now=now)
        if facts.digest is None or facts.digest.still_on:
            return Unsaid(LASTS_TOGETHER)
        channel.send(Notice(claim.notification_id, Reason.RESOLVED, facts, now), self.outbound)
        return Said(carrier, None, claim.reason)

    def _picture(self, channel: OpenChannel, facts: AlertFacts) -> str | None:
        """What shows its messages right away gets a picture that is there; what reads them, where to find it."""
        if facts.foremost is None:
            return None
        return self.pictures.url_once_drawn(facts.id) if channel.shows_pictures else self.pictures.url(facts.id)

    def _record_failure(self, claim: Claim, error: TransportError, now: datetime) -> None:
        if error.gone:
            self._disable(claim, error, now)
        elif error.permanent or now - claim.created_at >= KEEP_TRYING:
            self._record(record_dead, claim, error.message)
        elif error.retry_after is not None:
            self._pause(claim, error, now + error.retry_after)
        else:
            self._record(outbox.record_retry, claim, now + retry_delay(claim.attempts, self.rng), error.message)

    def _record(self, record: Callable[..., bool], claim: Claim, *outcome: object) -> None:
        with self.database.writing() as session:
            is_ours = record(session, claim, *outcome)
        if not is_ours:
            log.warning("notification_lease_lost", **_logged(claim))

    def _pause(self, claim: Claim, error: TransportError, until: datetime) -> None:
        """The receiver asked for patience: nothing goes to it before it has passed."""
        with self.database.writing() as session:
            outbox.record_retry(session, claim, until, error.message)
            pause_channel(session, claim.channel_id, until)

    def _disable(self, claim: Claim, error: TransportError, now: datetime) -> None:
        """Stop using the channel, keep what waits for it, and say so through the other channels."""
        with self.database.writing() as session:
            outbox.record_retry(session, claim, now, error.message)
            stop_channel(session, claim.channel_id, claim.channel_name, error.message, now)


def stop_channel(session: Session, channel_id: int, name: str, why: str, now: datetime) -> None:
    """Send nothing to it any more, and say so through the others. Stopped twice it is said once."""
    if not disable_channel(session, channel_id, why, now):
        return
    cure = "Correct the channel and enable it again: what waits for it is kept for three days"
    said = f"Alerts no longer reach {name}: {why}. {cure}"
    announce(session, said, now, severity="critical", due=now)
    log.error("channel_disabled", channel=name, reason=why)


def _explained_if_possible(session: Session, facts: AlertFacts) -> AlertFacts:
    """What explains an alert is worth having, and never worth waiting for."""
    try:
        return explained(session, facts)
    except Exception:
        log.exception("explanation_failed", alert=facts.id)
        return facts


def record_sent(session: Session, claim: Claim, now: datetime, said: Said) -> bool:
    """It was taken, and what its message told of besides is told too."""
    if claim.carries_others:
        digests.record_sent(session, claim, now)
    return outbox.record_sent(session, claim, now, said.message, said.extent, said.reason)


def record_dead(session: Session, claim: Claim, error: str) -> bool:
    """It is given up, and with it what its message was to tell of besides."""
    if claim.carries_others:
        digests.record_dead(session, claim, error)
    return outbox.record_dead(session, claim, error)


def worth_saying(claim: Claim, facts: AlertFacts, *, in_place: bool) -> Reason | None:
    """Why the channel is to hear of the alert now; None where it has only grown, and by too little, or is snoozed."""
    reason = Reason(claim.reason)
    if reason not in (Reason.GROWN, Reason.UPDATED):
        return as_it_ended(reason, facts)
    is_news = reason is Reason.UPDATED or _is_worse_than_said(claim, facts)
    if facts.snooze is not None and facts.snooze.what is not None:
        is_news = not facts.is_snoozed and (is_news or not _told_since(facts.snooze, claim, facts))
    elif facts.snooze is not None and reason is Reason.GROWN:
        is_news = False  # shown where nobody hears it; the rest waits for the end of the snooze
    if is_news:
        return Reason.UPDATED
    return Reason.GROWN if in_place else None


def _is_worse_than_said(claim: Claim, facts: AlertFacts) -> bool:
    """Whether the alert is more severe than when the channel last heard of it, or larger by its policy's share."""
    if not claim.said:
        return False
    said = Severity(claim.said.get("severity", facts.severity))
    if worse(said, Severity(facts.severity)) != said:
        return True
    return growth_of(Extent.read(claim.said), facts.extent, facts.growth_to_repeat) is not None


def _told_since(snooze: Snoozed, claim: Claim, facts: AlertFacts) -> bool:
    """Whether the channel has heard already that the alert has outgrown its snooze."""
    if not claim.said:
        return False
    severity = Severity(claim.said.get("severity", Severity.WARNING))
    return snooze.is_outgrown(Extent.read(claim.said), severity, facts.growth_to_repeat)


class Notifier:
    """Delivers the outbox on threads of its own, each channel by itself so that none waits for another."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        links: Links,
        outbound: Outbound,
        pictures: Pictures,
        rng: np.random.Generator | None = None,
        look_every_seconds: float = LOOK_EVERY_SECONDS,
        *,
        limited: bool = True,
    ) -> None:
        """limited: channels take only so many messages in ten minutes, which are real ones."""
        self._database = database
        self._look_every_seconds = look_every_seconds
        self._stopping = threading.Event()
        rng = rng or np.random.default_rng()
        self._sender = Sender(database, vault, links, outbound, pictures, rng, self._stopping, limited)
        self._pool = ThreadPoolExecutor(CHANNELS_AT_ONCE, thread_name_prefix="notify")
        self._busy: set[int] = set()  # channels that are being delivered to
        self._again: set[int] = set()  # those of them for which something came meanwhile
        self._lock = threading.Lock()
        self._called = threading.Event()
        self._thread: threading.Thread | None = None

    def run_once(self, now: datetime) -> int:
        """Deliver all that is due now and wait until that is done; returns how many attempts that took.

        What one delivery causes, such as the news of a disabled channel, is delivered too.
        """
        attempts = 0
        while done := sum(future.result() for future in self._start_due(now)):
            attempts += done
        return attempts

    def try_out(self, channel_id: int, now: datetime) -> TransportError | None:
        """Send a test alert and its end to a channel at once; what went wrong, or nothing."""
        return self._sender.try_out(channel_id, now)

    def start(self) -> None:
        """Deliver from now on, whenever something is due."""
        self._thread = threading.Thread(target=self._loop, name="notifier", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Something was put into the outbox and committed: look at once."""
        self._called.set()

    def stop(self) -> None:
        """Finish the messages that are being sent, and end. The others wait in the outbox."""
        self._stopping.set()
        self.wake()
        if self._thread:
            self._thread.join()
        self._pool.shutdown(wait=True)

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._called.clear()
            try:
                self._start_due(wall_now())
            except Exception:  # a database that is away for a while must not end deliveries
                log.exception("notifier_failed")
            self._called.wait(self._look_every_seconds)

    def _start_due(self, now: datetime) -> list[Future[int]]:
        """Set to work on every channel that has something due and is not being worked on."""
        self._bury_overdue(now)
        with self._database.reading() as session:
            due = outbox.channels_with_due_notifications(session, now)
        return [self._start(channel_id, now) for channel_id in due if self._is_free(channel_id)]

    def _is_free(self, channel_id: int) -> bool:
        with self._lock:
            busy = channel_id in self._busy
            (self._again if busy else self._busy).add(channel_id)
            return not busy

    def _start(self, channel_id: int, now: datetime) -> Future[int]:
        future = self._pool.submit(self._sender.deliver_due, channel_id, now)
        future.add_done_callback(lambda done: self._finish(channel_id, done))
        return future

    def _finish(self, channel_id: int, done: Future[int]) -> None:
        with self._lock:
            self._busy.discard(channel_id)
            came_meanwhile = channel_id in self._again
            self._again.discard(channel_id)
        if error := done.exception():
            log.error("deliveries_failed", channel=channel_id, exc_info=error)
        elif came_meanwhile or done.result():
            self.wake()

    def _bury_overdue(self, now: datetime) -> None:
        oldest = now - KEEP_TRYING
        with self._database.reading() as session:
            if not outbox.has_older_than(session, oldest):
                return
        with self._database.writing() as session:
            outbox.bury_older_than(session, oldest, TOO_OLD)


def _facts_of_a_test(channel: str, url: str, now: datetime) -> AlertFacts:
    return AlertFacts(
        id=0,
        kind="data",
        severity="warning",
        title=f"This is a test: alerts reach {channel}",
        started_at=now,
        ended_at=None,
        told_at=now,
        url=url,
        anomalies=(),
    )


def _logged(claim: Claim) -> dict[str, object]:
    return {"notification": claim.notification_id, "channel": claim.channel_name, "attempt": claim.attempts}
