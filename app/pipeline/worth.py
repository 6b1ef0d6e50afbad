"""What people taught, for the few rows of a round that are strange: their own thresholds, and what is kept of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from app.alerts import life as lives
from detectors.contract import Fields, Floats, Ints, Points, Scores, take
from feedback import guards, hearing, triage
from feedback.hearing import Heard
from feedback.tolerance import Tolerances
from feedback.triage import Candidates


@dataclass(frozen=True)
class Taught:
    """What people taught, for the distinct series of a batch.

    metric: (S,), places in `metric_names`. base: log10 weeks that their alert budgets ask for, (S,).
    """

    learned: Tolerances
    series_id: Ints
    metric: Ints
    metric_names: list[str]
    base: Floats

    def thresholds(
        self, who: Ints, life: Fields, points: Points, scores: Scores, kinds: tuple[str, ...], rules: lives.LifeRules
    ) -> tuple[Floats, Floats]:
        """From which rarity a rise, and a fall, of each is told, if it looks as it does: log10 weeks, (B,) each."""
        up, down = points.threshold_up, points.threshold_down
        if self.learned.are_blank:
            return up, down
        rows = np.flatnonzero((scores.rarity >= self.base[who] - guards.MOST_LOWERED) & (scores.direction != 0))
        if not rows.size:
            return up, down
        base = self.base[who[rows]]
        of = _as_they_stand(take(life, rows), points.only(rows), scores.only(rows), kinds, base, rules)
        falls = of.direction < 0
        general = np.where(falls, down[rows], up[rows]) - base
        heard = self._heard(who[rows], of, points.timestamp[rows], points.cadence[rows])
        asked = base + hearing.decades(self.learned, heard, general, base)
        up, down = up.copy(), down.copy()
        down[rows[falls]], up[rows[~falls]] = asked[falls], asked[~falls]
        return up, down

    def of_run(self, who: int, life: Fields, row: int, local: int, kinds: tuple[str, ...]) -> dict[str, Any]:
        """What is kept of a run beside its evidence: what triage learns from, and what it made of it and why.

        local: wall-clock seconds at its peak.
        """
        of = _at_their_peak(take(life, np.array([row])), np.array([local]), kinds, self.base[[who]])
        seen = triage.features(of)
        kept: dict[str, Any] = {"features": triage.named(seen[0])}
        if not self.learned.triage.is_blank:
            series_id, metric = self.series_id[[who]], [self.metric_names[self.metric[who]]]
            chance = self.learned.triage.worth(seen, of.rarer, series_id, metric, of.direction)
            why = triage.reasons(self.learned.triage, seen[0], int(series_id[0]), metric[0], int(of.direction[0]))
            kept["triage"] = {"worth": round(float(chance[0]), 3), "reasons": why}
        return kept

    def _heard(self, who: Ints, of: Candidates, at: Ints, cadence: Ints) -> Heard:
        return Heard(
            series_id=self.series_id[who],
            metric=[self.metric_names[each] for each in self.metric[who].tolist()],
            direction=of.direction,
            rarer=of.rarer,
            actual=of.actual,
            expected=of.expected,
            at=at,
            opened_at=at - of.lasted.astype(np.int64),
            cadence=cadence,
            seen=triage.features(of),
        )


def _as_they_stand(
    life: Fields, points: Points, scores: Scores, kinds: tuple[str, ...], base: Floats, rules: lives.LifeRules
) -> Candidates:
    """Runs as they would be with these points taken in."""
    at = points.timestamp
    goes_on = lives.goes_on(life, at, points.cadence, rules)
    previous, often = lives.before_a_new_run(life, at)
    since = np.where(goes_on, life["opened_at"] - life["previous_at"], at - previous)
    known = np.where(goes_on, life["previous_at"], previous) > 0
    return Candidates(
        rarer=scores.rarity - base,
        direction=scores.direction.astype(np.float64),
        actual=points.value,
        expected=scores.expected,
        lower=scores.lower,
        upper=scores.upper,
        evidence=_by_kind(scores.evidence, kinds) - base[:, None],
        points=np.where(goes_on, life["abnormal_points"] + 1.0, 1.0),
        lasted=np.where(goes_on, at - life["opened_at"], 0.0),
        since=np.where(known, since, np.inf),
        often=np.where(goes_on, life["often"], often),
        local=points.local,
    )


def _at_their_peak(life: Fields, local: Ints, kinds: tuple[str, ...], base: Floats) -> Candidates:
    return Candidates(
        rarer=life["peak_rarity"] - base,
        direction=life["direction"].astype(np.float64),
        actual=life["peak_value"],
        expected=life["peak_expected"],
        lower=life["peak_lower"],
        upper=life["peak_upper"],
        evidence=_by_kind(life["peak_evidence"], kinds) - base[:, None],
        points=life["abnormal_points"].astype(np.float64),
        lasted=np.asarray(life["last_abnormal_at"] - life["opened_at"], np.float64),
        since=np.where(life["previous_at"] > 0, life["opened_at"] - life["previous_at"], np.inf),
        often=life["often"],
        local=local,
    )


def _by_kind(evidence: np.ndarray, kinds: tuple[str, ...]) -> Floats:
    """The kinds of all detectors, NaN where the series' own has no such kind."""
    found = np.full((len(evidence), len(triage.KINDS)), np.nan)
    for column, kind in enumerate(kinds[: evidence.shape[1]]):
        found[:, triage.KINDS.index(kind)] = evidence[:, column]
    return found
