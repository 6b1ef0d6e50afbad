"""Settings come from the environment, and a wrong one stops the start with its name, its fault and the cure."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from app.settings import ClockChoice, Settings, SettingsError, load_settings, settings_table, variable_name

DOCUMENT = Path(__file__).parents[1] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_name(name), raising=False)


def test_without_any_setting_heed_serves_this_machine_from_sqlite_in_the_data_folder() -> None:
    settings = load_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.public_url == "http://127.0.0.1:8000"
    assert settings.database_url.get_secret_value() == "sqlite:///data/heed.db"
    assert settings.secret_key_file == Path("data/secret.key")


def test_the_data_folder_moves_the_database_and_the_key_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEED_DATA_DIR", "/var/lib/heed")
    settings = load_settings()
    assert settings.database_url.get_secret_value() == "sqlite:////var/lib/heed/heed.db"
    assert settings.secret_key_file == Path("/var/lib/heed/secret.key")


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:9000"), ("::", "http://[::1]:9000"), ("heed.local", "http://heed.local:9000")],
)
def test_links_start_with_an_address_that_this_machine_reaches(
    monkeypatch: pytest.MonkeyPatch, host: str, url: str
) -> None:
    monkeypatch.setenv("HEED_HOST", host)
    monkeypatch.setenv("HEED_PORT", "9000")
    assert load_settings().public_url == url


def test_every_setting_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "HEED_PUBLIC_URL": "https://heed.example.com/",
        "HEED_ALLOW_PRIVATE_TARGETS": "127.0.0.0/8, fd00::/8",
        "HEED_ALERTS_PER_WEEK": "0.5",
        "HEED_TIMEZONE": "Europe/Berlin",
        "HEED_CLOCK": "event",
        "HEED_DATABASE_URL": "postgresql://heed:pw@db/heed",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.public_url == "https://heed.example.com"
    assert settings.allow_private_targets == (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
    assert (settings.alerts_per_week, settings.timezone, settings.clock) == (0.5, "Europe/Berlin", ClockChoice.EVENT)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEED_PORT", "")
    assert load_settings().port == 8000


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("HEED_HOST", "not a host", "0.0.0.0"),
        ("HEED_PORT", "70000", "1 to 65535"),
        ("HEED_PORT", "eight thousand", "1 to 65535"),
        ("HEED_PUBLIC_URL", "heed.example.com", "https://heed.example.com"),
        ("HEED_PUBLIC_URL", "https://heed.example.com/?a=b", "without a question mark"),
        ("HEED_DATA_DIR", __file__, "folder"),
        ("HEED_DATABASE_URL", "mysql://root:hunter2@db/heed", "postgresql://"),
        ("HEED_DATABASE_URL", "sqlite://", "sqlite:///path"),
        ("HEED_BROKER_URL", "amqp://broker", "one process does everything"),
        ("HEED_ADMIN_TOKEN", "hunter2", "at least 16 characters"),
        ("HEED_ADMIN_TOKEN", "sixteen characters and a space", "without spaces"),
        ("HEED_SLACK_WEBHOOK_URL", "hooks.slack.com/hunter2", "https://"),
        ("HEED_WEBHOOK_URL", "ftp://hunter2", "https://"),
        ("HEED_ALLOW_PRIVATE_TARGETS", "10.0.0.1/8", "10.1.0.0/16"),
        ("HEED_ALERTS_PER_WEEK", "0", "above 0"),
        ("HEED_TIMEZONE", "Middle-earth/Shire", "Europe/Berlin"),
        ("HEED_CLOCK", "sundial", "wall or event"),
        ("HEED_MAX_BODY_MB", "-1", "above 0"),
        ("HEED_MAX_POINTS", "0", "from 1"),
        ("HEED_NEW_SERIES_PER_TOKEN", "-1", "at least 0"),
    ],
)
def test_a_wrong_setting_is_named_with_its_cure_and_its_value_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, cure: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value).startswith(f"{name} is wrong: ")
    assert cure in str(error.value)
    assert "hunter2" not in str(error.value)


def test_all_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEED_PORT", "none")
    monkeypatch.setenv("HEED_TIMEZONE", "none")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert len(str(error.value).splitlines()) == 2


def test_a_misspelt_setting_stops_the_start_and_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEED_ALERT_PER_WEEK", "1")
    with pytest.raises(SettingsError, match="Did you mean HEED_ALERTS_PER_WEEK"):
        load_settings()


def test_secrets_do_not_show_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """guarantee 28"""
    monkeypatch.setenv("HEED_ADMIN_TOKEN", "hunter2hunter2hunter2")
    monkeypatch.setenv("HEED_SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/hunter2")
    monkeypatch.setenv("HEED_DATABASE_URL", "postgresql://heed:hunter2@db/heed")
    assert "hunter2" not in f"{load_settings()!r} {load_settings()}"


def test_the_documented_table_of_settings_is_complete() -> None:
    assert settings_table() in DOCUMENT.read_text(), f"docs/settings.md must hold this table:\n{settings_table()}"
