"""Tokens, signed links and secrets at rest."""

from __future__ import annotations

import base64
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Gone, NotFound
from app.security import LINK_LIFETIME, Links, Scope, Vault, hash_token, new_token, read_secret_key

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = b"k" * 44


def links(key: bytes = KEY) -> Links:
    return Links(key, "https://heed.example/")


def token_of(url: str) -> str:
    return url.rpartition("/")[2]


def test_each_scope_includes_those_below_it() -> None:
    assert Scope.ADMIN.includes(Scope.OPS)
    assert Scope.ANALYST.includes(Scope.INGEST)
    assert not Scope.INGEST.includes(Scope.ANALYST)


def test_a_token_is_kept_only_as_its_hash() -> None:
    token = new_token()
    assert token not in hash_token(token)
    assert hash_token(token) == hash_token(token)
    assert new_token() != token


def test_a_verdict_link_carries_what_it_may_do() -> None:
    url = links().verdict_url(12, "false_alarm", "slack", NOW)
    assert url.startswith("https://heed.example/f/")
    link = links().read_verdict(token_of(url), NOW)
    assert (link.alert_id, link.verdict, link.origin) == (12, "false_alarm", "slack")
    assert link.expires_at == NOW + LINK_LIFETIME


def test_presses_of_one_button_share_a_key_and_presses_of_another_do_not() -> None:
    def key(alert_id: int, verdict: str, origin: str) -> str:
        url = links().verdict_url(alert_id, verdict, origin, NOW)
        return links().read_verdict(token_of(url), NOW).once_key

    assert key(1, "real", "slack") == key(1, "real", "slack")
    assert len({key(1, "real", "slack"), key(1, "false_alarm", "slack"), key(2, "real", "slack")}) == 3


def test_an_expired_link_is_gone() -> None:
    token = token_of(links().verdict_url(12, "real", "slack", NOW))
    links().read_verdict(token, NOW + LINK_LIFETIME - timedelta(seconds=1))
    with pytest.raises(Gone):
        links().read_verdict(token, NOW + LINK_LIFETIME)


def test_a_link_of_another_installation_is_refused() -> None:
    token = token_of(links(b"another key".ljust(44)).verdict_url(12, "real", "slack", NOW))
    with pytest.raises(NotFound):
        links().read_verdict(token, NOW)


def test_a_link_serves_only_its_own_purpose() -> None:
    alert_token = token_of(links().alert_url(12, "slack", NOW))
    with pytest.raises(NotFound):
        links().read_verdict(alert_token, NOW)
    with pytest.raises(NotFound):
        links().read_undo(alert_token, NOW)
    assert links().read_alert(alert_token, NOW).alert_id == 12
    assert links().read_undo(token_of(links().undo_url(7, NOW)), NOW).label_id == 7


@given(position=st.integers(min_value=0, max_value=10_000), letter=st.sampled_from("AZaz09-_.="))
def test_a_link_with_one_letter_changed_is_refused(position: int, letter: str) -> None:
    """Guarantee 16."""
    token = token_of(links().verdict_url(12, "real", "slack", NOW))
    position %= len(token) - 1  # the last letter of base64 carries bits that mean nothing
    forged = token[:position] + letter + token[position + 1 :]
    if forged != token:
        with pytest.raises(NotFound):
            links().read_verdict(forged, NOW)


@given(st.text(max_size=200))
def test_any_text_in_place_of_a_link_is_refused(text: str) -> None:
    """Guarantee 16."""
    with pytest.raises(NotFound):
        links().read_verdict(text, NOW)


def test_what_a_vault_seals_is_unreadable_without_its_key() -> None:
    sealed = Vault(KEY).seal({"url": "https://hooks.slack.example/secret"})
    assert b"secret" not in sealed
    assert b"secret" not in base64.urlsafe_b64decode(sealed)
    assert Vault(KEY).unseal(sealed) == {"url": "https://hooks.slack.example/secret"}
    with pytest.raises(ValueError, match="secret key file"):
        Vault(b"another key".ljust(44)).unseal(sealed)


def test_the_secret_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secret.key"
    key = read_secret_key(path)
    assert read_secret_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_short_secret_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    path.write_text("hunter2")
    with pytest.raises(ValueError, match="at least 32 bytes"):
        read_secret_key(path)
