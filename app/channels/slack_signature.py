"""Whether a request really came from Slack, lately: the signature that Slack calls v0.

https://api.slack.com/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta

OLDEST = timedelta(minutes=5)


def is_signed_by(secret: str, *, timestamp: str, body: bytes, signature: str, now: datetime) -> bool:
    """Whether `signature` was made with the secret over this body at `timestamp`, within five minutes of `now`."""
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        return False
    if abs(now.timestamp() - int(timestamp)) > OLDEST.total_seconds():
        return False
    return hmac.compare_digest(sign(secret, timestamp=timestamp, body=body).encode(), signature.encode())


def sign(secret: str, *, timestamp: str, body: bytes) -> str:
    """The signature of a body that Slack sends at a time (unix seconds, as text)."""
    digest = hmac.new(secret.encode(), b"v0:%b:%b" % (timestamp.encode(), body), hashlib.sha256).hexdigest()
    return f"v0={digest}"
