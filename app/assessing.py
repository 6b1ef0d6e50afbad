"""`heed assess`: files in, reports and pages out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.api.assessments import AssessmentAnswer
from app.backtest.tables import Table, read_table
from app.pipeline.assess import Past, Report, assess_pasts
from app.web.assessment import assessment_file
from detectors.quality import arrival_of


def assess_tables(files: Sequence[Path], *, alerts_per_week: float, timezone: str, country: str = "") -> list[Report]:
    """One report a CSV file of `timestamp,value`. Raises UnreadableTable."""
    pasts = [_past(read_table(file), timezone, country) for file in files]
    return assess_pasts(pasts, alerts_per_week=alerts_per_week)


def _past(table: Table, timezone: str, country: str) -> Past:
    recorded, arrival = table.recorded, arrival_of(table.row)  # rows in the order of the file, numbered by time
    return Past(
        metric=recorded.name,
        timezone=timezone,
        timestamp=recorded.timestamp,
        value=recorded.value,
        weight=recorded.weight,
        arrival=arrival,
        country=country,
    )


def answers(reports: Sequence[Report]) -> dict[str, Any]:
    """What `POST /v1/assessments` would answer."""
    return {"assessments": [AssessmentAnswer.of(report).model_dump(mode="json") for report in reports]}


def write_pages(reports: Sequence[Report], folder: Path) -> list[Path]:
    """A page for each report under its own name, numbered where two share one; returns where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    pages: list[Path] = []
    for report in reports:
        page, number = folder / f"{report.past.metric}.html", 2
        while page in pages:
            page, number = folder / f"{report.past.metric}-{number}.html", number + 1
        page.write_text(assessment_file(report), encoding="utf-8")
        pages.append(page)
    return pages
