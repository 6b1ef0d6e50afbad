"""Every table, for SQLite and PostgreSQL alike. Times are aware UTC; points keep time as unix seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time. SQLite keeps no zone, so it is put back on reading; a naive time is refused."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored time must be aware, got a naive one")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""SQLite gives out row ids only to a column declared exactly INTEGER."""


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime(),
        dict[str, Any]: sa.JSON(),
        dict[str, str]: sa.JSON(),
        dict[str, list[str]]: sa.JSON(),
        list[str]: sa.JSON(),
        bytes: sa.LargeBinary(),
        int: sa.BigInteger(),
    }


class Installation(Base):
    """Facts fixed when the database was made, such as the number of partitions."""

    __tablename__ = "installation"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Token(Base):
    """A bearer token: only its hash is kept."""

    __tablename__ = "token"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    scope: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)
    new_series_limit: Mapped[int]
    new_series_count: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class Series(Base):
    """One metric with one set of dimensions, and where its state lies."""

    __tablename__ = "series"
    __table_args__ = (sa.UniqueConstraint("partition", "slot"), sa.Index("ix_series_metric", "metric"))
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    key: Mapped[bytes] = mapped_column(sa.LargeBinary(16), unique=True)  # digest of metric and dimensions
    metric: Mapped[str]
    dimensions: Mapped[dict[str, str]]
    partition: Mapped[int]
    slot: Mapped[int]  # row of this series in its partition's arrays
    timezone: Mapped[str]
    cadence_seconds: Mapped[int] = mapped_column(default=0)  # 0: not known yet
    token_id: Mapped[int | None] = mapped_column(sa.ForeignKey("token.id"))
    created_at: Mapped[datetime]


class LogBatch(Base):
    """Points as they were accepted, in order, until a fold moves them into tiles."""

    __tablename__ = "log_batch"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    partition: Mapped[int]
    batch_id: Mapped[str] = mapped_column(sa.String(64))
    received_at: Mapped[datetime]
    point_count: Mapped[int]
    first_timestamp: Mapped[int]  # earliest and latest point, unix seconds
    last_timestamp: Mapped[int]
    columns: Mapped[bytes]
    __table_args__ = (
        sa.UniqueConstraint("partition", "batch_id"),
        {"sqlite_autoincrement": True},  # an id is never given again, or a replay could not tell what it has seen
    )


class TileGroup(Base):
    """Up to 256 series of one cadence whose points share tiles."""

    __tablename__ = "tile_group"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    partition: Mapped[int] = mapped_column(index=True)
    cadence_seconds: Mapped[int]


class TileMember(Base):
    """The row a series has in the tiles of a group. A series whose cadence changes moves, with all its points."""

    __tablename__ = "tile_member"
    group_id: Mapped[int] = mapped_column(sa.ForeignKey("tile_group.id"), primary_key=True)
    row: Mapped[int] = mapped_column(primary_key=True)
    series_id: Mapped[int] = mapped_column(sa.ForeignKey("series.id"), unique=True)


class Tile(Base):
    """A 2-D array of 256 series by a span of steps, its planes compressed one by one."""

    __tablename__ = "tile"
    group_id: Mapped[int] = mapped_column(sa.ForeignKey("tile_group.id"), primary_key=True)
    start: Mapped[int] = mapped_column(primary_key=True)  # unix seconds of the first column
    values: Mapped[bytes]
    scores: Mapped[bytes | None]


class BaselineVersion(Base):
    """One training of a partition's series: learned parameters are versioned data with a reason."""

    __tablename__ = "baseline_version"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    partition: Mapped[int]
    created_at: Mapped[datetime]
    reason: Mapped[str]
    series_count: Mapped[int]


class Concerned:
    """The series that something is about: those of a matcher, or the one of an id."""

    metric: Mapped[str]
    dimensions: Mapped[dict[str, list[str]]]
    series_id: Mapped[int | None]


class Declared(Concerned):
    """What somebody declares, or a label makes of the series that it is about."""

    label_id: Mapped[int | None]  # the label that made it: it stands only as long as that


