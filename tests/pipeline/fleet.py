"""Hourly orders of several countries, posted together as they happen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from app.alerts.rules import Delivery
from app.formats.contract import PostedPoints
from app.main import Heed
from app.store.series import identity
from tests.running import HOUR, MONDAY


class Fleet:
    """One series a country, all of one metric, each with its own level and noise. `clock` counts hours from MONDAY."""

    def __init__(self, heed: Heed, countries: Sequence[str], *, seed: int = 1, metric: str = "orders") -> None:
        self.heed, self.countries, self.clock = heed, tuple(countries), 0
        self.identities = [identity(metric, {"country": country}) for country in countries]
        rng = np.random.default_rng(seed)
        self.level = rng.uniform(60, 400, len(self.countries))
        self.noise = rng.normal(0, 0.03, (len(self.countries), 24 * 7 * 20))

    def send(self, hours: int, factors: Mapping[str, float] | None = None, *, delivery: Delivery | None = None) -> None:
        """The next hours in one POST; the series of some countries times a factor."""
        if hours <= 0:
            return
        span = np.arange(self.clock, self.clock + hours)
        self.clock += hours
        weekend = np.where(span // 24 % 7 >= 5, 0.8, 1.0)
        season = (1 + 0.4 * np.sin(2 * np.pi * span / 24)) * weekend
        factor = np.array([(factors or {}).get(country, 1.0) for country in self.countries])
        values = np.maximum((self.level * factor)[:, None] * (season + self.noise[:, span]), 0.0)
        count = len(self.countries)
        self.heed.committer.submit(
            PostedPoints(
                self.identities,
                np.repeat(np.arange(count, dtype=np.int32), hours),
                np.tile(MONDAY + HOUR * span, count),
                values.ravel(),
                np.arange(count * hours),
                [],
            ),
            None,
            delivery,
        ).result()
