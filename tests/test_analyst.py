"""The simulated analyst goes all the way from labelled files to its table; real sets take minutes, this one seconds."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import analyst

ONE_SERIES = """
import numpy as np

def dataset(name):
    timestamp = 1_767_571_200 + 14_400 * np.arange(6 * 12)
    value = 100 + 40 * np.sin(2 * np.pi * timestamp / 86_400) + np.random.default_rng(1).normal(0, 2, timestamp.size)
    label = np.zeros(timestamp.size, bool)
    for day, factor in ((7, 3), (8, 0.1), (9, 3), (10, 0.1)):
        wrong = slice(6 * day + 2, 6 * day + 4)
        value[wrong] *= factor
        label[wrong] = factor < 1
    yield name, timestamp, value, label
"""
"""Twelve days, of which half are history: two rises that nobody wants to hear of, and two falls that matter."""


def test_a_spike_beside_an_injected_standstill_does_not_tell_of_it() -> None:
    course = analyst.Course("one", np.arange(3), np.ones(3), [], 3_600)
    start, later = 36_000, 36_000 + 4 * 3_600
    fall = analyst.Told(course, start, start + 3_600, later, 1.0, direction=-1)
    assert analyst.tells_of(fall, start, -1)
    assert not analyst.tells_of(replace(fall, direction=1), start, -1)
    assert not analyst.tells_of(replace(fall, opened_at=later, told_at=later), start, -1)
    assert not analyst.tells_of(replace(fall, told_at=0), start, -1)


def test_the_analyst_answers_alerts_and_looks_for_what_labels_hide(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "datasets.py").write_text(ONE_SERIES, encoding="utf-8")
    analyst.main(["small", "--data", str(tmp_path), "--inject-days", "1"])
    said = " ".join(capsys.readouterr().out.split())
    found = re.match(r"small: 1 series, (\d+) labels", said)
    assert found
    assert int(found[1]) >= 2
    assert re.search(r"whole stream: budget alone │ 0\.\d\d │ (0\.50|1\.00) │ 0\.\d\d │ [12] │ [1-4] │", said), said
    assert re.search(r"whole stream: with answers │ 0\.\d\d │ 1\.00 │ 0\.\d\d │ 2 │ [1-4] │", said), said
    assert "Deafness: of 2 severe incidents injected into the most labelled series 2 were told; 2 without" in said, said
