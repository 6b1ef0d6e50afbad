"""What a detector made of a point, in 12 bytes that compress to 4 (four float32: to 11).

Expected, lower and upper are counted in a unit of each point's own: a power of two, about 1/512 of the band's width. So
all bands, wide or narrow, of millions or of hundredths, become small integers that repeat.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Judgements = NDArray[np.void]
Numbers = NDArray[np.floating[Any]]

FIELDS = np.dtype(
    [
        ("scale", np.int16),  # 0: not judged; else the unit is 2 ** (scale - SCALE_OF_ONE)
        ("expected", np.int32),
        ("above", np.int16),  # upper - expected
        ("skew", np.int16),  # by how much expected - lower is more than that: most bands are symmetric
        ("rarity", np.int16),  # in 1/256 of a decade
    ]
)
"""All zero: not judged. The lowest integer of a field: that number alone is unknown."""

JUDGEMENT = np.dtype((np.void, FIELDS.itemsize))
"""The same bytes as one opaque thing: numpy moves those at 4 ns each, records with fields at 140."""
NOT_JUDGED = np.zeros((), JUDGEMENT)

SCALE_OF_ONE = 2_000  # above the 1,074 binary places of the smallest float
UNITS_IN_BAND = 512
RARITY_STEPS = 256
SMALLEST_UNIT = 2.0**-1022
UNKNOWN_16, UNKNOWN_32 = -(1 << 15), -(1 << 31)
LIMITS: dict[type, tuple[int, int]] = {np.int16: (UNKNOWN_16, ~UNKNOWN_16), np.int32: (UNKNOWN_32, ~UNKNOWN_32)}


class Scores(NamedTuple):
    """Each (n,) float32, NaN where not judged; rarity in log10 weeks."""

    expected: NDArray[np.float32]
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]
    rarity: NDArray[np.float32]


def encode(expected: Numbers, lower: Numbers, upper: Numbers, rarity: Numbers) -> Judgements:
    """(n,) judgements. What is not finite counts as unknown; rarity is kept up to 128 decades."""
    exact = [np.where(np.isfinite(each), each, np.nan).astype(np.float64) for each in (expected, lower, upper)]
    scale, unit = _units(*exact)
    encoded = np.zeros(len(rarity), FIELDS)
    encoded["scale"] = scale + SCALE_OF_ONE
    encoded["expected"] = _rounded(exact[0] / unit, np.int32)
    above = np.rint((exact[2] - exact[0]) / unit)
    below = np.rint((exact[0] - exact[1]) / unit)
    encoded["above"] = _rounded(above, np.int16)
    encoded["skew"] = _rounded(below - np.nan_to_num(above), np.int16)
    encoded["rarity"] = _rounded(rarity.astype(np.float64) * RARITY_STEPS, np.int16)
    judged = np.isfinite(exact[0]) | np.isfinite(rarity)
    encoded[~judged] = 0
    return encoded.view(JUDGEMENT)


def decode(judged: Judgements) -> Scores:
    """What `encode` was given, to half a unit: a 500th of the band's width or better."""
    encoded = judged.view(FIELDS)
    unit = np.ldexp(1.0, encoded["scale"].astype(np.int32) - SCALE_OF_ONE)
    unit[encoded["scale"] == 0] = np.nan
    expected = _known(encoded["expected"], UNKNOWN_32) * unit
    above = _known(encoded["above"], UNKNOWN_16)
    below = _known(encoded["skew"], UNKNOWN_16) + np.nan_to_num(above)
    lower, upper = expected - below * unit, expected + above * unit
    rarity = np.where(encoded["scale"] == 0, np.nan, _known(encoded["rarity"], UNKNOWN_16) / RARITY_STEPS)
    with np.errstate(over="ignore"):
        return Scores(*(each.astype(np.float32) for each in (expected, lower, upper, rarity)))


def _units(
    expected: NDArray[np.float64], lower: NDArray[np.float64], upper: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Exponent and size of each point's unit."""
    width = 2 * np.fmax(np.abs(expected - lower), np.abs(upper - expected))
    # So fine that expected still fits 32 bits, and that a band without width keeps six digits.
    finest = np.abs(expected) * np.where(width > 0, 2.0**-29, 2.0**-20)
    unit = np.fmax(np.fmax(width / UNITS_IN_BAND, finest), SMALLEST_UNIT)
    exponent = np.frexp(unit)[1] - 1
    return exponent, np.ldexp(1.0, exponent)


def _rounded(numbers: NDArray[np.float64], kind: type[np.signedinteger[Any]]) -> NDArray[np.signedinteger[Any]]:
    lowest, highest = LIMITS[kind]
    whole = np.rint(numbers).clip(lowest + 1, highest)
    return np.where(np.isnan(whole), lowest, whole).astype(kind)


def _known(numbers: NDArray[np.signedinteger[Any]], unknown: int) -> NDArray[np.float64]:
    return np.where(numbers == unknown, np.nan, numbers.astype(np.float64))
