"""What a verdict creates besides its label: what may be asked of it, and who makes it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
from sqlalchemy.orm import Session

from app.errors import Unprocessable
from app.store.series import Matcher
from app.store.tables import Label, LabelledSeries
from detectors.contract import Ints
from feedback.events import Effect
from feedback.labels import Creates, Verdict
from feedback.receipt import Band
from feedback.tolerance import Tolerances


@dataclass(frozen=True)
class Wanted:
    """What somebody says of the event, gap or new normal beyond pressing the button; what is left out is told from
    the labelled anomaly. longest: after which a new normal counts as settled. matcher: other series than the labelled
    one."""

    name: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    rrule: str | None = None
    timezone: str | None = None
    matcher: Matcher | None = None
    longest: timedelta | None = None
    retrain_when_backfilled: bool = True


NOTHING_SAID = Wanted()

ONLY_OF = {
    "rrule": {Creates.EVENT},
    "timezone": {Creates.EVENT},
    "end": {Creates.EVENT, Creates.GAP},
    "longest": {Creates.DESENSITISATION},
    "retrain_when_backfilled": {Creates.GAP},
}
"""What may be said of some of what verdicts create; the rest of all of it."""
NAMES = {"longest": "max_duration_days"}
INSTEAD = {
    "rrule": "only an event recurs. Answer `event`",
    "timezone": "only an event recurs. Answer `event`",
    "end": "a new level has no end. Send `max_duration_days`, after which it counts as settled",
    "longest": "only a new normal settles. Send an `end`",
    "retrain_when_backfilled": "only a gap is filled. Retrain with POST /v1/retrains",
}


def check_what_is_said(verdict: Verdict, creates: Creates, wanted: Wanted) -> None:
    """Refuse what has no meaning for what the verdict creates. Raises Unprocessable."""
    if creates is Creates.NOTHING and wanted != NOTHING_SAID:
        raise Unprocessable(f"`{verdict}` creates nothing here that could be described. Leave `creates` out.")
    for field_name, kinds in ONLY_OF.items():
        if creates not in kinds and getattr(wanted, field_name) != getattr(NOTHING_SAID, field_name):
            name = NAMES.get(field_name, field_name)
            raise Unprocessable(f"`{name}` says nothing of `{verdict}`: {INSTEAD[field_name]}, or leave it out.")


def kept(wanted: Wanted) -> dict[str, Any] | None:
    """As it is stored with the label."""
    return None if wanted == NOTHING_SAID else msgspec.to_builtins(wanted)


def said(stored: Mapping[str, Any] | None) -> Wanted:
    """What was stored with the label."""
    return NOTHING_SAID if stored is None else msgspec.convert(stored, Wanted)


OVERRULED = "another verdict"
"""Who takes back what a label made that stands but no longer decides."""


def unchanged(band: Band) -> Band:
    return band


@dataclass(frozen=True)
class ToCome:
    """An event or a gap that a verdict will make. start, end: its spans in unix seconds, (K,). series_id: (S,).

    effect: what the event does; None: a gap.
    """

    start: Ints
    end: Ints
    series_id: Ints
    effect: Effect | None = None


EVERY_LABEL = range(1, 2**63)


@dataclass(frozen=True)
class Conditions:
    """What points to come meet: tolerances, and besides the events and gaps that stand some that are to come.

    without: ids of labels that no longer have what they made.
    """

    tolerances: Tolerances
    to_come: Sequence[ToCome] = ()
    without: Container[int] = ()


@dataclass(frozen=True)
class Foretold:
    """What a verdict will create, before it does. words: in sentences. to_come: the events and gaps among it.

    alert_ids: of what people were told, what it explains or takes back. widened: decades of tolerance more, by series.
    band: what becomes of the next point's band of the labelled series; None where that point will not be judged.
    """

    words: Sequence[str] = ()
    alert_ids: Collection[int] = ()
    widened: Mapping[int, float] = field(default_factory=dict)
    band: Callable[[Band], Band | None] = unchanged
    to_come: Sequence[ToCome] = ()


NOTHING_MADE = Foretold()


@dataclass(frozen=True)
class Standing:
    """What a label has created, as long as it stands. label_ids: of that label, or of several. alert_ids: of what
    people were told, what nothing else explains or took back. with_it, without_it: what becomes of the next point's
    band of the labelled series; None where that point is not judged. exists: whether there is anything."""

    label_ids: Collection[int] = ()
    alert_ids: Collection[int] = ()
    exists: bool = False
    with_it: Callable[[Band], Band | None] = unchanged
    without_it: Callable[[Band], Band] = unchanged


NOTHING_STANDS = Standing()


def all_foretold(those: Sequence[Foretold]) -> Foretold:
    """What several verdicts will create together."""
    return Foretold(
        [sentence for each in those for sentence in each.words],
        {alert_id for each in those for alert_id in each.alert_ids},
        {series_id: decades for each in those for series_id, decades in each.widened.items()},
        _one_after_the_other([each.band for each in those]),
        [one for each in those for one in each.to_come],
    )


def all_standing(those: Sequence[Standing]) -> Standing:
    """What several labels have created together."""

    def without_it(band: Band) -> Band:
        for each in those:
            band = each.without_it(band)
        return band

    return Standing(
        {label_id for each in those for label_id in each.label_ids},
        {alert_id for each in those for alert_id in each.alert_ids},
        any(each.exists for each in those),
        _one_after_the_other([each.with_it for each in those]),
        without_it,
    )


def _one_after_the_other(bands: Sequence[Callable[[Band], Band | None]]) -> Callable[[Band], Band | None]:
    def band_of_all(band: Band | None) -> Band | None:
        for each in bands:
            band = each(band) if band is not None else None
        return band

    return band_of_all


@dataclass(frozen=True)
class Made:
    """What a label created: `event`, `gap` or `desensitisation`, and its id."""

    kind: str
    id: int

    def json(self) -> dict[str, Any]:
        return {"kind": self.kind, "id": self.id}


class Maker(Protocol):
    """Who makes what verdicts create, and takes it back with them."""

    def check(self, session: Session, label: Label, wanted: Wanted, further: Sequence[LabelledSeries]) -> None:
        """Refuse what is said of what a label will make, and of its `further` series, that is not stored yet.

        Raises Unprocessable where it has no meaning, or where an event would not explain what is labelled.
        """
        ...

    def foretell(
        self, session: Session, label: Label, wanted: Wanted, further: Sequence[LabelledSeries] | None = None
    ) -> Foretold:
        """What it will make; raises Unprocessable where it can't.

        further: what the label says of other series, of one that is not stored yet.
        """
        ...

    def standing(self, session: Session, label: Label) -> Standing:
        """What it has made that nobody has taken back yet."""
        ...

    def wanted_again(self, session: Session, label: Label) -> Wanted | None:
        """What a label that is heeded again is to make; None: nothing, since somebody took it back by itself."""
        ...

    def make(self, label: Label, wanted: Wanted) -> Made | None:
        """Make it for a label that is stored; on the committer's thread, so that no point comes in between."""
        ...

    def unmake(self, label: Label, *, by: str, now: datetime) -> None:
        """Take back what a label made that is revoked, or no longer heeded: then `by` is OVERRULED."""
        ...
