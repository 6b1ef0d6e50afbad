"""Where tests keep their files: in memory if there is plenty, since waiting for a disk tells them nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

PLENTY_BYTES = 4 << 30


def in_memory() -> Path | None:
    """A folder in memory; None, for the usual folder of temporary files, where there is none or not enough of it."""
    folder = Path("/dev/shm")
    plenty = folder.is_dir() and shutil.disk_usage(folder).free > PLENTY_BYTES
    return folder if plenty else None