class Retrain(Concerned, Base):
    """A job that builds new baselines: now, at a time, or by cron. Each run of a cron is a retrain of its own."""

    __tablename__ = "retrain"
    __table_args__ = (sa.UniqueConstraint("schedule_id", "due_at"), sa.Index("ix_retrain_due", "status", "due_at"))
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    window_start: Mapped[datetime | None]
    window_end: Mapped[datetime | None]
    without: Mapped[list[Any]] = mapped_column(sa.JSON())  # further spans not to learn from, pairs of unix seconds
    reason: Mapped[str]
    author: Mapped[str]
    force: Mapped[bool]
    cron: Mapped[str | None]
    timezone: Mapped[str | None]  # in which cron counts
    schedule_id: Mapped[int | None] = mapped_column(sa.ForeignKey("retrain.id"))  # the cron that this is a run of
    due_at: Mapped[datetime]  # event time; of a cron, of its next run
    status: Mapped[str]  # scheduled, running, done, cancelled, failed
    series_count: Mapped[int] = mapped_column(default=0)
    done_count: Mapped[int] = mapped_column(default=0)
    promoted: Mapped[int] = mapped_column(default=0)
    refused: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
    once_key: Mapped[str | None] = mapped_column(unique=True)  # the same request sent twice is one retrain
    asked: Mapped[str | None]  # digest of what was asked for under that key
    created_at: Mapped[datetime]  # event time
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    cancelled_by: Mapped[str | None]
    rolled_back_at: Mapped[datetime | None]
    rolled_back_by: Mapped[str | None]
    gap_id: Mapped[int | None]  # the gap whose late points are in: it is about the series of that


