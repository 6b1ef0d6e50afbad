"""What a detector's evidence means, in plain words."""

from __future__ import annotations

import pytest

from app.alerts.evidence import IN_WORDS, evidence_sentence, spoke
from detectors.registry import DETECTORS


@pytest.mark.parametrize("detector", DETECTORS)
def test_every_kind_of_evidence_has_words(detector: str) -> None:
    assert [kind for kind in DETECTORS[detector].evidence if kind not in IN_WORDS] == []


def test_what_spoke_is_named_the_strongest_first_and_the_weak_is_left_out() -> None:
    assert spoke({"level": 2.0, "step": 2.8, "day": -1.0}) == ["step", "level"]
    assert evidence_sentence({"level": 2.0, "step": 2.8, "day": -1.0}) == (
        "It jumped from one point to the next; it left the level of the last hours."
    )


def test_no_evidence_says_nothing() -> None:
    assert evidence_sentence({}) is None
