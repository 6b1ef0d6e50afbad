"""E-mail through a real SMTP server: what it says, how it is threaded, and what each refusal means."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.alerts.message import Reason
from app.channels.contract import TransportError
from app.channels.email import Email, Security, compose
from app.outbound import Outbound
from tests.channels.anomalies import CASES, alert, anomaly
from tests.mail_receiver import MailReceiver, receiving_mail
from tests.receiver import dripping

OUTBOUND = Outbound.allowing(["127.0.0.0/8"], timeout_seconds=2)
FIRING = CASES[0].notice
HOSTILE = alert(anomaly("orders\r\nBcc: victim@example.com", note="<script>alert(1)</script>"))


@pytest.fixture
def receiver() -> Iterator[MailReceiver]:
    with receiving_mail() as receiver:
        yield receiver


def failure(channel: Email, outbound: Outbound = OUTBOUND) -> TransportError:
    with pytest.raises(TransportError) as raised:
        channel.send(FIRING, outbound)
    return raised.value


def test_a_mail_says_the_same_in_plain_text_and_in_html(receiver: MailReceiver) -> None:
    Email.example(receiver.url).send(FIRING, OUTBOUND)
    (mail,) = receiver.requests
    assert (mail.sender, mail.recipients) == ("heed@shop.example", ["analysts@shop.example"])
    assert mail.message["Subject"] == "orders (country DE) is unusually low"
    for text in (mail.plain, mail.html):
        assert "61 % or 610 less" in text
        assert FIRING.facts.links["false_alarm"] in text
    assert mail.message["Auto-Submitted"] == "auto-generated"


def test_messages_of_one_alert_share_a_thread_and_each_keeps_its_id() -> None:
    first = compose(FIRING, sender="a@b.example", recipient="c@d.example")
    again = compose(FIRING, sender="a@b.example", recipient="c@d.example")
    ended = compose(
        replace(FIRING, id="another", reason=Reason.RESOLVED), sender="a@b.example", recipient="c@d.example"
    )
    assert first["Message-ID"] == again["Message-ID"] != ended["Message-ID"]
    assert first["References"] == ended["References"] == "<alert-90210@heed.example>"
    assert ended["Subject"] == "Over: orders (country DE) is unusually low"


def test_unsubscribing_takes_one_click_as_rfc_8058_has_it(receiver: MailReceiver) -> None:
    notice = replace(FIRING, leave_url="https://heed.example/x/signed")
    Email.example(receiver.url).send(notice, OUTBOUND)
    (mail,) = receiver.requests
    assert mail.message["List-Unsubscribe"] == "<https://heed.example/x/signed>"
    assert mail.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "https://heed.example/x/signed" in mail.plain
    assert "https://heed.example/x/signed" in mail.html


def test_a_name_can_neither_add_a_header_nor_a_script(receiver: MailReceiver) -> None:
    Email.example(receiver.url).send(replace(FIRING, facts=replace(HOSTILE, title="a\r\nBcc: v@example.com")), OUTBOUND)
    (mail,) = receiver.requests
    assert mail.message["Bcc"] is None
    assert mail.recipients == ["analysts@shop.example"]
    assert "<script>" not in mail.html
    assert "&lt;script&gt;" in mail.html


@pytest.mark.parametrize(
    ("at", "code", "permanent", "gone"),
    [
        ("RCPT", 550, False, True),
        ("RCPT", 450, False, False),
        ("RCPT", 554, True, False),
        ("DATA", 451, False, False),
        ("DATA", 554, True, False),
    ],
)
def test_each_refusal_of_a_mail_server_means_something(
    receiver: MailReceiver, at: str, code: int, permanent: bool, gone: bool
) -> None:
    receiver.always(code, at=at)
    error = failure(Email.example(receiver.url))
    assert (error.permanent, error.gone) == (permanent, gone)


def test_a_password_is_sent_only_over_a_connection_to_whom_it_belongs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = self_signed(tmp_path / "certificate.pem")
    with receiving_mail(tls, password="s3cret-password") as receiver:
        channel = replace(
            Email.example(receiver.url), security=Security.STARTTLS, username="heed", password="s3cret-password"
        )
        assert "certificate" in failure(channel).message
        assert receiver.logins == []

        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        channel.send(FIRING, OUTBOUND)
        assert receiver.logins == ["heed"]
        assert len(receiver.requests) == 1

        wrong = failure(replace(channel, password="another-password"))
        assert (wrong.permanent, wrong.gone) == (False, False)
        assert "another-password" not in wrong.message


def test_a_server_without_encryption_gets_nothing(receiver: MailReceiver) -> None:
    assert "no encryption" in failure(replace(Email.example(receiver.url), security=Security.STARTTLS)).message
    assert receiver.requests == []


def test_a_password_without_encryption_is_refused_when_the_channel_is_made() -> None:
    with pytest.raises(ValueError, match="encrypted"):
        replace(Email.example("smtp://mail.example:25"), username="heed", password="s3cret")


def test_a_server_that_dawdles_is_cut_off(receiver: MailReceiver) -> None:
    receiver.always(250, stall_seconds=30)  # then it would take the message, and nothing would have failed
    failure(Email.example(receiver.url), replace(OUTBOUND, timeout_seconds=0.2))


def test_a_server_that_greets_for_ever_is_cut_off() -> None:
    with dripping(b"220-", b"welcome\r\n220-") as port:
        failure(Email.example(f"smtp://127.0.0.1:{port}"), replace(OUTBOUND, timeout_seconds=0.2))


def self_signed(path: Path) -> ssl.SSLContext:
    """A server's context with a certificate for 127.0.0.1, written to the path with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    own = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(own + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context
