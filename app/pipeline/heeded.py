"""Of all labels about something, those that decide on what is created; what is made and taken back as that changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.pipeline.creations import (
    NOTHING_SAID,
    OVERRULED,
    Foretold,
    Made,
    Maker,
    Wanted,
    all_foretold,
    unchanged,
)
from app.store import labels as stored_labels
from app.store.database import Database
from app.store.tables import Label
from feedback.labels import EffectOn, LabelEvidence, deciding_on


def creating(labels: Iterable[LabelEvidence]) -> set[int]:
    """Ids of the labels that decide on what is created."""
    return {each.label_id for each in deciding_on(EffectOn.CREATES, labels)}


class Heeded:
    """Who decides on what is created, of the labels that may be about what this one is about."""

    def __init__(self, database: Database, maker: Maker, label: Label) -> None:
        self._database, self._maker, self._label = database, maker, label
        self._of: dict[str, Any] = {"series_ids": [label.series_id]}
        if label.alert_id is not None:
            self._of = {"alert_ids": [label.alert_id]}
        self._before = self._now()

    def _now(self) -> set[int]:
        with self._database.reading() as session:
            return creating(stored_labels.standing_evidence(session, **self._of))

    def pass_on(self, now: datetime, wanted: Wanted = NOTHING_SAID) -> Made | None:
        """Once the label is given or taken back: take back what labels made that no longer decide, and make what those
        create that now do. Returns what this label made."""
        after, itself = self._now(), {self._label.id}
        self._hand_over(self._before - after - itself, after - self._before - itself, now)
        return self._maker.make(self._label, wanted) if self._label.id in after else None

    def make_up_for(self, now: datetime) -> None:
        """As `pass_on`, where nobody knows how much of that was done: whatever is not as it is to be."""
        after = self._now()
        with self._database.reading() as session:
            standing = {each.label_id for each in stored_labels.standing_evidence(session, **self._of)}
        self._hand_over(standing - after, after, now)

    def _hand_over(self, overruled: set[int], heeded: set[int], now: datetime) -> None:
        with self._database.reading() as session:
            no_longer = stored_labels.get_many(session, overruled)
            labels = stored_labels.get_many(session, heeded)
            again = [(each, self._maker.wanted_again(session, each)) for each in labels]
        for each in no_longer:
            self._maker.unmake(each, by=OVERRULED, now=now)
        for each, as_before in again:
            if as_before is not None:
                self._maker.make(each, as_before)


def made_again(maker: Maker, session: Session, undone: Label, ids: set[int]) -> Foretold:
    """What the labels with these ids will create, which decide once one of the same series is taken back."""
    heeded = stored_labels.get_many(session, ids)
    again = [(each, maker.wanted_again(session, each)) for each in heeded]
    foretold = [(each, maker.foretell(session, each, wanted)) for each, wanted in again if wanted is not None]
    same = [each if of.series_id == undone.series_id else replace(each, band=unchanged) for of, each in foretold]
    return all_foretold(same)
