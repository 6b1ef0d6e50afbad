"""What a label would change, or did: two folds of the labels compared, on the past, the present and the next point."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
from sqlalchemy.orm import Session

from app.pipeline.creations import EVERY_LABEL, NOTHING_STANDS, Conditions, Foretold, Standing
from app.pipeline.hindsight import HINDSIGHT, Decided, hindsight
from app.pipeline.policies import Budgets
from app.pipeline.settle import BY_ITS_RUNS, about, is_cut_short, settled, was_calm_since
from app.store import alerts as stored_alerts
from app.store import labels as stored_labels
from app.store import series as stored_series
from app.store.tables import Alert, Anomaly, Series
from detectors.contract import Floats
from feedback import guards, hearing, triage
from feedback.hearing import Heard
from feedback.labels import (
    EffectOn,
    LabelEvidence,
    Looks,
    Verdict,
    deciding_on,
    disagreeing,
    said_of_alerts,
)
from feedback.receipt import (
    Action,
    Band,
    Change,
    Disagreement,
    Hindsight,
    Power,
    PowerOf,
    Receipt,
    SeriesName,
    Statistics,
)
from feedback.tolerance import Tolerances, fold
from feedback.triage import Unanswered

WEEK = timedelta(days=7)
MOST_PROBED = 5
"""Series of one alert of which is looked at how well they would still be heard, the rarest."""


class Prober(Protocol):
    """Who can say what a series' detector would make of things, under any tolerances."""

    def band(self, series_id: int, tolerances: Tolerances) -> Band | None:
        """The next point's band; None while nothing can be said of the series."""
        ...

    def power(self, series_id: int, worlds: Sequence[Conditions]) -> list[Power] | None:
        """Share of injected drops and spikes told under each; None while nothing can be said of the series."""
        ...


@dataclass(frozen=True)
class Worlds:
    """The labels that stand before and after, and what they teach.

    taught: by labels alone, tolerances: wider for series that settle on a new normal. unlabelled: what would hold if
    there were no label.
    """

    labels: Change[list[LabelEvidence]]
    taught: Change[Tolerances]
    tolerances: Change[Tolerances]
    unlabelled: Tolerances
    budgets: Budgets

    @classmethod
    def of(
        cls,
        before: list[LabelEvidence],
        after: list[LabelEvidence],
        now: datetime,
        budgets: Budgets,
        unanswered: Sequence[Unanswered] = (),
        *,
        widened: Change[dict[int, float]],
        half_life: timedelta = guards.HALF_LIFE,
    ) -> Worlds:
        taught = Change(*(fold(each, now, budgets, unanswered, half_life) for each in (before, after)))
        wider = Change(replace(taught.before, widened=widened.before), replace(taught.after, widened=widened.after))
        return cls(Change(before, after), taught, wider, Tolerances(widened=widened.before), budgets)

    def tolerance(self, series_id: int, metric: str, direction: int) -> Change[float]:
        before, after = (
            each.of(series_id, metric, direction) + each.widened.get(series_id, 0.0)
            for each in (self.tolerances.before, self.tolerances.after)
        )
        return Change(before, after)

    def tells(self, past: Sequence[tuple[Anomaly, Series]]) -> list[tuple[bool, bool]]:
        """Whether each of these, all of one direction, would be told before, and after, its series settled."""
        if not past:
            return []
        heard = _heard(past, self.budgets)
        before, after = (heard.rarer >= self._asked(each, heard) for each in (self.taught.before, self.taught.after))
        return list(zip(before.tolist(), after.tolist(), strict=True))

    def _asked(self, learned: Tolerances, heard: Heard) -> Floats:
        names = sorted(set(heard.metric))
        metric = np.array([names.index(each) for each in heard.metric])
        general = learned.asked(heard.series_id, metric, names, int(heard.direction[0]))
        base = np.array([self.budgets(each) for each in heard.series_id.tolist()])
        return hearing.decades(learned, heard, general, base)

    def worth(self, label: LabelEvidence) -> Change[float] | None:
        """Chance that people want to hear of the like of what was labelled; None where its looks are not known."""
        if label.looks is None or not label.looks.features or label.rarity is None:
            return None
        seen = triage.vector(label.looks.features)[None]
        rarer = np.array([label.rarity - self.budgets(label.series_id)])
        who = np.array([label.series_id]), [label.metric], np.array([float(label.direction)])
        before, after = self.tolerances.before.triage, self.tolerances.after.triage
        return Change(float(before.worth(seen, rarer, *who)[0]), float(after.worth(seen, rarer, *who)[0]))

    def reasons(self, label: LabelEvidence) -> list[str]:
        """Why that is so afterwards."""
        if label.looks is None or not label.looks.features:
            return []
        learned = self.tolerances.after.triage
        return triage.reasons(
            learned, triage.vector(label.looks.features), label.series_id, label.metric, label.direction
        )

    def threshold(self, label: LabelEvidence) -> Change[float]:
        """From which rarity on what looks like what was labelled is told, as long as it repeats nothing."""
        before, after = (_without_repeats(each) for each in (self.tolerances.before, self.tolerances.after))
        return Change(self._threshold(before, label), self._threshold(after, label))

    def threshold_of_repeats(self, label: LabelEvidence) -> Change[float]:
        """The same of what comes back at the same hour of the week."""
        return Change(*(self._threshold(each, label) for each in (self.tolerances.before, self.tolerances.after)))

    def _threshold(self, learned: Tolerances, label: LabelEvidence) -> float:
        base = self.budgets(label.series_id)
        if label.looks is None or label.rarity is None:
            general = learned.asked(np.array([label.series_id]), np.array([0]), [label.metric], label.direction)
            return base + float(general[0])
        again = int((label.started_at + WEEK).timestamp())
        rarer = label.rarity - base
        who = label.series_id, label.metric, label.direction
        return base + float(self._asked(learned, hearing.one(*who, rarer, label.looks, at=again, opened_at=again))[0])


