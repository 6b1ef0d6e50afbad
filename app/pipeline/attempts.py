"""Let a detector judge a batch, find the series on which it fails, and say why, so that nobody else waits for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import structlog

from app.pipeline.watchdog import Beat, Patience, TookTooLongError, within
from detectors.contract import Ints

log = structlog.get_logger()
T = TypeVar("T")

PARTS = 16
"""So many at a time a batch is parted to find the series that hangs: one of 10,000 after four parts in a row."""
STEP_SECONDS = 0.5
ALONE_SECONDS = 2.0
"""A series falls back for want of time only when it takes so long by itself; a machine that was busy does not do it."""
SECONDS_A_STEP = 0.01
SECONDS_A_POINT = 2e-5
MOST_OVERRUNS = 8
"""Then every series that has not been judged yet falls back: a detector that hangs everywhere must not hold up all."""


class UnusableError(Exception):
    """The detector answered, but for these series with numbers that mean nothing."""

    def __init__(self, slots: Ints) -> None:
        super().__init__("no usable numbers")
        self.slots = slots


@dataclass
class Attempts(Generic[T]):
    """What came of a batch: the outcome of each part that could be judged, and why series could not be, by slot."""

    judge: Callable[[Ints, Beat], T]
    slot: Ints
    detector: str
    outcomes: list[T] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    _overruns: int = 0

    def run(self, mine: Ints) -> None:
        """Judge these rows of the batch, whole if that can be, else in ever smaller parts.

        `judge` is given rows; it must change nothing but what it returns, since it may be given up in the middle.
        """
        waiting = [] if self._judged(mine, alone=False) else self._parts(mine)
        while waiting:
            part = waiting.pop()
            alone = _is_one(self.slot[part])
            if self._overruns >= MOST_OVERRUNS:
                self._fail(self.slot[part], "takes too long")
            elif not self._judged(part, alone=alone) and not alone:
                waiting += self._parts(part)

    def _judged(self, mine: Ints, *, alone: bool) -> bool:
        """Whether nothing is left to do about these rows."""
        patience = _patience(self.slot[mine], alone=alone)
        try:
            self.outcomes.append(within(patience, partial(self.judge, mine)))
        except UnusableError as fault:
            self._fail(fault.slots, "gives no usable numbers")
            rest = mine[~np.isin(self.slot[mine], fault.slots)]
            return not rest.size or self._judged(rest, alone=alone)
        except TookTooLongError:
            self._overruns += 1
            if alone:
                self._fail(self.slot[mine], "takes too long")
            return False
        except Exception as fault:
            if alone:
                log.exception("scoring_failed", detector=self.detector, slot=int(self.slot[mine[0]]))
                self._fail(self.slot[mine], f"cannot judge it: {type(fault).__name__}")
            return False
        return True

    def _parts(self, mine: Ints) -> list[Ints]:
        """These rows by series, in a few parts; rows that are left of them only."""
        left = mine[~np.isin(self.slot[mine], list(self.failed))]
        _, series = np.unique(self.slot[left], return_inverse=True)
        count = int(series.max(initial=-1)) + 1
        size = max(-(-count // PARTS), 1)
        return [left[series // size == part] for part in range(-(-count // size))]

    def _fail(self, slots: Ints, why: str) -> None:
        self.failed |= dict.fromkeys(np.unique(slots).tolist(), f"{self.detector} {why}")


def _is_one(slot: Ints) -> bool:
    return bool((slot == slot[0]).all())


def _patience(slot: Ints, *, alone: bool) -> Patience:
    step = (ALONE_SECONDS if alone else STEP_SECONDS) + SECONDS_A_POINT * slot.size
    steps = int(np.unique(slot, return_counts=True)[1].max(initial=0))
    return Patience(step, step + SECONDS_A_STEP * steps)
