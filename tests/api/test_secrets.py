"""Secrets stay secret."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from app.store.tables import Base
from tests.running import MONDAY
from tests.serving import ADMIN, Served, serving

SLACK = "https://hooks.slack.com/services/T000/B000/verysecretpart"
WEBHOOK = "https://127.0.0.1:9/another-secret-part"


def everything_stored(served: Served, folder: Path) -> bytes:
    """Every value of every table, and every file."""
    with served.heed.database.reading() as session:
        rows = [row for table in Base.metadata.sorted_tables for row in session.execute(sa.select(table))]
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "secret.key"]
    return repr(rows).encode() + b"".join(files)


def test_no_secret_is_stored_logged_or_counted_in_clear(
    database_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Guarantee 28."""
    with serving(database_url, tmp_path, slack_webhook_url=SLACK, webhook_url=WEBHOOK) as served:
        issued = served.client.post("/v1/tokens", json={"name": "shop", "scope": "ingest"}).json()["token"]
        headers = {"Authorization": f"Bearer {issued}"}
        point = {"metric": "orders", "timestamp": MONDAY, "value": 1}
        assert httpx.post(f"{served.url}/v1/points", json={"points": [point]}, headers=headers).status_code == 202
        alert = served.has_an_alert()
        link = alert["links"]["real"]
        assert httpx.post(link).status_code == 200
        seen = [served.client.get(path).text for path in ("/metrics", "/v1/tokens", "/v1/labels", "/docs")]
        stored = everything_stored(served, tmp_path)
    output = "".join(capfd.readouterr())
    for secret in (ADMIN, issued, SLACK, "verysecretpart", WEBHOOK, "another-secret-part"):
        assert secret.encode() not in stored
        assert secret not in output + "".join(seen)
    assert link.rpartition("/")[2] not in output
    assert link.rpartition("/")[2].encode() not in stored
