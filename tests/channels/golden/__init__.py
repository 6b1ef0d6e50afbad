"""Messages as they were approved. `HEED_WRITE_GOLDEN=1` writes them anew; read them before committing."""

from __future__ import annotations

import json
import os
from pathlib import Path

FOLDER = Path(__file__).parent


def golden(name: str, made: str) -> str:
    """What the message was when somebody last read it; `made` is what it is now."""
    path = FOLDER / name
    if os.environ.get("HEED_WRITE_GOLDEN"):
        path.write_text(made, encoding="utf-8")
    return path.read_text(encoding="utf-8")


def as_json(payload: object) -> str:
    return json.dumps(payload, ensure_ascii=False, indent=2) + "\n"
