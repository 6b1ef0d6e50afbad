"""The environment's addresses become channels, once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.channels import open_channel
from app.channels.setup import NO_LONGER_SET, NewChannel, set_up_channels
from app.channels.slack import SlackWebhook
from app.channels.webhook import Webhook
from app.security import Vault
from app.store.channels import channel_named, disable_channel
from app.store.database import Database
from app.store.tables import Channel

NOW = datetime(2026, 11, 3, 13, 0, tzinfo=UTC)
VAULT = Vault(b"0123456789abcdef0123456789abcdef")
SLACK = "https://hooks.slack.example/services/T0/B0/s3cret"


def set_up(database: Database, **addresses: str | None) -> list[NewChannel]:
    with database.writing() as session:
        return set_up_channels(session, VAULT, addresses, NOW)


def stored(database: Database, name: str) -> Channel:
    with database.reading() as session:
        channel = channel_named(session, name)
    assert channel is not None
    return channel


def test_each_address_becomes_a_channel_whose_secrets_are_encrypted(database: Database) -> None:
    """Guarantee 28."""
    made = set_up(database, slack=SLACK, webhook="https://receiver.example/heed")
    assert [channel.name for channel in made] == ["slack", "webhook"]
    assert b"s3cret" not in stored(database, "slack").secrets
    assert open_channel("slack", VAULT.unseal(stored(database, "slack").secrets)) == SlackWebhook(SLACK)


def test_the_signing_secret_of_a_new_webhook_is_handed_out_once(database: Database) -> None:
    (made,) = set_up(database, webhook="https://receiver.example/heed")
    assert made.signing_secret is not None
    assert made.signing_secret not in repr(made)
    opened = open_channel("webhook", VAULT.unseal(stored(database, "webhook").secrets))
    assert opened == Webhook("https://receiver.example/heed", made.signing_secret)
    assert set_up(database, webhook="https://receiver.example/heed") == []


def test_a_changed_address_enables_the_channel_again_and_keeps_its_signing_secret(database: Database) -> None:
    (made,) = set_up(database, webhook="https://old.example")
    with database.writing() as session:
        disable_channel(session, stored(database, "webhook").id, "the receiver answered 410", NOW)
    set_up(database, webhook="https://old.example")
    assert stored(database, "webhook").disabled_at is not None
    set_up(database, webhook="https://new.example")
    channel = stored(database, "webhook")
    assert channel.disabled_at is None
    assert VAULT.unseal(channel.secrets) == {"url": "https://new.example", "secret": made.signing_secret}


def test_an_address_taken_away_disables_the_channel_and_given_back_enables_it(database: Database) -> None:
    set_up(database, slack=SLACK)
    set_up(database, slack=None, webhook=None)
    assert stored(database, "slack").disabled_reason == NO_LONGER_SET
    set_up(database, slack=SLACK)
    assert stored(database, "slack").disabled_at is None


def test_a_wrong_address_is_refused_without_being_echoed(database: Database) -> None:
    with pytest.raises(ValueError, match="whole URL") as refused:
        set_up(database, slack="hooks.slack.example/s3cret")
    assert "s3cret" not in str(refused.value)