def draw_up_receipt(
    session: Session,
    prober: Prober,
    worlds: Worlds,
    label: LabelEvidence,
    series: Series,
    *,
    action: Action,
    beside: Sequence[Series] = (),
    source: str,
    comment: str | None,
    now: datetime,
    made: Foretold,
    unmade: Standing = NOTHING_STANDS,
) -> Receipt:
    """The receipt of what lies between two worlds that differ by `label`, which is about the series `beside` too.

    made: what the label creates, or lets another create again. unmade: what was created and is taken back.
    """
    who = (series.id, series.metric, label.direction)
    further = [name_of(each) for each in beside]
    beyond = _beyond(session, made, [series, *beside])
    no_longer_sent, now_sent = _hindsight(session, worlds, label, now, Change(unmade.alert_ids, made.alert_ids))
    return Receipt(
        action=action,
        label_id=label.label_id,
        verdict=label.verdict,
        author=label.author,
        source=source,
        comment=comment,
        weight=label.weight,
        series=name_of(series),
        beside=further,
        direction=label.direction,
        started_at=label.started_at,
        ended_at=label.ended_at,
        effects=label.effects,
        tolerance=worlds.tolerance(*who),
        siblings=_siblings(worlds, label),
        threshold=worlds.threshold(label),
        threshold_of_repeats=worlds.threshold_of_repeats(label),
        effective_from=now,
        alert_id=label.alert_id,
        alert_status=_alert_status(session, worlds, label.alert_id, unmade),
        band=_band(prober, worlds, series.id, made, unmade),
        created=made.words,
        power=_power(prober, worlds, [*[series, *beside][:MOST_PROBED], *beyond[:MOST_PROBED]], made, unmade),
        beyond=[name_of(each) for each in beyond],
        no_longer_sent=no_longer_sent,
        now_sent=now_sent,
        worth=worlds.worth(label),
        reasons=worlds.reasons(label),
        pinned_by=[each for each in worlds.tolerances.after.share(*who).pinned_by if each != label.label_id],
        disagreements=_disagreements(worlds, label),
        statistics=_statistics(session, worlds.labels.after, now),
    )


def _heard(past: Sequence[tuple[Anomaly, Series]], budgets: Budgets) -> Heard:
    """Anomalies, each with its series, as they stood at their peaks."""
    looks = [
        stored_labels.looks_of(stored_labels.kept_of(anomaly)) or Looks(anomaly.actual, anomaly.actual)
        for anomaly, _ in past
    ]
    return Heard(
        series_id=np.array([series.id for _, series in past]),
        metric=[series.metric for _, series in past],
        direction=np.array([float(anomaly.direction) for anomaly, _ in past]),
        rarer=np.array([anomaly.rarity - budgets(series.id) for anomaly, series in past]),
        actual=np.array([each.actual for each in looks]),
        expected=np.array([each.expected for each in looks]),
        at=np.array([int(anomaly.peak_at.timestamp()) for anomaly, _ in past]),
        opened_at=np.array([int(anomaly.started_at.timestamp()) for anomaly, _ in past]),
        cadence=np.array([series.cadence_seconds or 0 for _, series in past]),
        seen=np.stack([triage.vector(each.features) for each in looks]),
    )


def _without_repeats(learned: Tolerances) -> Tolerances:
    """As if no false alarm had looks that could come back."""
    real = {series: tuple(each for each in judged if each.is_real) for series, judged in learned.judgements.items()}
    return replace(learned, judgements=real)


def name_of(series: Series) -> SeriesName:
    return SeriesName(series.id, series.metric, series.dimensions)


def _alert_status(session: Session, worlds: Worlds, alert_id: int | None, unmade: Standing) -> Change[str] | None:
    alert = stored_alerts.get(session, alert_id) if alert_id is not None else None
    if alert is None:
        return None
    return Change(alert.status, _foreseen(session, worlds, alert, unmade))