class RetrainPart(Base):
    """What a retrain decided of up to 256 series, and what those it promoted were before, as packed arrays."""

    __tablename__ = "retrain_part"
    retrain_id: Mapped[int] = mapped_column(sa.ForeignKey("retrain.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    partition: Mapped[int] = mapped_column(index=True)
    first_series: Mapped[int]  # smallest and largest id of its series
    last_series: Mapped[int]
    decided_at: Mapped[datetime]  # event time
    decisions: Mapped[bytes]
    before: Mapped[bytes | None]  # null: none was promoted, or it is too long ago to be rolled back
    baseline_version_id: Mapped[int | None] = mapped_column(sa.ForeignKey("baseline_version.id"))
    rolled_back: Mapped[bytes | None]  # ids of the series that were rolled back, and of those that were not


class StateBlock(Base):
    """Checkpoint of a block of 256 slots of a partition: baseline, state and life of each series."""

    __tablename__ = "state_block"
    partition: Mapped[int] = mapped_column(primary_key=True)
    block: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    arrays: Mapped[bytes]
    baseline_version_id: Mapped[int | None] = mapped_column(sa.ForeignKey("baseline_version.id"))


class DetectorChoice(Base):
    """Which detector a series should have, by a comparison on its own past, and why."""

    __tablename__ = "detector_choice"
    series_id: Mapped[int] = mapped_column(sa.ForeignKey("series.id"), primary_key=True)
    detector: Mapped[str]
    reason: Mapped[str]
    chosen_at: Mapped[datetime | None]  # event time; null: never compared
    fell_back: Mapped[str | None]  # why the fall-back judges it instead


class Shadow(Base):
    """A candidate detector that judges series beside the live one and tells nobody. Counts are brought on nightly."""

    __tablename__ = "shadow"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    metric: Mapped[str]
    dimensions: Mapped[dict[str, list[str]]]
    detector: Mapped[str]
    created_at: Mapped[datetime]
    counted_from: Mapped[datetime]  # event time
    counted_until: Mapped[datetime]  # event time
    series_count: Mapped[int]
    would_be_alerts: Mapped[int]
    live_alerts: Mapped[int]


class StoredPolicy(Base):
    """Settings for all series that a matcher selects. `settings` holds only what the policy says."""

    __tablename__ = "policy"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    position: Mapped[int]  # 0 decides first
    metric: Mapped[str]
    dimensions: Mapped[dict[str, list[str]]]
    settings: Mapped[dict[str, Any]]
    continues: Mapped[bool]  # the policies after it fill what it leaves out
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class Alert(Base):
    """What people are told: one or more anomalies of one cause."""

    __tablename__ = "alert"
    __table_args__ = (
        sa.Index("ix_alert_group", "group_key", "newest_start"),
        sa.Index("ix_alert_status", "status", "kind"),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    kind: Mapped[str]  # anomaly, data
    status: Mapped[str]  # firing, resolved, closed, withdrawn
    severity: Mapped[str]
    title: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None]
    snoozed_until: Mapped[datetime | None]
    snoozed_for: Mapped[str | None] = mapped_column(default=None)  # change, recovery: what ends a snooze without a time
    snooze_changed_at: Mapped[datetime | None] = mapped_column(default=None)  # when somebody last did; real time
    snoozed_at_extent: Mapped[dict[str, Any] | None] = mapped_column(default=None)  # how large and severe it was then
    assigned_to: Mapped[str | None] = mapped_column(default=None)
    assigned_by: Mapped[str | None] = mapped_column(default=None)
    assigned_at: Mapped[datetime | None] = mapped_column(default=None)
    delivery: Mapped[str]  # live, digest, silent, stale, silenced: whether anybody is told, and why not
    event_id: Mapped[int | None] = mapped_column(index=True)  # the event that explains it
    gap_id: Mapped[int | None] = mapped_column(index=True)  # the gap that caused it, or of which it tells
    offer: Mapped[str | None]  # the verdict, or the budget, that Heed itself proposes
    group_key: Mapped[str | None] = mapped_column(default=None)  # of its policy and what that groups by; null: alone
    newest_start: Mapped[datetime | None] = mapped_column(default=None)  # of its anomalies, when the last of them began
    lead_series_id: Mapped[int | None] = mapped_column(default=None)  # the series that its title names
    series_count: Mapped[int] = mapped_column(default=1)
    growth_to_repeat: Mapped[float] = mapped_column(default=1.0)  # share by which it must grow to be spoken of again
    policy: Mapped[str | None] = mapped_column(default=None)  # whose budget it counts for, or of which it tells
    daily_digest: Mapped[str | None] = mapped_column(default=None)  # waiting, sent: where it is told of in a digest
    digest_at: Mapped[datetime | None] = mapped_column(default=None)  # when the digest that it waits for is due
    active_hours: Mapped[dict[str, Any] | None] = mapped_column(default=None)  # of those who read it; null: always
    timezone: Mapped[str | None] = mapped_column(default=None)  # in which they live
    critical_change: Mapped[float | None] = mapped_column(default=None)  # from which it is critical; null: by rarity
    critical_impact: Mapped[float | None] = mapped_column(default=None)  # the same of what it has cost
    channels: Mapped[list[str] | None] = mapped_column(default=None)  # names of those that are told; null: all
    escalate_to: Mapped[list[str] | None] = mapped_column(default=None)  # names of those that are told, too, if need be
    escalate_after_seconds: Mapped[int | None] = mapped_column(default=None)
    escalate_at: Mapped[datetime | None] = mapped_column(default=None)  # unless somebody looks after it; event time
    escalated_at: Mapped[datetime | None] = mapped_column(default=None)
    silence_id: Mapped[int | None] = mapped_column(default=None, index=True)  # that keeps it from being sent


class Anomaly(Base):
    """A run of abnormal points of one series; kept too where it fell short of an alert, to learn from."""

    __tablename__ = "anomaly"
    __table_args__ = (sa.UniqueConstraint("series_id", "started_at"), sa.Index("ix_anomaly_alert", "alert_id"))
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    series_id: Mapped[int] = mapped_column(sa.ForeignKey("series.id"))
    alert_id: Mapped[int | None] = mapped_column(sa.ForeignKey("alert.id"))
    started_at: Mapped[datetime] = mapped_column(index=True)
    last_abnormal_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    direction: Mapped[int]
    rarity: Mapped[float]  # log10 weeks, at the peak
    peak_at: Mapped[datetime]
    actual: Mapped[float]
    expected: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]
    impact: Mapped[float]
    point_count: Mapped[int]
    threshold: Mapped[float]  # log10 weeks, what it was measured against, tolerance included
    detector: Mapped[str]
    evidence: Mapped[dict[str, Any]]
    outcome: Mapped[str]  # told, or the reason it was not: below_threshold, tolerated, warming_up, withdrawn
    end_reason: Mapped[str | None] = mapped_column(default=None)  # recovered, aged, silent; null: lasts, or answered
    latest: Mapped[float | None] = mapped_column(default=None)  # value of the last point that made anything of it


class Channel(Base):
    """Where alerts go. The address is a secret and encrypted."""

    __tablename__ = "channel"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    secrets: Mapped[bytes]  # encrypted JSON: url, signing secret
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None]
    not_before: Mapped[datetime | None]  # a Retry-After being honoured
    most_messages: Mapped[int | None] = mapped_column(default=None)  # in ten minutes; null: any number
    active_hours: Mapped[dict[str, Any] | None] = mapped_column(default=None)  # of those who read it; null: always
    timezone: Mapped[str | None] = mapped_column(default=None)  # of these hours


