"""What is critical: by what the owner says, or by rarity."""

from __future__ import annotations

import pytest

from app.alerts.rules import SEVERE_RARITY, Critical, severity_of

RARE = SEVERE_RARITY + 1


@pytest.mark.parametrize(
    ("critical", "rarity", "change", "impact", "expected"),
    [
        (Critical(), RARE, 0.1, 1, "critical"),
        (Critical(), 1.0, 9.0, 1e9, "warning"),
        (Critical(change=0.5), RARE, 0.4, 1e9, "warning"),
        (Critical(change=0.5), 1.0, 0.5, 0, "critical"),
        (Critical(impact=500), RARE, 9.0, 499, "warning"),
        (Critical(impact=500), 1.0, 0.1, 500, "critical"),
        (Critical(impact=500), 1.0, 0.1, -500, "critical"),
        (Critical(change=0.5, impact=500), 1.0, 0.6, 1, "critical"),
        (Critical(change=0.5, impact=500), 1.0, 0.1, 600, "critical"),
        (Critical(change=0.5, impact=500), RARE, 0.1, 1, "warning"),
    ],
)
def test_either_of_what_the_owner_says_is_critical_and_else_rarity(
    critical: Critical, rarity: float, change: float, impact: float, expected: str
) -> None:
    assert severity_of(rarity, change=change, impact=impact, critical=critical) == expected
