"""Real databases for every test that asks: SQLite and PostgreSQL, migrated once and copied for each test.

What Hypothesis tries is the same in every run of `make test`, and new in every `make soak`.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import certifi
import psycopg
import pytest
import structlog
from hypothesis import settings

from app.store.database import Database
from app.store.migrate import upgrade
from tests.services.memory import in_memory
from tests.services.postgres import running_postgresql
from tests.serving import Served, serving

settings.register_profile("repeatable", derandomize=True)
settings.register_profile("exploring", derandomize=False, print_blob=True)
settings.load_profile("repeatable")

if (memory := in_memory()) is not None:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))  # what tmp_path is in

structlog.configure(  # its own default draws every local variable of a fault, for minutes where they are large arrays
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

END = "-----END CERTIFICATE-----\n"
_copies = itertools.count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long and is not about the database runs on SQLite in `make test`, and in `make soak` on both."""
    for item in items:
        of_postgresql = "postgresql" in item.name.partition("[")[2].rstrip("]").split("-")
        if item.get_closest_marker("any_database") and of_postgresql:
            item.add_marker(pytest.mark.soak)


@pytest.fixture(scope="session", autouse=True)
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All that this process trusts: every HTTP client reads those that it does, and for a hundred takes 20 ms."""
    every = Path(certifi.where()).read_text(encoding="utf-8")
    path = tmp_path_factory.mktemp("trusted") / "one.pem"
    path.write_text(every.partition(END)[0] + END, encoding="utf-8")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(path))
        yield


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to copy."""
    path = tmp_path_factory.mktemp("template") / "heed.db"
    database = Database(f"sqlite:///{path}")
    upgrade(database)
    database.close()
    return path


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server whose database `template_heed` is migrated, to copy."""
    with running_postgresql() as url:
        _administer(url, "CREATE DATABASE template_heed")
        database = Database(_database_of(url, "template_heed"))
        upgrade(database)
        database.close()
        yield url


@pytest.fixture(scope="session")
def sqlite_with_an_alert(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file of a Heed with one series, which has an alert, to copy."""
    folder = tmp_path_factory.mktemp("alerted")
    path = folder / "heed.db"
    shutil.copy(sqlite_template, path)
    with serving(f"sqlite:///{path}", folder) as served:
        served.has_an_alert()
    return path


@pytest.fixture(scope="session")
def postgresql_with_an_alert(postgresql_server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its name on the server: the same, to copy."""
    name = "alerted_heed"
    _administer(postgresql_server, f"CREATE DATABASE {name} TEMPLATE template_heed")
    with serving(_database_of(postgresql_server, name), tmp_path_factory.mktemp("alerted")) as served:
        served.has_an_alert()
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh migrated database of this test's own; with an alert in it if the test wants that `alert`."""
    with_an_alert = "alert" in request.fixturenames
    with _copy(request, request.param, tmp_path, with_an_alert=with_an_alert) as url:
        yield url


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[Served]:
    """A Heed of the test's own, empty but for the `alert` that it wants; once on SQLite and once on PostgreSQL."""
    with serving(database_url, tmp_path) as served:
        yield served


@pytest.fixture
def alert(served: Served) -> dict[str, Any]:
    """The only alert that there is, as the API shows it: orders with five normal weeks have fallen."""
    return served.alert()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for all tests that change nothing. It knows one series, which has an alert."""
    folder = tmp_path_factory.mktemp("shared")
    with _copy(request, request.param, folder, with_an_alert=True) as url, serving(url, folder) as served:
        yield served


@contextmanager
def _copy(request: pytest.FixtureRequest, kind: str, folder: Path, *, with_an_alert: bool) -> Iterator[str]:
    """The URL of a new copy of a template."""
    if kind == "sqlite":
        template: Path = request.getfixturevalue("sqlite_with_an_alert" if with_an_alert else "sqlite_template")
        shutil.copy(template, folder / "heed.db")
        yield f"sqlite:///{folder / 'heed.db'}"
        return
    server: str = request.getfixturevalue("postgresql_server")
    source: str = request.getfixturevalue("postgresql_with_an_alert") if with_an_alert else "template_heed"
    name = f"heed_{next(_copies)}"
    _administer(server, f"CREATE DATABASE {name} TEMPLATE {source}")
    yield _database_of(server, name)
    _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh migrated database, once on SQLite and once on PostgreSQL."""
    database = Database(database_url)
    yield database
    database.close()


def _administer(server: str, statement: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement.encode())


def _database_of(server: str, name: str) -> str:
    return f"{server.rpartition('/')[0]}/{name}"
