"""Who may do what, links that act for one alert only, and secrets at rest. All keys come from one secret key file."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from itsdangerous import BadData, URLSafeSerializer

from app.errors import Gone, NotFound

LINK_LIFETIME = timedelta(days=30)
SECRET_KEY_BYTES = 32


class Scope(StrEnum):
    """What a token allows. Each scope includes those before it."""

    INGEST = "ingest"
    ANALYST = "analyst"
    OPS = "ops"
    ADMIN = "admin"

    def includes(self, needed: Scope) -> bool:
        ranks = list(Scope)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True)
class Bearer:
    """Who a valid token speaks for."""

    token_id: int
    name: str
    scope: Scope
    new_series_limit: int


def new_token() -> str:
    """A bearer token of 256 random bits. Shown once; only its hash is kept."""
    return f"heed_{secrets.token_urlsafe(32)}"


def hash_token(token: str) -> str:
    """How a token is stored. A plain digest will do, since what it hides is random and long."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def read_secret_key(path: Path) -> bytes:
    """The installation's secret key; made, readable by its owner only, where the file does not exist yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _make_secret_key(path)
    key = path.read_bytes().strip()
    if len(key) < SECRET_KEY_BYTES:
        raise ValueError(f"the secret key file must hold at least {SECRET_KEY_BYTES} bytes, got {len(key)}")
    return key


def _make_secret_key(path: Path) -> None:
    """Written aside and linked into place, so that of two first starts one wins and neither reads half a key."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(urlsafe_b64encode(secrets.token_bytes(SECRET_KEY_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def derive_key(secret_key: bytes, purpose: str) -> bytes:
    """An independent 32-byte key for one purpose, so that no key is used for two things."""
    return HKDF(hashes.SHA256(), 32, salt=None, info=f"heed {purpose}".encode()).derive(secret_key)


class Vault:
    """Keeps secrets such as webhook URLs encrypted in the database."""

    def __init__(self, secret_key: bytes) -> None:
        self._fernet = Fernet(urlsafe_b64encode(derive_key(secret_key, "vault")))

    def seal(self, fields: Mapping[str, str]) -> bytes:
        return self._fernet.encrypt(json.dumps(dict(fields)).encode())

    def unseal(self, sealed: bytes) -> dict[str, str]:
        """The fields that were sealed. Raises ValueError where another secret key sealed them."""
        try:
            fields: dict[str, str] = json.loads(self._fernet.decrypt(sealed))
        except InvalidToken:
            raise ValueError(
                "a stored secret can't be decrypted: put back the secret key file it was written with"
            ) from None
        return fields


@dataclass(frozen=True)
class VerdictLink:
    """A link that may give one verdict on one alert, for whoever holds it. `origin` is the channel it was sent to."""

    alert_id: int
    verdict: str
    origin: str
    expires_at: datetime

    @property
    def once_key(self) -> str:
        return press_key(self.alert_id, self.verdict, self.origin)


def press_key(alert_id: int, verdict: str, origin: str) -> str:
    """The same for every press of this button on this alert from one channel, so that they are one label."""
    return f"link:{alert_id}:{verdict}:{origin}"


@dataclass(frozen=True)
class ActionLink:
    """A link that may look after one alert: take it on, or snooze it. `origin` as of a verdict's link.

    made_at: to the second.
    """

    alert_id: int
    action: str
    origin: str
    expires_at: datetime
    made_at: datetime


@dataclass(frozen=True)
class MissedLink:
    """A link that may report what was missed of the series of one alert. `origin` as of a verdict's link."""

    alert_id: int
    origin: str
    expires_at: datetime


@dataclass(frozen=True)
class BudgetLink:
    """A link that may give one policy the budget that the message of an alert offers, or take that back."""

    alert_id: int
    policy: str
    before: float
    wanted: float
    origin: str
    expires_at: datetime


@dataclass(frozen=True)
class AlertLink:
    """A link that shows one alert, and offers its verdicts, to whoever holds it."""

    alert_id: int
    origin: str
    expires_at: datetime


@dataclass(frozen=True)
class UndoLink:
    """A link that may revoke one label."""

    label_id: int
    expires_at: datetime


@dataclass(frozen=True)
class ChartLink:
    """A link to the picture of one alert as it was at a time (unix seconds)."""

    alert_id: int
    until: int
    expires_at: datetime


@dataclass(frozen=True)
class DigestLink:
    """A link to the list of alerts that one message told of together; `origin` as of an alert's link."""

    notification_id: str
    origin: str
    expires_at: datetime


@dataclass(frozen=True)
class LeaveLink:
    """A link by which whoever gets the messages of a channel may ask for no more."""

    channel_id: int
    expires_at: datetime


