"""A process to be killed: it forks, for each time given on its standard input, a child that delivers what is due then.

It has one thread and its imports done, so that a fork is quick and safe.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime

from app.store.database import Database
from tests.pipeline.outbox import notifier


def main(database_url: str) -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # logs must not mix with our answers
            notifier(Database(database_url)).run_once(datetime.fromisoformat(line.strip()))
            os._exit(0)
        answer(str(child))
        os.waitpid(child, 0)
        answer("ended")


def answer(said: str) -> None:
    sys.stdout.write(f"{said}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
