"""Real databases for every test that asks: SQLite and PostgreSQL, migrated once and copied for each test.

What Hypothesis tries is the same in every run of `make test`, and new in every `make soak`.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

from app.store.database import Database
from app.store.migrate import upgrade
from tests.services.postgres import running_postgresql

settings.register_profile("repeatable", derandomize=True)
settings.register_profile("exploring", derandomize=False, print_blob=True)
settings.load_profile("repeatable")

_copies = itertools.count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long and is not about the database runs on SQLite in `make test`, and in `make soak` on both."""
    for item in items:
        chosen = getattr(item, "callspec", None)
        if item.get_closest_marker("any_database") and chosen and "postgresql" in chosen.params.values():
            item.add_marker(pytest.mark.soak)


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


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh migrated database of this test's own."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        shutil.copy(template, tmp_path / "heed.db")
        yield f"sqlite:///{tmp_path / 'heed.db'}"
        return
    server: str = request.getfixturevalue("postgresql_server")
    name = f"heed_{next(_copies)}"
    _administer(server, f"CREATE DATABASE {name} TEMPLATE template_heed")
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
