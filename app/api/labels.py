"""Labels: give a verdict, list, undo. Every answer is a receipt of what changed."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.access import AnalystBearer
from app.api.events import Rule, Zone
from app.api.parts import LARGEST_ID, BodyId, Cursor, Id, Input, Limit, Text, Time, read_cursor, write_cursor
from app.api.problems import Problem
from app.api.retrains import MatcherInput
from app.api.service import Heed
from app.pipeline.creations import NOTHING_SAID, Wanted
from app.pipeline.learn import Answer, label_alert, label_span, revoke_label
from app.security import Bearer
from app.store import labels as stored
from app.store.labels import LabelFilter
from app.store.series import Matcher
from app.store.tables import Label
from feedback.labels import EffectOn, Verdict

router = APIRouter(tags=["labels"])

SOURCE = "api"

Comment = Annotated[Text, Field(max_length=2000)]
DryRun = Annotated[bool, Query(description="Answer with the receipt and change nothing.")]
OnceKey = Annotated[
    Text | None,
    Header(
        alias="Idempotency-Key",
        max_length=100,
        description="The same request with the same key is answered with the first receipt, while that label stands; "
        "another request with it is refused.",
    ),
]


class Description(Input):
    """What the verdict creates, where it is not just of the labelled span and series.

    A field that says nothing of what the verdict creates is refused.
    """

    name: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    start: Time | None = Field(None, description="An event covers all that is labelled; a new level began before now.")
    end: Time | None = Field(None, description="Of an event or a gap.")
    matcher: MatcherInput | None = Field(None, description="Other series than the labelled one.")
    rrule: Rule | None = Field(None, description="Of an event that recurs.")
    timezone: Zone | None = Field(None, description="Of an event, in which it recurs; the series' own if left out.")
    max_duration_days: Annotated[int, Field(ge=1, le=90)] | None = Field(
        None, description="Of a new normal, after which it counts as settled."
    )
    retrain_when_backfilled: bool = Field(
        True, description="Of a gap: whether the series is trained again once it is filled."
    )

    def wanted(self) -> Wanted:
        matcher = Matcher(self.matcher.metric, self.matcher.dimensions) if self.matcher else None
        longest = timedelta(days=self.max_duration_days) if self.max_duration_days else None
        said = self.model_dump(include={"name", "start", "end", "rrule", "timezone", "retrain_when_backfilled"})
        return Wanted(**said, matcher=matcher, longest=longest)


class NewVerdict(Input):
    """A verdict on an alert."""

    verdict: Annotated[Verdict, Field(strict=False, examples=["false_alarm"])]
    comment: Comment | None = None
    creates: Description | None = Field(
        None, description="Of the verdicts `event`, `bad_data` and `new_normal`: the event, gap or new level."
    )
    only: list[Annotated[EffectOn, Field(strict=False)]] | None = Field(
        None, min_length=1, description="Of the verdict's effects these alone: each is to be had by itself."
    )
    confirm: bool = Field(False, description="Do it although it would hide changes that the owner wants to hear of.")
    dry_run: bool = Field(False, description="Answer with the receipt and change nothing.")

    def wanted(self) -> Wanted:
        return self.creates.wanted() if self.creates else NOTHING_SAID


class NewLabel(NewVerdict):
    """A verdict on a span of a series."""

    series_id: BodyId
    start: Time
    end: Time


class BeforeAfter(BaseModel):
    before: Any
    after: Any


class ReceiptAnswer(BaseModel):
    """What a label, or its undo, changed; with `dry_run`, what it would change."""

    model_config = ConfigDict(extra="allow")
    action: str = Field(examples=["labelled"], description="labelled, would_label, undone or would_undo.")
    label_id: int | None
    verdict: Verdict
    text: list[str] = Field(description="The receipt in plain sentences, the most important first.")
    warnings: list[str]
    effects: dict[str, str] = Field(description="On the alert, on training, on tolerance, and what else it creates.")
    tolerance: BeforeAfter
    threshold: BeforeAfter
    band: BeforeAfter
    power: BeforeAfter = Field(description="Share of injected drops and spikes that would be told.")
    alerts_no_longer_sent: dict[str, Any] = Field(description="Of the last 60 days.")
    alerts_now_sent: dict[str, Any]
    replayed: dict[str, Any] | None = Field(
        description="Of a reported miss: whether it would be told now; else why not, and what would help."
    )
    created: dict[str, Any] | None = Field(description="Kind and id of the event, gap or desensitisation that it made.")
    effective_from: datetime
    undo_url: str | None = Field(description="Signed link to a page with an undo button.")


class LabelAnswer(BaseModel):
    id: int
    verdict: Verdict
    only: list[EffectOn] | None = Field(description="What it acts on; null: all that its verdict acts on.")
    series_id: int
    alert_id: int | None
    started_at: datetime
    ended_at: datetime
    author: str
    source: str = Field(
        description="`api`: somebody with a token; `slack`: somebody in Slack; `link`: whoever held a link."
    )
    weight: float = Field(description="How much its author counts, from 0 to 1.")
    comment: str | None
    created_at: datetime
    revoked_at: datetime | None
    revoked_by: str | None
    receipt: dict[str, Any]


class LabelList(BaseModel):
    labels: list[LabelAnswer]
    next: str | None = Field(description="`cursor` of the next page; null on the last.")


CREATED: dict[int | str, dict[str, Any]] = {
    200: {"model": ReceiptAnswer, "description": "A dry run, or a repeat of the same request."},
    409: {"model": Problem, "description": "It would make Heed deaf and is not confirmed, or was told already."},
    429: {"model": Problem, "description": "The author has given very many labels today."},
}


@router.post("/v1/alerts/{alert_id}/labels", status_code=201, response_model=ReceiptAnswer, responses=CREATED)
def label_an_alert(
    alert_id: Id, new: NewVerdict, heed: Heed, bearer: AnalystBearer, dry_run: DryRun = False, once: OnceKey = None
) -> Response:
    """Give a verdict on an alert. It acts at once; the receipt says what changed and how to undo it."""
    answer = label_alert(
        heed,
        alert_id,
        new.verdict.value,
        author=bearer.name,
        source=SOURCE,
        comment=new.comment,
        once_key=_once_key(bearer, once),
        asked=_digest(f"alert {alert_id}", new),
        wanted=new.wanted(),
        only=new.only,
        confirmed=new.confirm,
        dry_run=dry_run or new.dry_run,
        now=heed.clock.now(),
    )
    return _receipt(answer, created=not (dry_run or new.dry_run or answer.repeated))


@router.post("/v1/labels", status_code=201, response_model=ReceiptAnswer, responses=CREATED)
def label_a_span(
    new: NewLabel, heed: Heed, bearer: AnalystBearer, dry_run: DryRun = False, once: OnceKey = None
) -> Response:
    """Give a verdict on a span of a series, such as one in which nothing was told."""
    answer = label_span(
        heed,
        new.series_id,
        new.verdict.value,
        start=new.start,
        end=new.end,
        author=bearer.name,
        source=SOURCE,
        comment=new.comment,
        once_key=_once_key(bearer, once),
        asked=_digest("span", new),
        wanted=new.wanted(),
        only=new.only,
        confirmed=new.confirm,
        dry_run=dry_run or new.dry_run,
        now=heed.clock.now(),
    )
    return _receipt(answer, created=not (dry_run or new.dry_run or answer.repeated))


@router.get("/v1/labels")
def list_labels(
    heed: Heed,
    _bearer: AnalystBearer,
    verdict: Verdict | None = None,
    series_id: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
    alert_id: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
    author: Annotated[Text | None, Query(max_length=200)] = None,
    stands: Annotated[bool | None, Query(description="Only those that stand, or only those revoked.")] = None,
    start: Annotated[Time | None, Query(description="Only labels given then or later.")] = None,
    end: Annotated[Time | None, Query(description="Only labels given before.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> LabelList:
    """Labels with their receipts, the newest first, filtered and paged. Revoked ones are kept and say so."""
    wanted = LabelFilter(
        verdict=verdict.value if verdict else None,
        series_id=series_id,
        alert_id=alert_id,
        author=author,
        stands=stands,
        start=start,
        end=end,
    )
    with heed.database.reading() as session:
        found = stored.find(session, wanted, limit=limit, before_id=read_cursor(cursor, LARGEST_ID))
    return LabelList(
        labels=[_answer(each) for each in found], next=write_cursor(found[-1].id) if len(found) == limit else None
    )


@router.delete("/v1/labels/{label_id}", response_model=ReceiptAnswer)
def undo_a_label(label_id: Id, heed: Heed, bearer: AnalystBearer, dry_run: DryRun = False) -> Response:
    """Take a label back. What it taught is gone without a trace; the label itself stays listed as revoked."""
    answer = revoke_label(heed, label_id, by=bearer.name, now=heed.clock.now(), dry_run=dry_run)
    return _receipt(answer, created=False)


def _once_key(bearer: Bearer, key: str | None) -> str | None:
    return f"{SOURCE}:{bearer.token_id}:{key}" if key else None


def _digest(about: str, new: NewVerdict) -> str:
    """Of what is asked for, so that a key is not taken for a repeat of something else."""
    return hashlib.sha256(f"{about} {new.model_dump_json(exclude={'confirm'})}".encode()).hexdigest()


def _receipt(answer: Answer, *, created: bool) -> Response:
    return Response(msgspec.json.encode(answer.receipt), 201 if created else 200, media_type="application/json")


def _answer(label: Label) -> LabelAnswer:
    return LabelAnswer(
        id=label.id,
        verdict=Verdict(label.verdict),
        only=[EffectOn(each) for each in label.only.split(",")] if label.only else None,
        series_id=label.series_id,
        alert_id=label.alert_id,
        started_at=label.started_at,
        ended_at=label.ended_at,
        author=label.author,
        source=label.source,
        weight=label.weight,
        comment=label.comment,
        created_at=label.created_at,
        revoked_at=label.revoked_at,
        revoked_by=label.revoked_by,
        receipt=label.receipt,
    )
