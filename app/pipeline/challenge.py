"""Train series anew and let the new baselines challenge the old ones: what was read, what was fitted, who won.

Reading and putting in place run on the committer's thread, between two groups of points; fitting and judging, which
take long, on the thread of the job.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy.orm import Session

from app.partitions.partition import Partition
from app.pipeline.borrow import Lesson, lessons
from app.pipeline.fall_back import FALL_BACK
from app.pipeline.train import LONGEST_WINDOW_STEPS, history_of, overlaid, window
from app.store import labels as stored_labels
from app.store import points
from app.store.tables import Label
from detectors import registry, training, trial
from detectors.contract import Bools, Detector, Fields, Floats, History, Ints, take
from detectors.robust import center_and_unit, mean
from feedback.labels import Verdict
from feedback.retrain import CLEARLY, STRANGE, Figures, Standing, compared, decide, expectations, farness, promoted
from feedback.training_mask import Exclusions, SharedSpans

RECENT_SECONDS = 7 * training.DAY
RECENT_SHARE = 0.2
PARTS = 7
"""The recent past is a week, or the last fifth of a shorter one, judged in so many parts side by side."""
FEWEST_WARM, MOST_WARM = 24, 120
"""Columns before a stretch from which a level is found again."""
MOST_CAUGHT_UP = 600
"""Columns after the end of a window from which a state is brought up to now."""
SEEN = 0.8
"""Share of the recent past that an old baseline has learned from, from which the new one may have too."""
PHASES = 42
"""Columns of a week at which expectations are compared."""
MOST_LABELS = 200
LONGEST_LABEL = 48
"""Columns of a labelled span that are judged again."""
NEEDED = 0.7
FEWEST_PACE = 48
"""Points that should have come since the last training, from which their pace is told."""
HEARD = {Verdict.REAL, Verdict.MISSED}


@dataclass(frozen=True)
class Asked:
    """What a retrain learns from. start, end: unix seconds, None where it is open; without: spans, ends included."""

    start: int | None
    end: int | None
    without: Sequence[tuple[int, int]]
    force: bool


@dataclass(frozen=True)
class Candidates:
    """Series that learn from one grid, as they were when they were read; arrays (S,), by the rows of the lesson.

    lesson: what the new baselines are fitted on. window: the columns of the history that it is of. history: all that
    may be learned, up to now. raw: the same as it came. old: the baselines by model, with the rows that they are of.
    life, point_count, last_at, newest_log: what a state fitted on this goes on from. trained_to: unix seconds up to
    which the old baselines know. pace: how many points came since, as a share of as many as usual.
    """

    slots: Ints
    ids: Ints
    lesson: Lesson
    window: slice
    history: History
    raw: History
    to_fit: Ints
    old: list[tuple[Detector, Ints, Fields]]
    life: Fields
    point_count: Ints
    last_at: Ints
    trained_to: Ints
    newest_log: int
    pace: Floats
    needed: Floats
    threshold: Floats
    size: Floats
    standing: Standing
    labels: list[Label]


@dataclass(frozen=True)
class Outcome:
    """What was decided of candidates: codes of reasons, who is promoted, on which figures, and what was fitted."""

    codes: Ints
    promoted: Bools
    figures: Figures
    fitted: list[tuple[Ints, training.Trained]]


def read_candidates(
    session: Session,
    partitions: Sequence[Partition],
    partition: Partition,
    slots: Ints,
    excluded: Exclusions,
    in_gap: Ints,
    asked: Asked,
) -> Iterator[Candidates]:
    """What is known of these slots, in groups that learn together. Series without a point in reach are left out."""
    ids = partition.columns["series_id"][slots].astype(np.int64)
    excluded = _with_more(excluded, ids, asked)
    start, end = _reach(partition, slots, asked)
    changed = {each.series_id for each in excluded.level_changes if each.start >= start}
    labelled = stored_labels.standing_of_series(session, ids.tolist())[-MOST_LABELS:]
    for grid in points.read_grids(session, partition.number, start, end, series_ids=ids.tolist()):
        there = partition.slots_of(grid.series_ids)
        history = history_of(partition, grid, excluded)
        raw = replace(history, values=overlaid(partition, grid))
        inside = _columns_of_window(history, asked)
        if inside.start >= inside.stop:
            continue
        for lesson in lessons(session, partitions, partition, there, history.within(inside), excluded):
            mine = there[lesson.rows]
            yield Candidates(
                slots=mine,
                ids=grid.series_ids[lesson.rows],
                lesson=lesson,
                window=inside,
                history=history.of_series(lesson.rows),
                raw=raw.of_series(lesson.rows),
                to_fit=partition.to_fit(mine),
                old=_old_baselines(partition, mine),
                life=take(partition.life, mine),
                point_count=partition.columns["point_count"][mine],
                last_at=partition.columns["last_at"][mine],
                trained_to=partition.columns["anchor_at"][mine],
                newest_log=partition.newest_log,
                pace=_pace_since(partition, mine),
                needed=_needed(partition, mine, grid.cadence),
                threshold=partition.bars(mine).threshold,
                size=_owners_size(partition, mine),
                standing=Standing(
                    fitted=np.zeros(mine.size, bool),
                    trained=_is_trained(partition, mine),
                    in_gap=np.isin(mine, in_gap),
                    has_new_level=np.isin(grid.series_ids[lesson.rows], list(changed)),
                    forced=asked.force,
                ),
                labels=[each for each in labelled if each.series_id in set(grid.series_ids[lesson.rows].tolist())],
            )


def _with_more(excluded: Exclusions, ids: Ints, asked: Asked) -> Exclusions:
    if not asked.without:
        return excluded
    start, end = np.array(asked.without, np.int64).T
    return replace(excluded, shared=[*excluded.shared, SharedSpans(ids, start, end)])


def _reach(partition: Partition, slots: Ints, asked: Asked) -> tuple[int, int]:
    """As far back as a training looks, or farther where a window was asked for."""
    start, end = window(partition, slots)
    if asked.start is not None and asked.start < start:
        longest = LONGEST_WINDOW_STEPS * int(np.maximum(partition.columns["cadence"][slots], 1).max())
        start = max(asked.start, int(partition.columns["first_at"][slots].min()), end - longest)
    return start, end


def _columns_of_window(history: History, asked: Asked) -> slice:
    first = 0 if asked.start is None else int(np.searchsorted(history.timestamp, asked.start))
    behind = history.timestamp.size if asked.end is None else int(np.searchsorted(history.timestamp, asked.end))
    return slice(first, behind)


def _old_baselines(partition: Partition, slots: Ints) -> list[tuple[Detector, Ints, Fields]]:
    code = partition.columns["model"][slots]
    found = []
    for each in np.unique(code).tolist():
        mine, model = np.flatnonzero(code == each), partition.models[each]
        rows = partition.columns["row"][slots[mine]].astype(np.int64)
        found.append((model.detector, mine, take(model.baseline, rows)))
    return found


def _is_trained(partition: Partition, slots: Ints) -> Bools:
    trained = np.zeros(slots.size, bool)
    for _, mine, baseline in _old_baselines(partition, slots):
        trained[mine] = baseline["trained"]
    return trained


def _owners_size(partition: Partition, slots: Ints) -> Floats:
    sizes = np.array([each.settings.change_to_hear for each in partition.regimes.resolved])
    return np.asarray(sizes[partition.columns["regime"][slots]])


def _needed(partition: Partition, slots: Ints, cadence: int) -> Floats:
    """Points that a baseline needs: the ground for alerts, and most of two weeks where the series has them."""
    count, first, last = (partition.columns[name][slots] for name in ("point_count", "first_at", "last_at"))
    pace = count / np.maximum((last - first) / cadence + 1, 1)  # points a step
    weeks = training.LEARNING_DAYS * training.DAY / cadence * np.minimum(pace, 1.0)
    ground = training.ALERT_AFTER_DAILY_POINTS if cadence >= training.DAY else training.ALERT_AFTER_POINTS
    return np.maximum(NEEDED * np.minimum(count, weeks), ground).astype(float)


def _pace_since(partition: Partition, slots: Ints) -> Floats:
    """How many points came since the last training, as a share of as many as usual; 1 where that is too short ago.

    Points that come at half the pace change the cadence: on the new grid none is missing.
    """
    names = ("point_count", "since_anchor", "first_at", "anchor_at", "last_at")
    count, since, first, anchor, last = (partition.columns[name][slots] for name in names)
    usual = np.maximum(count - since, 0) / np.maximum(anchor - first, 1) * (last - anchor)
    return np.where((anchor > first) & (usual >= FEWEST_PACE), since / np.maximum(usual, 1e-9), 1.0)


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
    codes = decide(figures, standing, of.size)
    wins = promoted(codes, standing)
    return Outcome(codes, wins, figures, [(rows, _brought_up(of, rows, each)) for rows, each in fitted])


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
    return int(np.clip(RECENT_SECONDS // history.cadence, 1, max(int(RECENT_SHARE * columns), 1)))


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
    spans = [each for each in of.labels if each.verdict in {*HEARD, Verdict.FALSE_ALARM} and _is_in_reach(of, each)]
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


def _is_in_reach(of: Candidates, label: Label) -> bool:
    return bool(of.raw.timestamp[0] + training.DAY <= label.started_at.timestamp() <= of.raw.timestamp[-1])


def _rarest(of: Candidates, baselines: Baselines, spans: Sequence[Label], row: Ints) -> Floats:
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
