"""Work that may fail to end: done on a thread of its own, given up after a while.

The caller goes on at once when its patience is over, whatever the work hangs in. What was only slow ends at its next
step. A loop in Python that takes no steps is ended by an exception from outside; a call into C that never returns keeps
its thread, and nobody waits for it.
"""

from __future__ import annotations

import ctypes
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NoReturn, TypeVar

T = TypeVar("T")

GRACE_SECONDS = 3.0
"""Work that was given up has so long to reach its next step. An exception from outside can strike in a callback of the
interpreter, which swallows it: it is for what hangs, and not for what a busy machine makes slow."""
Beat = Callable[[], None]
"""Called by the work at each of its steps: it still gets on."""


class TookTooLongError(Exception):
    """The work was given up. It may still run, so what it wrote to must not be used."""


@dataclass(frozen=True)
class Patience:
    """How long the work may take between two of its steps, and in all."""

    step_seconds: float
    total_seconds: float


def within(patience: Patience, work: Callable[[Beat], T]) -> T:
    """What the work returns, or raises. Raises TookTooLongError when it takes longer than that."""
    task: _Task[T] = _Task(work)
    worker = _worker()
    worker.tasks.put(task)
    try:
        outcome = task.await_outcome(patience)
    except TookTooLongError:
        task.given_up = True
        worker.abandon()
        raise
    _idle.append(worker)
    return outcome()


class _Task(Generic[T]):
    def __init__(self, work: Callable[[Beat], T]) -> None:
        self._work = work
        self._outcome: queue.SimpleQueue[Callable[[], T]] = queue.SimpleQueue()
        self._beaten_at = time.monotonic()
        self.given_up = False

    def beat(self) -> None:
        if self.given_up:
            raise TookTooLongError
        self._beaten_at = time.monotonic()

    def do(self) -> None:
        try:
            result = self._work(self.beat)
        except BaseException as fault:  # noqa: BLE001 - the caller raises it on its own thread
            self._outcome.put(partial(_raise, fault))
        else:
            self._outcome.put(lambda: result)

    def await_outcome(self, patience: Patience) -> Callable[[], T]:
        """What returns the result, or raises the fault."""
        last = time.monotonic() + patience.total_seconds
        while (left := min(last, self._beaten_at + patience.step_seconds) - time.monotonic()) > 0:
            try:
                return self._outcome.get(timeout=left)
            except queue.Empty:
                continue  # unless it has beaten meanwhile, the time is over
        raise TookTooLongError


class _Worker:
    def __init__(self) -> None:
        self.tasks: queue.SimpleQueue[_Task[Any]] = queue.SimpleQueue()
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name="watched", daemon=True)
        self._thread.start()

    def abandon(self) -> None:
        """End the thread: at the next step of its work, or else as soon as it runs Python again."""
        self._abandoned = True
        threading.Thread(target=self._end, name="watchdog", daemon=True).start()

    def _end(self) -> None:
        while True:
            self._thread.join(GRACE_SECONDS)
            if not self._thread.is_alive():
                return
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(SystemExit)
            )

    def _run(self) -> None:
        with suppress(SystemExit):  # it came between the work's end and the next look at `_abandoned`
            while not self._abandoned:
                self.tasks.get().do()


def _raise(fault: BaseException) -> NoReturn:
    raise fault


_idle: deque[_Worker] = deque()


def _worker() -> _Worker:
    try:
        return _idle.pop()
    except IndexError:
        return _Worker()
