"""What every format turns a request's body into: columns of points, and a reason for each point it had to leave out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from app.errors import TooLarge
from app.store.series import SeriesIdentity
from app.store.series import identity as identify

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

EARLIEST = int(datetime(1990, 1, 1, tzinfo=UTC).timestamp())
LARGEST_VALUE = 1e30  # squares and sums of such values stay finite wherever they are computed
LONGEST_METRIC = 200
LONGEST_DIMENSION_NAME = 100
LONGEST_DIMENSION_VALUE = 200
MOST_DIMENSIONS = 20
FAULT_OF_WEIGHT = "weight must be the number of events behind the value: a number of at least 0, or null"
CACHED_IDENTITIES = 100_000
LONGEST_CACHED_KEY = 1_000


@dataclass(frozen=True)
class Limits:
    """How much one request may hold. `latest`: unix seconds after which a point lies in the future."""

    latest: int
    decoded_bytes: int = 32 * 1024 * 1024
    points: int = 100_000


@dataclass(frozen=True)
class Rejection:
    """A point that was left out. `index` is its place in the request, counted from 0 through all its series."""

    index: int
    reason: str


@dataclass(frozen=True)
class PostedPoints:
    """The acceptable points of one request, in its order. All arrays have shape (n,).

    identities: each series of the request once.
    identity: int32, the place of the point's series in `identities`.
    timestamp: int64 unix seconds.
    value: float64, NaN where the point is known to be missing.
    index: int64, the point's place in the request.
    weight: float64, of a ratio the events behind it, NaN where not given; None if none was.
    """

    identities: list[SeriesIdentity]
    identity: NDArray[np.int32]
    timestamp: Ints
    value: Floats
    index: Ints
    rejected: list[Rejection]
    weight: Floats | None = None

    def __len__(self) -> int:
        return len(self.index)


Decoder = Callable[[bytes, Limits], PostedPoints]
"""A format: the whole decoded body in, its points out. Raises BadRequest where the body as a whole cannot be read."""


class IdentityTable:
    """The series met in one request, each once, found again by the bytes that its dimensions were written in.

    A series that cannot be has a place too, so that its points are told why.
    """

    def __init__(self) -> None:
        self.entries: list[SeriesIdentity | str] = []
        self._place_of_spelling: dict[tuple[str, bytes], int] = {}
        self._place_of_key: dict[bytes, int] = {}

    def place(self, metric: str, dimensions: bytes) -> int:
        """Where the series of this metric and these dimensions (a JSON object) stands in the table."""
        spelling = (metric, dimensions)
        place = self._place_of_spelling.get(spelling)
        if place is None:
            place = self._place_of_spelling[spelling] = self._enter(metric, dimensions)
        return place

    def _enter(self, metric: str, dimensions: bytes) -> int:
        entry = _identify(metric, dimensions)
        if isinstance(entry, str):
            self.entries.append(entry)
            return len(self.entries) - 1
        place = self._place_of_key.setdefault(entry.key, len(self.entries))
        if place == len(self.entries):
            self.entries.append(entry)
        return place


_identified: dict[tuple[str, bytes], SeriesIdentity] = {}
_dimensions_decoder = msgspec.json.Decoder(dict[str, str] | None)
_control_character = re.compile(r"[\x00-\x1f\x7f]")


def _identify(metric: str, dimensions: bytes) -> SeriesIdentity | str:
    """The identity, or the reason why there can be none. Remembered, as producers send the same series again."""
    known = _identified.get((metric, dimensions))
    if known is not None:
        return known
    try:
        decoded = _dimensions_decoder.decode(dimensions) or {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "dimensions must be an object of text values"
    reason = fault_of_names(metric, decoded)
    if reason:
        return reason
    identity = identify(metric, decoded)
    if len(metric) + len(dimensions) <= LONGEST_CACHED_KEY:
        if len(_identified) >= CACHED_IDENTITIES:
            _identified.clear()
        _identified[metric, dimensions] = identity
    return identity


def fault_of_names(metric: str, dimensions: Mapping[str, str]) -> str | None:
    """Why a series may not be called this, or None."""
    if len(dimensions) > MOST_DIMENSIONS:
        return f"a series may have at most {MOST_DIMENSIONS} dimensions"
    fault = _fault_of_text("metric", metric, LONGEST_METRIC)
    for name, value in dimensions.items():
        fault = fault or _fault_of_text("dimension name", name, LONGEST_DIMENSION_NAME)
        fault = fault or _fault_of_text("dimension value", value, LONGEST_DIMENSION_VALUE)
    return fault


def _fault_of_text(what: str, text: str, longest: int) -> str | None:
    if not text:
        return f"{what} must not be empty"
    if len(text) > longest:
        return f"{what} must be at most {longest} characters"
    if _control_character.search(text):
        return f"{what} must hold no control characters"
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        return f"{what} must be valid Unicode, got a lone surrogate"
    return None


def refuse_too_many(count: int, limits: Limits) -> None:
    if count > limits.points:
        raise TooLarge(f"A request may hold at most {limits.points} points. Send it in parts.")


def assemble(
    table: IdentityTable,
    places: Sequence[int] | NDArray[np.int64],
    timestamp: Ints,
    value: Floats,
    *,
    index: Ints,
    weight: Floats | None = None,
    rejected: Sequence[Rejection] = (),
    limits: Limits,
) -> PostedPoints:
    """The points that stand every check, and the others among the rejected, in the order of the request."""
    place = np.asarray(places, dtype=np.int64)
    faults = _faults(table, place, timestamp, value, limits) | _faults_of_weight(weight)
    all_rejected = list(rejected)
    identities = [entry for entry in table.entries if not isinstance(entry, str)]
    if faults:
        all_rejected += [Rejection(int(index[row]), reason) for row, reason in faults.items()]
        kept = np.ones(len(place), dtype=np.bool_)
        kept[list(faults)] = False
        is_identity = np.array([not isinstance(entry, str) for entry in table.entries], dtype=np.int64)
        place = (np.cumsum(is_identity) - 1)[place[kept]]
        timestamp, value, index = timestamp[kept], value[kept], index[kept]
        weight = None if weight is None else weight[kept]
    all_rejected.sort(key=lambda rejection: rejection.index)
    return PostedPoints(identities, place.astype(np.int32), timestamp, value, index, all_rejected, weight)


def _faults_of_weight(weight: Floats | None) -> dict[int, str]:
    if weight is None:
        return {}
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero((weight < 0) | (weight > LARGEST_VALUE))
    return dict.fromkeys(rows.tolist(), FAULT_OF_WEIGHT)


def _faults(table: IdentityTable, place: Ints, timestamp: Ints, value: Floats, limits: Limits) -> dict[int, str]:
    """The first fault of each faulty row."""
    faults: dict[int, str] = {}
    bad_place = [place for place, entry in enumerate(table.entries) if isinstance(entry, str)]
    if bad_place:
        for row in np.flatnonzero(np.isin(place, bad_place)):
            faults.setdefault(int(row), str(table.entries[place[row]]))
    for row in np.flatnonzero((timestamp < EARLIEST) | (timestamp > limits.latest)):
        faults.setdefault(int(row), _fault_of_time(int(timestamp[row]), limits))
    with np.errstate(invalid="ignore"):
        too_large = np.flatnonzero(np.abs(value) > LARGEST_VALUE)
    for row in too_large:
        faults.setdefault(int(row), f"value must lie within ±{LARGEST_VALUE:.0e}")
    return faults


def _fault_of_time(timestamp: int, limits: Limits) -> str:
    for unit, per_second in (("milliseconds", 1_000), ("microseconds", 1_000_000), ("nanoseconds", 1_000_000_000)):
        if EARLIEST <= timestamp // per_second <= limits.latest:
            return f"timestamp looks like {unit}: send unix seconds or RFC 3339"
    if timestamp < EARLIEST:
        return "timestamp lies before 1990: send unix seconds or RFC 3339"
    return "timestamp lies too far in the future: check the clock of the producer"


class PointCollector:
    """Gathers points whose parts may be anything, one by one: the slow way, which can say what is wrong with each."""

    def __init__(self) -> None:
        self._table = IdentityTable()
        self._places: list[int] = []
        self._timestamps: list[int] = []
        self._values: list[float] = []
        self._weights: list[float] = []
        self._indices: list[int] = []
        self._rejected: list[Rejection] = []
        self._place_of_names: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
        self.count = 0

    def reject(self, reason: str) -> None:
        self._rejected.append(Rejection(self.count, reason))
        self.count += 1

    def add(self, metric: Any, dimensions: Any, timestamp: Any, value: Any, weight: Any = None) -> None:
        try:
            place = self._place(metric, dimensions)
            seconds, number, events = read_timestamp(timestamp), read_value(value), read_weight(weight)
        except ValueError as fault:
            self.reject(str(fault))
            return
        self._places.append(place)
        self._timestamps.append(seconds)
        self._values.append(number)
        self._weights.append(events)
        self._indices.append(self.count)
        self.count += 1

    def _place(self, metric: Any, dimensions: Any) -> int:
        """Where the series stands in the table. Raises ValueError with the reason where there can be none."""
        try:
            names = (metric, tuple(dimensions.items()))
            known = self._place_of_names.get(names)
        except (AttributeError, TypeError):  # not an object, or not of text
            return self._table.place(*_spell(metric, dimensions))
        if known is None:
            known = self._place_of_names[names] = self._table.place(*_spell(metric, dimensions))
        return known

    def assemble(self, limits: Limits) -> PostedPoints:
        return assemble(
            self._table,
            self._places,
            np.array(self._timestamps, dtype=np.int64),
            np.array(self._values, dtype=np.float64),
            index=np.array(self._indices, dtype=np.int64),
            weight=given_weights(self._weights),
            rejected=self._rejected,
            limits=limits,
        )


def _spell(metric: Any, dimensions: Any) -> tuple[str, bytes]:
    """The metric and its dimensions as JSON. Raises ValueError with the reason where they are not what they must be."""
    if not isinstance(metric, str):
        raise ValueError("metric must be text")
    dimensions = {} if dimensions is None else dimensions
    if not isinstance(dimensions, dict) or not all(isinstance(value, str) for value in dimensions.values()):
        raise ValueError("dimensions must be an object of text values")
    reason = fault_of_names(metric, dimensions)
    if reason:
        raise ValueError(reason)
    return metric, msgspec.json.encode(dimensions)


def read_timestamp(timestamp: Any) -> int:
    """Unix seconds of a number or an RFC 3339 text. Raises ValueError with the reason."""
    if isinstance(timestamp, str):
        return _read_rfc3339(timestamp)
    if isinstance(timestamp, bool) or not isinstance(timestamp, int | float):
        raise ValueError("timestamp must be unix seconds or RFC 3339 text")
    if not abs(timestamp) < 2**62:
        raise ValueError("timestamp must be finite: send unix seconds or RFC 3339")
    return int(timestamp)


def _read_rfc3339(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("timestamp must be unix seconds or RFC 3339, such as 2026-01-31T12:00:00Z") from None
    if time.tzinfo is None:
        raise ValueError("timestamp needs a time zone: end it with Z or an offset such as +01:00")
    return int(time.timestamp())


def read_value(value: Any) -> float:
    """The value as a float, NaN for null. Raises ValueError with the reason."""
    if value is None:
        return float("nan")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("value must be a number or null")
    if not abs(value) <= LARGEST_VALUE:
        raise ValueError(f"value must be finite and lie within ±{LARGEST_VALUE:.0e}")
    return float(value)


def read_weight(weight: Any) -> float:
    """The events behind a ratio, NaN for null. Raises ValueError with the reason."""
    try:
        return read_value(weight)
    except ValueError:
        raise ValueError(FAULT_OF_WEIGHT) from None


def given_weights(weights: Sequence[float | None]) -> Floats | None:
    """The weights as an array; None where no point has one."""
    given = np.array(weights, dtype=np.float64)
    return None if np.isnan(given).all() else given
