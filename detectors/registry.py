"""Every detector Heed knows, by name: a new one is one file and one line here."""

from __future__ import annotations

from detectors.basic import Basic
from detectors.contract import Detector
from detectors.counts import Counts
from detectors.decomposed import Decomposed
from detectors.seasonal import Seasonal
from detectors.static import Static

DETECTORS: dict[str, Detector] = {
    detector.name: detector
    for detector in (
        Seasonal(),
        Basic(),
        Counts(),
        Decomposed(),
        Static(),
    )
}


def get(name: str) -> Detector:
    """The detector of that name.

    Raises LookupError, naming those that exist.
    """
    try:
        return DETECTORS[name]
    except KeyError:
        raise LookupError(f"no detector is called {name!r}; there are {', '.join(sorted(DETECTORS))}") from None