class Notification(Base):
    """One delivery of an alert to one channel: the outbox."""

    __tablename__ = "notification"
    __table_args__ = (
        sa.UniqueConstraint("alert_id", "channel_id", "step"),
        sa.Index("ix_notification_due", "status", "next_attempt_at"),
        sa.Index("ix_notification_sent", "channel_id", "sent_at"),
        sa.Index("ix_notification_told_with", "told_with"),
    )
    id: Mapped[str] = mapped_column(sa.String(36), primary_key=True)  # also the webhook-id
    alert_id: Mapped[int] = mapped_column(sa.ForeignKey("alert.id"))
    channel_id: Mapped[int] = mapped_column(sa.ForeignKey("channel.id"))
    step: Mapped[int]  # 0 is the first message of an alert to a channel
    reason: Mapped[str]  # firing, grown, updated, resolved, closed, withdrawn
    status: Mapped[str]  # pending, sent, dead, skipped
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime]
    leased_until: Mapped[datetime | None]
    lease_epoch: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    error: Mapped[str | None]
    message: Mapped[str | None]  # what the receiver calls it, for later ones about the same alert to refer to
    said: Mapped[dict[str, Any] | None] = mapped_column(default=None)  # how large the alert was when it was sent
    told_with: Mapped[str | None] = mapped_column(sa.String(36), default=None)  # the one whose message tells of it too
    for_digest: Mapped[bool] = mapped_column(default=False)  # was held back: what waits so with it is one message


class Picture(Base):
    """The chart of an alert as it was at one time (unix seconds)."""

    __tablename__ = "picture"
    alert_id: Mapped[int] = mapped_column(sa.ForeignKey("alert.id"), primary_key=True)
    until: Mapped[int] = mapped_column(primary_key=True)
    png: Mapped[bytes]
    drawn_at: Mapped[datetime] = mapped_column(index=True)


class Label(Base):
    """A verdict with span, author and time. Never changed, only revoked: learning is a fold over those that stand."""

    __tablename__ = "label"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    verdict: Mapped[str]
    series_id: Mapped[int] = mapped_column(sa.ForeignKey("series.id"), index=True)
    alert_id: Mapped[int | None] = mapped_column(sa.ForeignKey("alert.id"), index=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    direction: Mapped[int]
    rarity: Mapped[float | None]  # log10 weeks, of the labelled anomaly at its peak
    author: Mapped[str]
    source: Mapped[str]  # api, link, slack
    weight: Mapped[float]
    evidence: Mapped[dict[str, Any] | None] = mapped_column(default=None)  # looks of the labelled anomaly at that time
    comment: Mapped[str | None]
    once_key: Mapped[str | None] = mapped_column(unique=True)  # the same link pressed twice is one label
    asked: Mapped[str | None] = mapped_column(default=None)  # digest of what was asked for under that key
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None]
    receipt: Mapped[dict[str, Any]]
    of_whole_alert: Mapped[bool] = mapped_column(default=False)  # given on an alert, whatever series that has
    only: Mapped[str | None] = mapped_column(default=None)  # names of what it acts on, by commas; null: all
    wanted: Mapped[dict[str, Any] | None] = mapped_column(default=None)  # what was said of what it creates
    unfinished: Mapped[bool] = mapped_column(default=False)  # what it makes, or makes no longer, is still to be done


class LabelledSeries(Base):
    """What a label on an alert says of one more of its series, beside the one that the label names."""

    __tablename__ = "labelled_series"
    label_id: Mapped[int] = mapped_column(sa.ForeignKey("label.id"), primary_key=True)
    series_id: Mapped[int] = mapped_column(sa.ForeignKey("series.id"), primary_key=True, index=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    direction: Mapped[int]
    rarity: Mapped[float | None]  # log10 weeks, of the labelled anomaly at its peak
    evidence: Mapped[dict[str, Any] | None]  # looks of the labelled anomaly at that time


class Silence(Base):
    """A span in which nothing is sent of the series of a matcher. It always ends by itself."""

    __tablename__ = "silence"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    metric: Mapped[str]
    dimensions: Mapped[dict[str, list[str]]]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime] = mapped_column(index=True)
    comment: Mapped[str]
    author: Mapped[str]
    created_at: Mapped[datetime]
    ended_by: Mapped[str | None]  # before its time