class Links:
    """Signed links: what they may do is in them, and nobody can make one without the secret key.

    `now` is real time in every call: a replay's event clock must neither expire links nor revive them.
    """

    def __init__(self, secret_key: bytes, public_url: str, lifetime: timedelta = LINK_LIFETIME) -> None:
        self.public_url = public_url.rstrip("/")
        self.lifetime = lifetime
        self._key = derive_key(secret_key, "links")

    def verdict_url(self, alert_id: int, verdict: str, origin: str, now: datetime) -> str:
        """Link whose page gives `verdict` on the alert when its button is pressed. `origin`: the channel's name."""
        return self._url("f", [alert_id, verdict, origin, self._expiry(now)])

    def verdict_urls(self, alert_id: int, verdicts: list[str], origin: str, now: datetime) -> dict[str, str]:
        return {verdict: self.verdict_url(alert_id, verdict, origin, now) for verdict in verdicts}

    def action_url(self, alert_id: int, action: str, origin: str, now: datetime) -> str:
        """Link whose page does `action` to the alert when its button is pressed."""
        return self._url("k", [alert_id, action, origin, self._expiry(now)])

    def missed_url(self, alert_id: int, origin: str, now: datetime) -> str:
        """Link whose page takes a report of what was missed of the alert's series."""
        return self._url("m", [alert_id, origin, self._expiry(now)])

    def budget_url(
        self, alert_id: int, policy: str, before: float, wanted: float, *, origin: str, now: datetime
    ) -> str:
        """Link whose page gives the policy that many `alerts_per_week` in place of those before."""
        return self._url("b", [alert_id, policy, before, wanted, origin, self._expiry(now)])

    def alert_url(self, alert_id: int, origin: str, now: datetime) -> str:
        """Link to the page of the alert: the `url` of a notification."""
        return self._url("a", [alert_id, origin, self._expiry(now)])

    def undo_url(self, label_id: int, now: datetime) -> str:
        """Link whose page revokes the label when its button is pressed."""
        return self._url("u", [label_id, self._expiry(now)])

    def leave_url(self, channel_id: int, now: datetime) -> str:
        """Link whose page stops the channel when its button is pressed, or when it is posted to (RFC 8058)."""
        return self._url("x", [channel_id, self._expiry(now)])

    def chart_url(self, alert_id: int, until: int, now: datetime) -> str:
        """Link to the picture of the alert as it was at `until`, for the message to show."""
        return self._url("c", [alert_id, until, self._expiry(now)]) + ".png"

    def digest_url(self, notification_id: str, origin: str, now: datetime) -> str:
        """Link to the list of alerts that the message of this notification told of together."""
        return self._url("d", [notification_id, origin, self._expiry(now)])

    def read_verdict(self, token: str, now: datetime) -> VerdictLink:
        """What the token allows. Raises NotFound where we did not sign it, Gone where it has expired."""
        alert_id, verdict, origin, expiry = self._read("f", token, now)
        return VerdictLink(alert_id, verdict, origin, datetime.fromtimestamp(expiry, UTC))

    def read_action(self, token: str, now: datetime) -> ActionLink:
        """As `read_verdict`, for the link that looks after an alert."""
        alert_id, action, origin, expiry = self._read("k", token, now)
        expires_at = datetime.fromtimestamp(expiry, UTC)
        return ActionLink(alert_id, action, origin, expires_at, expires_at - self.lifetime)

    def read_missed(self, token: str, now: datetime) -> MissedLink:
        """As `read_verdict`, for the link by which a miss is reported."""
        alert_id, origin, expiry = self._read("m", token, now)
        return MissedLink(alert_id, origin, datetime.fromtimestamp(expiry, UTC))

    def read_budget(self, token: str, now: datetime) -> BudgetLink:
        """As `read_verdict`, for the link that sets a budget."""
        alert_id, policy, before, wanted, origin, expiry = self._read("b", token, now)
        return BudgetLink(alert_id, policy, before, wanted, origin, datetime.fromtimestamp(expiry, UTC))

    def read_press(self, token: str, now: datetime) -> VerdictLink | ActionLink:
        """What a button in a message hands back, whichever of the two it is. Raises as `read_verdict`."""
        try:
            return self.read_verdict(token, now)
        except NotFound:
            return self.read_action(token, now)

    def read_alert(self, token: str, now: datetime) -> AlertLink:
        """As `read_verdict`, for the link to an alert's page."""
        alert_id, origin, expiry = self._read("a", token, now)
        return AlertLink(alert_id, origin, datetime.fromtimestamp(expiry, UTC))

    def read_digest(self, token: str, now: datetime) -> DigestLink:
        """As `read_verdict`, for the list of alerts of one message."""
        notification_id, origin, expiry = self._read("d", token, now)
        return DigestLink(notification_id, origin, datetime.fromtimestamp(expiry, UTC))

    def read_undo(self, token: str, now: datetime) -> UndoLink:
        """As `read_verdict`, for the link that undoes a label."""
        label_id, expiry = self._read("u", token, now)
        return UndoLink(label_id, datetime.fromtimestamp(expiry, UTC))

    def read_leave(self, token: str, now: datetime) -> LeaveLink:
        """As `read_verdict`, for the link that stops a channel."""
        channel_id, expiry = self._read("x", token, now)
        return LeaveLink(channel_id, datetime.fromtimestamp(expiry, UTC))

    def read_chart(self, token: str, now: datetime) -> ChartLink:
        """As `read_verdict`, for the link to a picture."""
        alert_id, until, expiry = self._read("c", token, now)
        return ChartLink(alert_id, until, datetime.fromtimestamp(expiry, UTC))

    def _expiry(self, now: datetime) -> int:
        return int((now + self.lifetime).timestamp())

    def _url(self, purpose: str, claims: list[Any]) -> str:
        token = self._serializer(purpose).dumps(claims)
        return f"{self.public_url}/{purpose}/{token}"

    def _read(self, purpose: str, token: str, now: datetime) -> list[Any]:
        try:
            claims: list[Any] = self._serializer(purpose).loads(token)
        except (BadData, ValueError):
            raise NotFound("This link was not made by this Heed. Open the alert from its message again.") from None
        if claims[-1] <= now.timestamp():
            raise Gone("This link has expired. Open the alert in Heed, or answer a newer message of it.")
        return claims

    def _serializer(self, purpose: str) -> URLSafeSerializer:
        """itsdangerous signs with SHA-1 unless told otherwise. The salt keeps a link to its one purpose."""
        return URLSafeSerializer(
            self._key, salt=f"heed.{purpose}", signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
        )
