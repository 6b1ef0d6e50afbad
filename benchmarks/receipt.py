"""How long somebody waits for a receipt: dry runs on a series with sixty days at five minutes, through the pipeline.

The alert was labelled before, so all that was learned is asked in the replays and by the injected points.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from rich.console import Console

from app.alerts.rules import Delivery
from app.formats.contract import PostedPoints
from app.main import Heed
from app.pipeline import train
from app.pipeline.learn import label_alert
from app.settings import Settings
from app.store.series import identity
from feedback import triage

MONDAY = 1_767_571_200  # 5 January 2026, midnight UTC
DAYS, CADENCE = 60, 300
SPIKES, SPIKE_POINTS = 8, 6
RUNS = 15
LABELS = 5_000
BY: dict[str, Any] = {"author": "ana", "source": "api"}


def main() -> int:
    """Print the median, and the slowest, of some dry runs."""
    logging.disable(logging.INFO)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    milliseconds = measured()
    Console().print(
        f"A receipt, {DAYS} days at {CADENCE // 60} minutes, {RUNS} dry runs: "
        f"median {np.median(milliseconds):.0f} ms, slowest {max(milliseconds):.0f} ms"
    )
    Console().print(f"Learning anew from {LABELS:,} labels: median {np.median(_refitted()):.0f} ms")
    return 0


def _refitted() -> list[float]:
    """Milliseconds of each time that triage learns from so many labels of 500 series: from all, and from those alone
    that say nobody wants to hear of it."""
    rng = np.random.default_rng(1)
    seen = np.column_stack([np.ones(LABELS), rng.normal(0, 0.6, (LABELS, len(triage.FEATURES) - 1))])
    series = rng.integers(0, 500, LABELS)
    worth = (seen[:, 4] + rng.normal(0, 0.5, LABELS) > 0).astype(np.float64)
    rarer, direction = rng.normal(1, 1, LABELS), rng.choice([-1, 1], LABELS)

    def examples(rows: NDArray[np.integer]) -> triage.Examples:
        return triage.Examples(
            seen=seen[rows],
            rarer=rarer[rows],
            worth=worth[rows],
            weight=np.ones(rows.size),
            is_said=np.ones(rows.size, bool),
            series_id=series[rows],
            direction=direction[rows],
            metric=[f"metric{each % 50}" for each in series[rows]],
        )

    both = examples(np.arange(LABELS)), examples(np.flatnonzero(worth == 0))
    found = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        for each in both:
            triage.fit(each)
        found.append(1_000 * (time.perf_counter() - begin))
    return found


def measured() -> list[float]:
    """Milliseconds of each dry run."""
    with tempfile.TemporaryDirectory(prefix="heed-bench-") as folder:
        settings = {"database_url": f"sqlite:///{folder}/heed.db", "data_dir": folder, "clock": "event"}
        with Heed(Settings.model_validate(settings)) as heed:
            return _measured(heed)


def _measured(heed: Heed) -> list[float]:
    at = MONDAY + CADENCE * np.arange(DAYS * 86_400 // CADENCE)
    day = 1 + 0.4 * np.sin(2 * np.pi * at / 86_400)
    value = 200 * (day + np.random.default_rng(1).normal(0, 0.03, at.size))
    streamed = at.size // 2
    _send(heed, at[:streamed], value[:streamed], Delivery.SILENT)
    train.train(heed.committer, now=heed.clock.now(), reason="history", wanted=train.everything)
    for place in np.linspace(streamed + 300, at.size - 300, SPIKES).astype(int):
        value[place : place + SPIKE_POINTS] *= 1.5
    for part in np.array_split(np.arange(streamed, at.size), DAYS):
        _send(heed, at[part], value[part], Delivery.LIVE)
    label_alert(heed, 1, "false_alarm", **BY, now=heed.clock.now(), confirmed=True)
    found = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        label_alert(heed, 2, "false_alarm", **BY, now=heed.clock.now(), dry_run=True)
        found.append(1_000 * (time.perf_counter() - begin))
    return found


def _send(heed: Heed, at: np.ndarray, value: np.ndarray, delivery: Delivery) -> None:
    nobody = np.zeros(at.size, np.int32)
    posted = PostedPoints([identity("orders", {})], nobody, at, value, np.arange(at.size), [])
    heed.committer.submit(posted, None, delivery).result()


if __name__ == "__main__":
    sys.exit(main())
