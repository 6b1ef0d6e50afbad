"""All benchmarks one after another: `make bench`, or `python -m benchmarks ingest fit` for some of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main(chosen: list[str]) -> int:
    """Run each in a process of its own, so that none warms up or crowds another."""
    modules = sorted(Path(__file__).parent.glob("[a-z]*.py"))
    known = [path.stem for path in modules if '__name__ == "__main__"' in path.read_text(encoding="utf-8")]
    if unknown := set(chosen) - set(known):
        print(f"No such benchmark: {', '.join(sorted(unknown))}. There are: {', '.join(known)}.", file=sys.stderr)
        return 2
    failed = [name for name in chosen or known if not _run(name)]
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


def _run(name: str) -> bool:
    return subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
