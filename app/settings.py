"""What an operator may set, read from environment variables.

A wrong setting stops the start with its name, what is wrong with the value and the cure. The value itself is never
repeated: it may be a secret.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import string
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "HEED_"
OF_COMMANDS = ("HEED_URL", "HEED_TOKEN")
"""What commands take that speak to a Heed elsewhere; no settings."""
DATABASE_SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingsError(Exception):
    """Settings the service must not start with; the text names each one, its fault and the cure."""


class ClockChoice(StrEnum):
    """What *now* is."""

    WALL = "wall"
    EVENT = "event"


def _set_by(
    default: Any = ..., *, meaning: str, cure: str, default_in_words: str | None = None, **constraints: Any
) -> Any:
    """A setting: what it means, what a right value looks like, and its default where words say it better."""
    extra: JsonDict = {"cure": cure, "default_in_words": default_in_words}
    if callable(default):
        return Field(default_factory=default, description=meaning, json_schema_extra=extra, **constraints)
    return Field(default, description=meaning, json_schema_extra=extra, **constraints)


class Settings(BaseSettings):
    """One field for each `HEED_…` variable. `docs/settings.md` is this class as a table."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    host: str = _set_by(
        "127.0.0.1",
        meaning="Address to listen on.",
        cure="Give a host name or an address, such as 127.0.0.1, or 0.0.0.0 for all of this machine's addresses.",
    )
    port: int = _set_by(8000, meaning="Port to listen on.", cure="Give a whole number from 1 to 65535.", ge=1, le=65535)
    public_url: str = _set_by(
        lambda known: own_url(known["host"], known["port"]),
        meaning="Where people reach this service. The links in messages start with it.",
        cure="Give an address such as https://heed.example.com, without a question mark or a hash.",
        default_in_words="`http://HEED_HOST:HEED_PORT`",
    )
    data_dir: Path = _set_by(
        Path("data"),
        meaning="Folder of the SQLite database and of the key to its secrets. Made if it is missing.",
        cure="Give a folder that this user may write to.",
    )
    database_url: SecretStr = _set_by(
        lambda known: SecretStr(f"sqlite:///{known['data_dir'] / 'heed.db'}"),
        meaning="The database: `sqlite:///path/to/file` or `postgresql://user:password@host/name`.",
        cure="Give sqlite:///path/to/file or postgresql://user:password@host/name.",
        default_in_words="`heed.db` in `HEED_DATA_DIR`",
    )
    broker_url: SecretStr | None = _set_by(
        None,
        meaning="Reserved for a message broker between several processes. Not built yet: setting it stops the start.",
        cure="Unset it: one process does everything.",
        default_in_words="none",
    )
    admin_token: SecretStr | None = _set_by(
        None,
        meaning="An admin token of your own choice.",
        cure="Give at least 16 characters without spaces, such as the output of `openssl rand -hex 24`.",
        default_in_words="one is made at the first start and printed once",
    )
    secret_key_file: Path = _set_by(
        lambda known: known["data_dir"] / "secret.key",
        meaning="File with the key that encrypts stored secrets and signs links. Made if it is missing. "
        "Whoever loses it must enter channels anew; keep a copy apart from the backups of the database.",
        cure="Give the path of a file that this user may read, or of one that may be made.",
        default_in_words="`secret.key` in `HEED_DATA_DIR`",
    )
    slack_webhook_url: SecretStr | None = _set_by(
        None,
        meaning="A first channel: the address of a Slack incoming webhook.",
        cure="Give the whole address that Slack shows, starting with https://.",
        default_in_words="none",
    )
    webhook_url: SecretStr | None = _set_by(
        None,
        meaning="A first channel: an address that is sent signed JSON (Standard Webhooks).",
        cure="Give an address that starts with https:// or http://.",
        default_in_words="none",
    )
    allow_private_targets: Annotated[tuple[Network, ...], NoDecode] = _set_by(
        (),
        meaning="Networks that channels may reach although they are private, separated by commas, such as "
        "`10.1.0.0/16`. Without it nobody can make Heed call into your network.",
        cure="Give networks separated by commas, such as 127.0.0.0/8,10.1.0.0/16.",
        default_in_words="none",
    )
    alerts_per_week: float = _set_by(
        0.25,
        meaning="How many alerts a week each series may send for wrong reasons. The one control of sensitivity: "
        "0.25 is one in four weeks.",
        cure="Give a number above 0, up to 100, such as 0.25.",
        gt=0,
        le=100,
    )
    label_half_life_days: float = _set_by(
        180.0,
        meaning="After how many days a label has half its weight. An analyst's holds in full for twice as long, one "
        "given through a link as long; then what it taught fades.",
        cure="Give a number of days of at least 1, up to 3650, such as 180.",
        ge=1,
        le=3650,
    )
    timezone: str = _set_by(
        "UTC",
        meaning="Time zone of new series, as an IANA name. Their days and weeks follow it.",
        cure="Give an IANA name such as Europe/Berlin.",
    )
    country: str | None = _set_by(
        None,
        meaning="Country, or part of one, whose public holidays count for series of which no policy says otherwise, by "
        "ISO 3166. What they do to a series is learned.",
        cure="Give a code such as DE, or DE-BY for a part of the country.",
        default_in_words="none",
    )
    clock: ClockChoice = _set_by(
        ClockChoice.WALL,
        meaning="`wall`: now is now. `event`: now is the newest event time seen, so that a replay behaves as it would "
        "have live.",
        cure="Give wall or event.",
    )
    max_body_mb: float = _set_by(
        32,
        meaning="Largest request in MB, before and after decompression. A larger one is answered with 413.",
        cure="Give a number above 0, up to 1024, such as 32.",
        gt=0,
        le=1024,
    )
    max_points: int = _set_by(
        100_000,
        meaning="Most points in one request. More are answered with 413.",
        cure="Give a whole number from 1 to 10000000, such as 100000.",
        ge=1,
        le=10_000_000,
    )
    new_series_per_token: int = _set_by(
        10_000,
        meaning="How many new series one token may bring in all, so that one producer cannot flood the others.",
        cure="Give a whole number of at least 0, such as 10000.",
        ge=0,
    )

    longest_gap_days: int = _set_by(
        14,
        meaning="How many days a gap that Heed found, or that a verdict of bad data made, may stay open before its "
        "series are judged again all the same. People are told.",
        cure="Give a whole number from 1 to 365, such as 14.",
        ge=1,
        le=365,
    )
    retention_days: int | None = _set_by(
        None,
        meaning="How many days points are kept, to a week or so of hourly ones. Training looks back 70 at least.",
        cure="Give a whole number from 70 to 36500, such as 800, or unset it to keep everything.",
        default_in_words="everything is kept",
        ge=70,
        le=36_500,
    )

    @field_validator("host")
    @classmethod
    def _check_host(cls, host: str) -> str:
        if not host or set(host) - set(string.ascii_letters + string.digits + ".:_-"):
            raise ValueError("it holds characters that no address has")
        return host

    @field_validator("country")
    @classmethod
    def _check_country(cls, country: str | None) -> str | None:
        from detectors.days import check_country

        return country if country is None else check_country(country)

    @field_validator("broker_url")
    @classmethod
    def _refuse_a_broker(cls, broker_url: SecretStr | None) -> SecretStr | None:
        if broker_url is not None:
            raise ValueError("running several processes over a broker is not built yet")
        return None

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, url: str) -> str:
        parts = _web_address(url)
        if parts.query or parts.fragment:
            raise ValueError("links are made by adding to its end, so it can't have a question mark or a hash")
        return url.rstrip("/")

    @field_validator("slack_webhook_url", "webhook_url")
    @classmethod
    def _check_webhook_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            _web_address(url.get_secret_value())
        return url

    @field_validator("data_dir")
    @classmethod
    def _check_data_dir(cls, folder: Path) -> Path:
        if folder.exists() and not folder.is_dir():
            raise ValueError("it is a file, not a folder")
        return folder

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, url: SecretStr) -> SecretStr:
        scheme, _, place = url.get_secret_value().partition("://")
        if scheme not in DATABASE_SCHEMES:
            raise ValueError("it is neither SQLite nor PostgreSQL")
        if scheme == "sqlite" and place.strip("/") in ("", ":memory:"):
            raise ValueError("a database in memory would forget what was acknowledged")
        return url

    @field_validator("admin_token")
    @classmethod
    def _check_admin_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and (len(token.get_secret_value()) < 16 or not token.get_secret_value().isprintable()):
            raise ValueError("it is too short to be safe, or holds characters that can't be sent")
        if token is not None and " " in token.get_secret_value():
            raise ValueError("it holds a space")
        return token

    @field_validator("allow_private_targets", mode="before")
    @classmethod
    def _split_networks(cls, networks: str | Iterable[Any]) -> list[Network]:
        names = networks.split(",") if isinstance(networks, str) else networks
        try:
            return [ipaddress.ip_network(str(name).strip()) for name in names if str(name).strip()]
        except ValueError:
            raise ValueError("one of them is not a network in CIDR form, or has bits set behind its mask") from None

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError("no time zone has this name")
        return name


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, or a `SettingsError` that says all that is wrong with them."""
    faults = [_unknown_variable(name) for name in os.environ if _is_unknown(name)]
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        faults += [_fault(details) for details in error.errors() if details["type"] != "default_factory_not_called"]
        raise SettingsError("\n".join(faults)) from None
    if faults:
        raise SettingsError("\n".join(faults))
    return settings


def variable_name(field: str) -> str:
    return PREFIX + field.upper()


def settings_table() -> str:
    """All settings as the Markdown table that `docs/settings.md` holds."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        rows.append(f"| `{variable_name(name)}` | {_default_in_words(field)} | {field.description} |")
    return "\n".join(rows)


def own_url(host: str, port: int) -> str:
    """Where this machine reaches a server that listens there."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _web_address(url: str) -> Any:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("it is not an address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it is not an http or https address")
    return parts


def _is_unknown(name: str) -> bool:
    upper = name.upper()
    known = upper in OF_COMMANDS or upper.removeprefix(PREFIX).lower() in Settings.model_fields
    return upper.startswith(PREFIX) and not known


def _unknown_variable(name: str) -> str:
    nearest = difflib.get_close_matches(name.upper(), map(variable_name, Settings.model_fields), n=1, cutoff=0.0)
    return f"{name} is not a setting. Did you mean {nearest[0]}? Rename it or unset it."


def _fault(details: ErrorDetails) -> str:
    field = str(details["loc"][0])
    fault = str(details["msg"]).removeprefix("Value error, ").replace("Input should be", "it should be")
    extra = Settings.model_fields[field].json_schema_extra
    cure = extra["cure"] if isinstance(extra, dict) else ""
    return f"{variable_name(field)} is wrong: {fault[0].lower()}{fault[1:]}. {cure}"


def _default_in_words(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    words = extra.get("default_in_words") if isinstance(extra, dict) else None
    return str(words) if words else f"`{field.default}`"
