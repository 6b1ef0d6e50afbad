"""Work that is given up ends: at its next step, or by an exception from outside, which may have to come twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from app.pipeline import watchdog
from app.pipeline.watchdog import Beat, Patience, TookTooLongError, within

SHORT = Patience(step_seconds=0.05, total_seconds=0.2)


def slow(beat: Beat) -> None:
    time.sleep(0.3)
    beat()
    pytest.fail("it went on after it was given up")


def loops(_beat: Beat) -> None:
    while True:
        pass


def loops_on_once_more(beat: Beat) -> None:
    """As where the exception strikes in a callback of the interpreter, which swallows it."""
    try:
        loops(beat)
    except SystemExit:
        loops(beat)


@pytest.mark.parametrize("work", [slow, loops, loops_on_once_more])
def test_work_that_was_given_up_ends_its_thread(work: Callable[[Beat], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "GRACE_SECONDS", 1.0 if work is slow else 0.05)
    threads: list[threading.Thread] = []

    def watched(beat: Beat) -> None:
        threads.append(threading.current_thread())
        work(beat)

    with pytest.raises(TookTooLongError):
        within(SHORT, watched)
    (thread,) = threads
    thread.join(20)
    assert not thread.is_alive()


def test_the_thread_of_work_that_ended_in_time_is_used_again() -> None:
    threads = [within(Patience(5, 5), lambda beat: threading.current_thread()) for _ in range(2)]
    assert threads[0] is threads[1]
    with pytest.raises(ZeroDivisionError):
        within(Patience(5, 5), lambda beat: 1 / 0)
