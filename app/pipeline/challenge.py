"""Train series anew and let the new baselines challenge the old ones: what was fitted, and who won.

Nothing here touches a partition: it takes long, and runs on the thread of the job while points are taken in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.pipeline.candidates import Candidates
from app.pipeline.fall_back import FALL_BACK
from detectors import registry, shift, training, trial
from detectors.contract import Bools, Detector, Fields, Floats, History, Ints, put, take
from detectors.robust import center_and_unit, mean
from detectors.seasonal import Seasonal, rescale
from detectors.shift import factor_now
from feedback.labels import EffectOn, LabelEvidence, Verdict, deciding_on
from feedback.retrain import (
    CLEARLY,
    CODE,
    STRANGE,
    Figures,
    Reason,
    compared,
    decide,
    expectations,
    farness,
    promoted,
)

RECENT_SECONDS, FEWEST_RECENT_COLUMNS = 7 * training.DAY, 14
RECENT_SHARE = 0.2
PARTS = 7
"""The recent past is a week, or 14 points of slower ones, or the last fifth of a shorter past, judged in so many parts
side by side."""
FEWEST_WARM, MOST_WARM = 24, 120
"""Columns before a stretch from which a level is found again."""
MOST_CAUGHT_UP = 600
"""Columns after the end of a window from which a state is brought up to now."""
SEEN = 0.8
"""Share of the recent past that an old baseline has learned from, from which the new one may have too."""
PHASES = 42
"""Columns of a week at which expectations are compared."""
LONGEST_LABEL = 48
"""Columns of a labelled span that are judged again."""
HEARD = {Verdict.REAL, Verdict.MISSED}


@dataclass(frozen=True)
class Outcome:
    """What was decided of candidates: codes of reasons, who is promoted, on which figures, and what was fitted."""

    codes: Ints
    promoted: Bools
    figures: Figures
    fitted: list[tuple[Ints, training.Trained]]


def challenge(of: Candidates) -> Outcome:
    """Fit new baselines, and decide for each series whether its own takes the place of the old one."""
    figures = Figures.unknown(of.slots.size)
    recent = _recent_columns(of.history)
    _look_at_data(of, recent, figures)
    fitted, new = _fit(of.lesson.history, of.to_fit)
    standing = replace(of.standing, fitted=_all_trained(new, of.slots.size))
    if (standing.trained & standing.fitted).any():
        _compare_recent(of, _without_recent(of, recent, new), recent, figures)
        _compare_farness(of, recent, figures)
        _compare_weeks(of, new, figures)
        _compare_labels(of, new, figures)
        _compare_factors(of, figures)
    codes = decide(figures, standing, of.size)
    wins = promoted(codes, standing)
    brought_up = [(rows, _brought_up(of, rows, each)) for rows, each in fitted]
    _follow(of, figures, codes == CODE[Reason.FOLLOWED], brought_up)
    return Outcome(codes, wins, figures, brought_up)


def failed(of: Candidates) -> Outcome:
    """What comes of candidates whose detector raised: they keep what they have."""
    count = of.slots.size
    return Outcome(np.full(count, CODE[Reason.NOT_FITTED]), np.zeros(count, bool), Figures.unknown(count), [])


Baselines = list[tuple[Detector, Ints, Fields]]
"""Baselines by detector, with the rows of the candidates that they are of."""


def _fit(history: History, to_fit: Ints) -> tuple[list[tuple[Ints, training.Trained]], Baselines]:
    fitted, baselines = [], []
    codes = list(registry.DETECTORS.values())
    for code in np.unique(to_fit).tolist():
        mine = np.flatnonzero(to_fit == code)
        each = training.fit_many(codes[code], history.of_series(mine), fall_back=registry.get(FALL_BACK))
        fitted.append((mine, each))
        baselines.append((codes[code], mine, each.baselines[codes[code].name]))
    return fitted, baselines


def _all_trained(new: Baselines, count: int) -> Bools:
    trained = np.zeros(count, bool)
    for _, mine, baseline in new:
        trained[mine] = baseline["trained"]
    return trained


def _recent_columns(history: History) -> int:
    """So many columns at the end are the recent past."""
    columns = history.timestamp.size
    wanted = max(RECENT_SECONDS // history.cadence, FEWEST_RECENT_COLUMNS)
    return int(np.clip(wanted, 1, max(int(RECENT_SHARE * columns), 1)))


def _look_at_data(of: Candidates, recent: int, figures: Figures) -> None:
    """How much is known, and whether it varies, of the recent past and of before."""
    before, after = of.raw.values[:, :-recent], of.raw.values[:, -recent:]
    begun = np.cumsum(np.isfinite(of.raw.values), axis=1)[:, :-recent] > 0
    figures.put(
        np.arange(of.slots.size),
        points=np.isfinite(of.history.values[:, of.window]).sum(axis=1).astype(float),
        needed=of.needed,
        recent=np.isfinite(of.history.values[:, -recent:]).sum(axis=1).astype(float),
        known=np.minimum(np.isfinite(after).mean(axis=1), of.pace),
        known_before=np.isfinite(before).sum(axis=1) / np.maximum(begun.sum(axis=1), 1),
        repeated=_repeated(after),
        repeated_before=_repeated(before),
    )


def _repeated(values: Floats) -> Floats:
    step = np.diff(values, axis=1)
    return mean(np.where(np.isnan(step), np.nan, (step == 0).astype(float)), 1)


def _without_recent(of: Candidates, recent: int, new: Baselines) -> Baselines:
    """New baselines that know of the recent past no more than the old ones do, which may have learned from it."""
    first = of.history.timestamp[-recent]
    cut = int(np.searchsorted(of.lesson.history.timestamp, first))
    if cut in (0, of.lesson.history.timestamp.size):
        return new
    seen = of.trained_to >= first + SEEN * (of.history.timestamp[-1] - first)
    fair = [(detector, mine[seen[mine]], take(fields, seen[mine])) for detector, mine, fields in new]
    blind = np.flatnonzero(~seen)
    if blind.size:
        past = of.lesson.history.within(slice(cut)).of_series(blind)
        fair += [(detector, blind[mine], fields) for detector, mine, fields in _fit(past, of.to_fit[blind])[1]]
    return [each for each in fair if each[1].size]


def _compare_recent(of: Candidates, new: Baselines, recent: int, figures: Figures) -> None:
    (expected_old, rarity_old), (expected_new, rarity_new) = (
        _judge_recent(of, baselines, recent) for baselines in (of.old, new)
    )
    value = of.history.values[:, -recent:]
    _, unit = center_and_unit(of.history.values)
    rows = np.arange(of.slots.size)
    figures.put(rows, **compared(value, expected_old, expected_new, unit, PARTS))
    figures.put(rows, strange_old=_strange(rarity_old), strange_new=_strange(rarity_new))


def _strange(rarity: Floats) -> Floats:
    return mean(np.where(np.isnan(rarity), np.nan, (rarity >= STRANGE).astype(float)), 1)


def _compare_farness(of: Candidates, recent: int, figures: Figures) -> None:
    """Whether the recent past lies farther from the old baseline than any part of the past that it was learned from."""
    size = of.history.timestamp.size
    columns = np.unique(np.linspace(0, size - 1, min(size, PHASES * (-(-size // recent)))).astype(np.int64))
    expected, _ = _expected(of, of.old, columns)
    part = (size - 1 - columns) // recent
    unknown = (of.history.timestamp[columns] > of.trained_to[:, None]) & (part > 0)
    value = np.where(unknown, np.nan, of.history.values[:, columns])
    figures.put(np.arange(of.slots.size), **farness(value, expected, part))


def _compare_factors(of: Candidates, figures: Figures) -> None:
    """Whether the last days are what the old baseline expects, times something, of those that can be moved."""
    columns = _last_days(of.history)
    for detector, rows, baseline in _movable(of):
        expected, _ = _expected(of, [(detector, rows, baseline)], columns)
        residual = (of.history.values[:, columns] - expected)[rows]
        figures.put(rows, factor=factor_now(residual, expected[rows], of.history.cadence))


def _last_days(history: History) -> Ints:
    size = history.timestamp.size
    return np.arange(max(size - shift.columns_looked_at(history.cadence), 0), size)


def _movable(of: Candidates) -> Baselines:
    """The old baselines whose profile can be moved by a factor: seasonal ones, not in logarithms."""
    seasonal = ((rows, old) for detector, rows, old in of.old if detector.name == Seasonal.name)
    plain = ((rows, old, np.flatnonzero(old["log_floor"] <= 0)) for rows, old in seasonal)
    return [(Seasonal(), rows[mine], take(old, mine)) for rows, old, mine in plain if mine.size]


def _follow(of: Candidates, figures: Figures, followed: Bools, fitted: list[tuple[Ints, training.Trained]]) -> None:
    """Put the old baselines of those that are followed, each times its factor, in the place of what was fitted."""
    size = of.history.timestamp.size
    last, since = np.array([size - 1]), size - shift.DAYS * training.DAY // of.history.cadence
    for detector, rows, old in _movable(of):
        mine = np.flatnonzero(followed[rows])
        if not mine.size:
            continue
        rows, baseline, state = rows[mine], take(old, mine), detector.cold(mine.size)[1]
        usual = _expected(of, [(detector, rows, baseline)], last)[0][rows, 0] / baseline["unit"]
        rescale(baseline, state, np.arange(rows.size), figures.factor[rows], usual)
        state = trial.go_on(detector, baseline, state, of.history.of_series(rows), first=since)[1]
        for there, each in fitted:
            at, own = np.flatnonzero(np.isin(there, rows)), np.flatnonzero(np.isin(rows, there))
            put(each.baselines[detector.name], at, take(baseline, own))
            put(each.states[detector.name], at, take(state, own))


def _judge_recent(of: Candidates, baselines: Baselines, recent: int) -> tuple[Floats, Floats]:
    """What baselines expect of the recent columns, and how rare each point is to them: (S, recent)."""
    expected, rarity = (np.full((of.slots.size, recent), np.nan) for _ in range(2))
    length = -(-recent // PARTS)
    first = of.history.timestamp.size - recent + length * np.arange(PARTS)
    for detector, mine, baseline in baselines:
        part = of.history.of_series(mine)
        row = np.repeat(np.arange(mine.size), PARTS)
        above = of.threshold[mine][row]
        asked = trial.Stretches(row, np.tile(first, mine.size), length, above, above)
        said, _ = trial.judge_again(detector, baseline, part, asked, warm=_warm(part))
        expected[mine] = said.expected.reshape(mine.size, -1)[:, :recent]
        rarity[mine] = said.rarity.reshape(mine.size, -1)[:, :recent]
    return expected, rarity


def _warm(history: History) -> int:
    return int(np.clip(training.DAY // history.cadence, FEWEST_WARM, MOST_WARM))


def _compare_weeks(of: Candidates, new: Baselines, figures: Figures) -> None:
    """What each baseline would expect through a week, and how wide its band would be."""
    week = min(max(7 * training.DAY // of.history.cadence, 1), of.history.timestamp.size)
    columns = np.unique(np.linspace(-week, -1, PHASES).astype(np.int64)) + of.history.timestamp.size
    old, fresh = (_expected(of, baselines, columns) for baselines in (of.old, new))
    figures.put(np.arange(of.slots.size), **expectations(old, fresh, of.size))


def _expected(of: Candidates, baselines: Baselines, columns: Ints) -> tuple[Floats, Floats]:
    """What baselines alone expect in some columns, and half their bands: (S, columns)."""
    expected, half = (np.full((of.slots.size, columns.size), np.nan) for _ in range(2))
    for detector, mine, baseline in baselines:
        up, part = of.threshold[mine], of.history.of_series(mine)
        expected[mine], half[mine] = trial.expected_at(detector, baseline, part, columns, up, up)
    return expected, half


def _compare_labels(of: Candidates, new: Baselines, figures: Figures) -> None:
    """Which labelled spans would no longer be told, or newly be told."""
    nothing = np.zeros(of.slots.size)
    counted = {name: nothing.copy() for name in ("real", "real_unheard", "false", "false_told")}
    row_of = {series_id: row for row, series_id in enumerate(of.ids.tolist())}
    heeded = deciding_on(EffectOn.TOLERANCE, of.labels)
    spans = [each for each in heeded if each.verdict in {*HEARD, Verdict.FALSE_ALARM} and _is_in_reach(of, each)]
    if spans:
        row = np.array([row_of[each.series_id] for each in spans], np.int64)
        old, fresh = (_rarest(of, baselines, spans, row) for baselines in (of.old, new))
        asked = of.threshold[row]
        is_real = np.array([each.verdict in HEARD for each in spans])
        unheard = is_real & (old >= asked) & (fresh < np.minimum(asked, old - CLEARLY))
        told = ~is_real & (old < asked) & (fresh >= np.maximum(asked, old + CLEARLY))
        for name, which in (("real", is_real), ("real_unheard", unheard), ("false", ~is_real), ("false_told", told)):
            np.add.at(counted[name], row[which], 1)
    figures.put(np.arange(of.slots.size), **counted)


def _is_in_reach(of: Candidates, label: LabelEvidence) -> bool:
    return bool(of.raw.timestamp[0] + training.DAY <= label.started_at.timestamp() <= of.raw.timestamp[-1])


def _rarest(of: Candidates, baselines: Baselines, spans: Sequence[LabelEvidence], row: Ints) -> Floats:
    """Log10 weeks of the rarest point, in the label's direction, of each labelled span; -inf where none speaks."""
    start, end = (
        np.searchsorted(of.raw.timestamp, [int(getattr(each, name).timestamp()) for each in spans], side="left")
        for name in ("started_at", "ended_at")
    )
    length = np.minimum(np.maximum(end - start + 1, 1), LONGEST_LABEL)
    direction = np.array([each.direction for each in spans])
    found = np.full(len(spans), -np.inf)
    for detector, mine, baseline in baselines:
        here = np.flatnonzero(np.isin(row, mine))
        if not here.size:
            continue
        above = of.threshold[row[here]]
        asked = trial.Stretches(
            np.searchsorted(mine, row[here]), start[here].astype(np.int64), int(length[here].max()), above, above
        )
        part = of.raw.of_series(mine)
        said, _ = trial.judge_again(detector, baseline, part, asked, warm=_warm(part))
        inside = np.arange(asked.length) < length[here][:, None]
        speaks = inside & (said.direction == direction[here][:, None]) & np.isfinite(said.rarity)
        found[here] = np.where(speaks, said.rarity, -np.inf).max(axis=1)
    return found


def _brought_up(of: Candidates, rows: Ints, fitted: training.Trained) -> training.Trained:
    """The states after the newest point, where the window that was learned from ended before it."""
    learned, now = of.lesson.history.timestamp[-1], of.history.timestamp
    first = max(int(np.searchsorted(now, learned, side="right")), now.size - MOST_CAUGHT_UP)
    if first >= now.size:
        return fitted
    part = of.history.of_series(rows)
    states = {
        name: trial.go_on(registry.get(name), fitted.baselines[name], state, part, first=first)[1]
        for name, state in fitted.states.items()
    }
    return replace(fitted, states=states)