def _foreseen(session: Session, worlds: Worlds, alert: Alert, unmade: Standing) -> str:
    """What will become of an alert. A run that people had ended goes on where nothing that they said ends it now."""
    runs = stored_alerts.anomalies_of(session, [alert.id]).get(alert.id)
    if not runs:
        return alert.status
    around = about(session, [alert], {alert.id: runs}, without_labels=unmade.label_ids)[alert.id]
    around = replace(around, labels=[each for each in worlds.labels.after if each.alert_id == alert.id])
    status = settled(alert, runs, around).status
    was_held = alert.status not in BY_ITS_RUNS
    if not was_held or status != "resolved":
        return status
    forgotten = any(each.alert_id == alert.id and each.verdict is Verdict.NEW_NORMAL for each in worlds.labels.before)
    going_on = (is_cut_short(run) and (forgotten or not was_calm_since(session, run)) for run in runs)
    return "firing" if any(going_on) else status


def _siblings(worlds: Worlds, label: LabelEvidence) -> Change[float]:
    """Tolerance of a series of the same metric that nobody has labelled."""
    return worlds.tolerance(-1, label.metric, label.direction)


def _band(
    prober: Prober, worlds: Worlds, series_id: int, made: Foretold, unmade: Standing
) -> Change[Band | None] | None:
    before, after = (prober.band(series_id, each) for each in (worlds.tolerances.before, worlds.tolerances.after))
    if before is None or after is None:
        return None
    return Change(unmade.with_it(before), made.band(unmade.without_it(after)))


def _beyond(session: Session, made: Foretold, own: Sequence[Series]) -> list[Series]:
    """The series that what is made is about and the label is not."""
    reached = {*made.widened, *(each for one in made.to_come for each in one.series_id.tolist())}
    known = stored_series.get_many(session, reached - {each.id for each in own})
    return [known[each] for each in sorted(known)]


def _power(prober: Prober, worlds: Worlds, series: Sequence[Series], made: Foretold, unmade: Standing) -> list[PowerOf]:
    """How well these series are heard, those of which nothing can be said left out."""
    ways = (
        Conditions(worlds.unlabelled, without=EVERY_LABEL),
        Conditions(worlds.tolerances.before),
        Conditions(worlds.tolerances.after, made.to_come, unmade.label_ids),
    )
    found = ((each, prober.power(each.id, ways)) for each in series)
    return [PowerOf(name_of(each), *powers) for each, powers in found if powers is not None]


def _hindsight(
    session: Session, worlds: Worlds, label: LabelEvidence, now: datetime, explained: Change[Collection[int]]
) -> tuple[Hindsight, Hindsight]:
    """Alerts of the last weeks that would no longer be sent, and that now would be."""
    past = _weighed(session, worlds, label, now)
    told = worlds.tells(past)
    decided = [Decided(*run, *either) for run, either in zip(past, told, strict=True)]
    return hindsight(session, decided, explained, now)


def _weighed(session: Session, worlds: Worlds, label: LabelEvidence, now: datetime) -> Sequence[tuple[Anomaly, Series]]:
    """Anomalies that what labels teach may decide one way before, and the other way after."""
    if label.direction == 0 or worlds.taught.before == worlds.taught.after:
        return []
    taught = max(each.furthest(label.metric, label.direction) for each in (worlds.taught.before, worlds.taught.after))
    return stored_alerts.decided_by_rarity(
        session,
        since=now - HINDSIGHT,
        direction=label.direction,
        series_id=label.series_id,
        floor=worlds.budgets.lowest - guards.MOST_LOWERED,
        ceiling=max(worlds.budgets.highest + max(guards.SIBLING_CEILING, taught), guards.SEVERE),
    )


def _disagreements(worlds: Worlds, label: LabelEvidence) -> list[Disagreement]:
    same = [each for each in worlds.labels.after if each.subject == label.subject]
    deciding = {effect: {each.label_id for each in deciding_on(effect, same)} for effect in EffectOn}
    found = []
    for other in disagreeing(label, same):
        on = label.in_common(other)
        found.append(Disagreement(other, any(other.label_id in deciding[effect] for effect in on), on))
    return found


def _statistics(session: Session, standing: Sequence[LabelEvidence], now: datetime) -> Statistics:
    since = now - HINDSIGHT
    of_alerts = said_of_alerts(standing)
    said = [each.verdict for each in of_alerts.values() if each.started_at >= since]
    lost = [alert_id for alert_id, each in of_alerts.items() if each.verdict is Verdict.BAD_DATA]
    return Statistics(
        alerts=stored_alerts.count_sent(session, since, without=lost),
        real=said.count(Verdict.REAL),
        false_alarm=said.count(Verdict.FALSE_ALARM),
    )
