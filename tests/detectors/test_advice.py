"""Whether to watch, by what was seen; nothing is concluded from what is not known."""

from __future__ import annotations

from detectors.advice import Advice, Tried, advise, gains_over
from detectors.injection import ExpectedAlerts, SmallestChange
from detectors.quality import Quality
from detectors.training import Progress

LEARNED = Progress(40, 14, may_alert=True, reason="")
QUALITY = Quality(1_000, 42.0, 0.0, 0.0, 0.0, ())


def changes(drop: float | None, spike: float | None, trials: int = 40) -> list[SmallestChange]:
    """The same within 1, 3 and 24 points."""
    return [
        SmallestChange(kind, points, share, share and 100 * share, trials)
        for kind, share in (("drop", drop), ("spike", spike))
        for points in (1, 3, 24)
    ]


def advised(ours: list[SmallestChange], limited: list[SmallestChange]) -> tuple[Advice, str]:
    return advise(QUALITY, LEARNED, Tried(ours, limited, ExpectedAlerts(0.25, 0.5, 1), 14.0))


def test_a_limit_is_advised_where_it_loses_on_neither_side() -> None:
    advice, why = advised(changes(0.3, 0.3), changes(0.31, 0.25))
    assert advice is Advice.FIXED_LIMIT
    assert "drops of 31 % and spikes of 25 % are seen within 3 points" in why
    assert advised(changes(0.3, 0.3), changes(0.6, 0.1))[0] is Advice.WATCH
    assert advised(changes(0.3, 0.3), changes(None, 0.1))[0] is Advice.WATCH


def test_a_limit_that_is_advised_is_not_said_to_see_what_it_does_not() -> None:
    advice, why = advised(changes(None, 3.0), changes(None, 3.0))
    assert advice is Advice.FIXED_LIMIT
    assert why.endswith("Neither sees drops.")


def test_a_limit_of_which_too_little_is_known_is_not_compared() -> None:
    assert gains_over(changes(0.3, 0.3), changes(None, None, trials=3)) == {}
    assert advised(changes(0.3, 0.3), changes(None, None, trials=3))[0] is Advice.WATCH


def test_outages_are_spoken_of_only_where_drops_are_seen() -> None:
    assert advised(changes(0.8, 0.9), changes(None, None))[0] is Advice.OUTAGES_ONLY
    advice, why = advised(changes(None, 0.9), changes(None, None))
    assert advice is Advice.WATCH
    assert "outage" not in why
    assert "not even the loss" in why


def test_what_is_not_known_is_waited_for_and_not_given_up() -> None:
    advice, why = advised(changes(None, None, trials=4), changes(None, None, trials=4))
    assert advice is Advice.WAIT
    assert "4 of 10" in why
    assert advised(changes(None, None), changes(None, None))[0] is Advice.NOTHING_TO_SEE
