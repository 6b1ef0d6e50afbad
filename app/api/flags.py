"""Flags: a few switches of the whole installation, for when Heed itself misbehaves."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.api.access import AnalystBearer, OpsBearer
from app.api.parts import Input, Text, Time
from app.api.service import Heed
from app.clock import wall_now
from app.errors import NotFound, Unprocessable
from app.pipeline import flags
from app.pipeline.flags import Setting, is_over
from app.store import flags as stored
from app.store.flags import FLAGS, FlagName
from app.store.tables import Flag

router = APIRouter(prefix="/v1/flags", tags=["flags"])

MOST_REMEMBERED = 20

Name = Annotated[Text, Path(max_length=50, description=f"One of {', '.join(FLAGS)}.", examples=["detector"])]


class NewState(Input):
    """How a flag is to be, and why."""

    state: Annotated[
        Text,
        Field(
            max_length=50,
            description="; ".join(f"`{name}`: `{kind.usual}` or `{kind.other}`" for name, kind in FLAGS.items()),
            examples=["basic"],
        ),
    ]
    reason: Annotated[Text, Field(min_length=1, max_length=500, examples=["the new detector floods the channel"])]
    until: Time | None = Field(None, description="When it goes back to its usual state by itself. Default: never.")


class FlagAnswer(BaseModel):
    name: FlagName
    state: str
    usual: str = Field(description="The state that it has where nobody says anything.")
    other: str = Field(description="The state that it can be set to.")
    meaning: str
    reason: str | None = Field(description="Why it is not as usual; null where it is. So are the others.")
    author: str | None
    since: datetime | None
    until: datetime | None


class PastFlag(BaseModel):
    state: str
    reason: str
    author: str
    since: datetime
    until: datetime | None
    ended_at: datetime | None = Field(description="null: it is so now.")
    ended_by: str | None = Field(description="null where its time was over.")


class FlagWithHistory(FlagAnswer):
    history: list[PastFlag] = Field(description=f"The last {MOST_REMEMBERED} times that it was set, the newest first.")


class FlagList(BaseModel):
    flags: list[FlagAnswer]


@router.get("")
def list_flags(heed: Heed, _bearer: AnalystBearer) -> FlagList:
    """All flags: the state of each, who set it and why."""
    with heed.database.reading() as session:
        standing = stored.standing(session)
    return FlagList(flags=[_answer(name, standing.get(name)) for name in FLAGS])


@router.get("/{name}")
def get_flag(name: Name, heed: Heed, _bearer: AnalystBearer) -> FlagWithHistory:
    """One flag, and when it was set before."""
    with heed.database.reading() as session:
        return _with_history(session, _known(name))


@router.put("/{name}")
def set_flag(name: Name, new: NewState, heed: Heed, bearer: OpsBearer) -> FlagWithHistory:
    """Set a flag. It acts on the next point, and is undone without a trace; set again it gets the new reason."""
    flag = _known(name)
    if new.state not in (FLAGS[flag].usual, FLAGS[flag].other):
        raise Unprocessable(f"`state` of this flag is `{FLAGS[flag].usual}` or `{FLAGS[flag].other}`.")
    if new.until is not None and new.until <= wall_now():
        raise Unprocessable("`until` has passed already. Send a time to come, or leave it out.")
    flags.set_flag(heed.committer, flag, Setting(new.state, new.reason, bearer.name, new.until))
    with heed.database.reading() as session:
        return _with_history(session, flag)


@router.delete("/{name}")
def clear_flag(name: Name, heed: Heed, bearer: OpsBearer) -> FlagWithHistory:
    """Put a flag back into its usual state. Where it is there already, nothing changes."""
    flag = _known(name)
    flags.clear_flag(heed.committer, flag, by=bearer.name)
    with heed.database.reading() as session:
        return _with_history(session, flag)


def _known(name: str) -> FlagName:
    try:
        return FlagName(name)
    except ValueError:
        raise NotFound(f"There is no such flag; there are {', '.join(FLAGS)}.") from None


def _with_history(session: Session, name: FlagName) -> FlagWithHistory:
    past = [
        PastFlag(
            state=row.state,
            reason=row.reason,
            author=row.author,
            since=row.started_at,
            until=row.until,
            ended_at=row.ended_at,
            ended_by=row.ended_by,
        )
        for row in stored.history(session, name, MOST_REMEMBERED)
    ]
    answer = _answer(name, stored.standing(session).get(name))
    return FlagWithHistory(history=past, **answer.model_dump())


def _answer(name: FlagName, flag: Flag | None) -> FlagAnswer:
    kind = FLAGS[name]
    if flag is not None and is_over(flag):
        flag = None
    return FlagAnswer(
        name=name,
        state=flag.state if flag else kind.usual,
        usual=kind.usual,
        other=kind.other,
        meaning=kind.meaning,
        reason=flag.reason if flag else None,
        author=flag.author if flag else None,
        since=flag.started_at if flag else None,
        until=flag.until if flag else None,
    )
