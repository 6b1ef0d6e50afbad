"""`heed assess`: files in, reports and pages out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from app.api.assessments import AssessmentAnswer, AssessmentList
from app.backtest.tables import Table, UnreadableTable, read_tables
from app.pipeline.assess import Past, Report
from app.web.assessment import assessment_file
from detectors.quality import arrival_of


def read_pasts(files: Sequence[Path], *, timezone: str, country: str = "") -> tuple[list[Past], list[UnreadableTable]]:
    """The series of CSV files of `timestamp,value`, and the faults of those that cannot be read.

    timezone: in which days are counted, and times that name none are read.
    """
    pasts: list[Past] = []
    faults = []
    for file in files:
        try:
            pasts += [_past(table, timezone, country) for table in read_tables(file, ZoneInfo(timezone))]
        except UnreadableTable as fault:
            faults.append(fault)
    return pasts, faults


def _past(table: Table, timezone: str, country: str) -> Past:
    recorded, arrival = table.recorded, arrival_of(table.row)  # rows in the order of the file, numbered by time
    return Past(
        metric=recorded.name,
        dimensions=table.dimensions,
        timezone=timezone,
        timestamp=recorded.timestamp,
        value=recorded.value,
        weight=recorded.weight,
        arrival=arrival,
        country=country,
    )


def answers(reports: Sequence[Report], *, alerts_per_week: float) -> dict[str, Any]:
    """What `POST /v1/assessments` would answer."""
    assessments = [AssessmentAnswer.of(report) for report in reports]
    found = AssessmentList(alerts_per_week=alerts_per_week, assessments=assessments, more_match=False)
    return found.model_dump(mode="json")


def write_pages(reports: Sequence[Report], folder: Path) -> list[Path]:
    """A page for each report under the name of its series, numbered where two share one; returns where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    pages: list[Path] = []
    for report in reports:
        name, number = _file_name(report.past), 2
        page = folder / f"{name}.html"
        while page in pages:
            page, number = folder / f"{name}-{number}.html", number + 1
        page.write_text(assessment_file(report), encoding="utf-8")
        pages.append(page)
    return pages


def _file_name(past: Past) -> str:
    """The series in letters that any system takes for a name."""
    parts = [past.metric, *(text for pair in sorted(past.dimensions.items()) for text in pair)]
    return re.sub(r"[^\w.-]+", "-", "-".join(parts)).lstrip(".") or "series"