class Event(Declared, Base):
    """A known happening, once or recurring. `learned`: what its occurrences before `learned_until` did, as arrays."""

    __tablename__ = "event"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    started_at: Mapped[datetime]  # of the first occurrence
    ended_at: Mapped[datetime]
    timezone: Mapped[str]  # in which it recurs
    rrule: Mapped[str | None]
    also_on: Mapped[list[str]]  # further starts, local ISO times
    not_on: Mapped[list[str]]  # starts of the rule that are left out
    calendar: Mapped[str | None]  # where it was imported from, and its id there
    uid: Mapped[str | None]
    author: Mapped[str]
    created_at: Mapped[datetime]  # event time
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None]
    learned_until: Mapped[datetime | None]
    learned: Mapped[bytes | None]


class Gap(Declared, Base):
    """A span of lost, late or wrong data of some series, or of all of one token."""

    __tablename__ = "gap"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    token_id: Mapped[int | None]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    reason: Mapped[str]
    origin: Mapped[str]  # declared, silence, zeros, stuck
    author: Mapped[str]
    created_at: Mapped[datetime]  # event time
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None]
    retrain_when_backfilled: Mapped[bool]
    known_points: Mapped[int]  # that its series had in it, when it was found or declared
    filled_at: Mapped[datetime | None]  # event time: the late points are in
    retrained_at: Mapped[datetime | None]
    real_at: Mapped[datetime | None]  # event time: somebody said that what it shows is real, so it is judged
    ended_by: Mapped[str | None]  # a person, or why Heed ended it
    known: Mapped[bytes | None]  # some of its points as they were when it was declared, as arrays


class GapSeries(Base):
    """One series of a gap that was found."""

    __tablename__ = "gap_series"
    gap_id: Mapped[int] = mapped_column(sa.ForeignKey("gap.id"), primary_key=True)
    series_id: Mapped[int] = mapped_column(sa.ForeignKey("series.id"), primary_key=True, index=True)


class Flag(Base):
    """One time that a switch of the whole installation was away from its usual state. Real times."""

    __tablename__ = "flag"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str]
    author: Mapped[str]
    started_at: Mapped[datetime]
    until: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str | None]


class Managed(Base):
    """A policy, channel, calendar or flag that a heed.yaml speaks of, and that goes when it no longer does."""

    __tablename__ = "managed"
    kind: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]


class AuditEntry(Base):
    """What was done that nothing else leaves a trace of."""

    __tablename__ = "audit_entry"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[dict[str, Any]]  # ids and counts, never names


class Desensitisation(Declared, Base):
    """Series that have a new level, and are judged with more tolerance until they have settled on it."""

    __tablename__ = "desensitisation"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    longest_seconds: Mapped[int]  # after which a series that has not settled counts as settled
    reason: Mapped[str]
    author: Mapped[str]
    created_at: Mapped[datetime]  # event time
    ended_at: Mapped[datetime | None]  # event time: every series has settled, or somebody ended it
    ended_by: Mapped[str | None]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None]
    undone_at: Mapped[datetime | None]  # it no longer stands, and its series were trained without it


class DesensitisedSeries(Base):
    """One series of a desensitisation, which settles by itself."""

    __tablename__ = "desensitised_series"
    desensitisation_id: Mapped[int] = mapped_column(sa.ForeignKey("desensitisation.id"), primary_key=True)
    series_id: Mapped[int] = mapped_column(sa.ForeignKey("series.id"), primary_key=True, index=True)
    alert_id: Mapped[int | None]  # the alert that it closed
    started_at: Mapped[datetime]  # event time since which the level is new, as the other times
    until: Mapped[datetime]
    progress: Mapped[float]  # 0 to 1
    lacks: Mapped[str]  # what is still missing, in words
    adapted_until: Mapped[datetime | None]  # newest point when it was last trained at the new level
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None]  # settled, expired, ended


class JobSlot(Base):
    """A schedule's slot that some process has taken, so that a job fires once however many processes there are."""

    __tablename__ = "job_slot"
    schedule: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[datetime] = mapped_column(primary_key=True)
    taken_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
