"""Guarantee 26: nothing that leaves the process reaches an address that was not checked."""

from __future__ import annotations

import ast
import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from app.outbound import Outbound, OutboundError, TargetRefused, Unreachable, is_allowed, resolve_by_system
from tests.receiver import Receiver, Reply, dripping, receiving

NAMES = {
    "localtest.example": ["127.0.0.1"],
    "both.example": ["93.184.215.14", "127.0.0.1"],
    "six.example": ["::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "sixtofour.example": ["2002:7f00:1::1"],
    "intranet.example": ["10.0.0.7"],
    "linklocal.example": ["fe80::1%lo"],
    "nothing.example": [],
}

HOSTILE = [
    # loopback in every spelling that inet_aton, URL parsers or IDNA take
    "http://127.0.0.1:{port}/",
    "http://127.0.0.2:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.0.0.1:{port}/",
    "http://0x7f.1:{port}/",
    "http://017700000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0177.0.0.01:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://00000:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST:{port}/",
    "http://localhost.:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://127。0。0。1:{port}/",
    "http://127.0.0.1%2f@localhost:{port}/",
    "http://hooks.slack.com@127.0.0.1:{port}/",
    "http://hooks.slack.com:80@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@hooks.slack.com/",
    "http://127.0.0.1:{port}?@hooks.slack.com/",
    "http://127.0.0.1:{port}\\@hooks.slack.com/",
    "https://127.0.0.1:{port}/",
    # IPv6 and the ways in which it carries IPv4
    "http://[::1]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[::ffff:0:127.0.0.1]:{port}/",
    "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[64:ff9b::a9fe:a9fe]:{port}/",
    "http://[64:ff9b:1::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[2002:a9fe:a9fe::]:{port}/",
    "http://[2001:0:53aa:64c:0:fffe:80ff:fffe]:{port}/",
    "http://[2a00:1450:4001:80b:0:5efe:7f00:1]:{port}/",
    "http://[fe80::1]:{port}/",
    "http://[fe80::1%25lo]:{port}/",
    "http://[fec0::1]:{port}/",
    "http://[fd00:ec2::254]:{port}/latest/meta-data/",
    "http://[ff02::1]:{port}/",
    # metadata services and private networks
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/v2/credentials/",
    "http://2852039166/latest/meta-data/",
    "http://0xa9fea9fe/",
    "http://168.63.129.16/machine?comp=goalstate",
    "http://100.100.100.200/latest/meta-data/",
    "http://192.0.0.192/opc/v1/",
    "http://10.0.0.1:{port}/",
    "http://172.16.0.1:{port}/",
    "http://192.168.0.1:{port}/",
    "http://224.0.0.1:{port}/",
    "http://255.255.255.255:{port}/",
    # names
    *(f"http://{name}:{{port}}/" for name in NAMES),
    # other schemes, and no URL at all
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_POST",
    "ftp://127.0.0.1:{port}/",
    "unix:///var/run/docker.sock",
    "//127.0.0.1:{port}/",
    "http:///",
    "",
    "http://[::1",
    "http://127.0.0.1:99999/",
    "http://" + "a" * 300 + ".example/",
]


_counting = threading.Lock()


class Canary:
    """Counts whoever connects, on every loopback address of this machine."""

    def __init__(self) -> None:
        self._accepted = 0
        self._probes = 0
        first = socket.create_server(("0.0.0.0", 0))
        self.port = first.getsockname()[1]
        self._sockets = [first]
        with contextlib.suppress(OSError):
            self._sockets.append(socket.create_server(("::", self.port), family=socket.AF_INET6))
        for listening in self._sockets:
            threading.Thread(target=self._count, args=(listening,), daemon=True).start()

    @property
    def connections(self) -> int:
        """How many there were. A connection of our own comes after theirs, so once it is counted they all are."""
        for listening in self._sockets:
            host = "::1" if listening.family == socket.AF_INET6 else "127.0.0.1"
            with socket.create_connection((host, self.port), timeout=10) as probe:
                assert probe.recv(1) == b""  # closed after it was counted
            self._probes += 1
        return self._accepted - self._probes

    def _count(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = listening.accept()[0]
                with _counting:
                    self._accepted += 1
                connection.close()

    def close(self) -> None:
        for listening in self._sockets:
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    canary = Canary()
    yield canary
    canary.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def resolve(host: str, port: int) -> Sequence[str]:
    return NAMES[host] if host in NAMES else resolve_by_system(host, port)


def post(outbound: Outbound, url: str) -> int:
    return outbound.post(url, b"{}", {}).status


def test_no_hostile_url_reaches_a_canary(canary: Canary) -> None:
    """Guarantee 26: 60 and more hostile URLs, 0 connections."""
    outbound = Outbound(resolve=resolve, timeout_seconds=2)
    assert len(set(HOSTILE)) >= 60
    for url in HOSTILE:
        with pytest.raises(OutboundError):
            post(outbound, url.replace("{port}", str(canary.port)))
    assert canary.connections == 0


def test_the_canary_does_count_who_connects(canary: Canary) -> None:
    with pytest.raises(Unreachable):
        post(Outbound.allowing(["127.0.0.0/8"]), f"http://127.0.0.1:{canary.port}/")
    assert canary.connections == 1


def test_a_redirect_into_the_private_network_is_not_followed(canary: Canary, receiver: Receiver) -> None:
    """Guarantee 26."""
    outbound = Outbound.allowing(["127.0.0.1/32"])
    for status in (301, 302, 303, 307, 308):
        receiver.always(status, {"Location": f"http://127.0.0.2:{canary.port}/"})
        assert post(outbound, receiver.url) == status
    assert canary.connections == 0


def test_a_name_that_changes_its_address_after_the_check_gains_nothing(canary: Canary, receiver: Receiver) -> None:
    """Guarantee 26: a rebinding resolver. What was checked is what is connected to; nobody asks twice."""
    answers = iter([["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"]])
    outbound = Outbound.allowing(["127.0.0.1/32"], resolve=lambda *_: next(answers))

    assert post(outbound, f"http://rebinding.example:{receiver.port}/") == 200
    with pytest.raises(TargetRefused):
        post(outbound, f"http://rebinding.example:{canary.port}/")
    assert canary.connections == 0


def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    with pytest.raises(TargetRefused, match="HEED_ALLOW_PRIVATE_TARGETS"):
        Outbound(resolve=resolve).addresses("both.example", 443)


def test_private_networks_are_reached_when_they_are_allowed(receiver: Receiver) -> None:
    outbound = Outbound.allowing(["127.0.0.0/8"])
    assert post(outbound, receiver.url) == 200
    assert receiver.requests[0].body == b"{}"


def test_the_receiver_sees_the_name_that_was_asked_for(receiver: Receiver) -> None:
    outbound = Outbound.allowing(["127.0.0.0/8"], resolve=lambda *_: ["127.0.0.1"])
    post(outbound, f"http://hooks.example:{receiver.port}/a?b=c")
    assert receiver.requests[0].headers["host"] == f"hooks.example:{receiver.port}"
    assert receiver.requests[0].path == "/a?b=c"


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("::ffff:93.184.215.14", True),
        ("64:ff9b::5db8:d70e", True),  # how an IPv6-only network reaches a public IPv4 address
        ("10.9.8.7", True),
        ("::ffff:10.9.8.7", True),
        ("10.8.0.1", False),
        ("198.18.0.1", False),
        ("not an address", False),
    ],
)
def test_an_address_is_judged_by_where_it_really_leads(address: str, allowed: bool) -> None:
    outbound = Outbound.allowing(["10.9.0.0/16"])
    assert is_allowed(address, outbound.allow_private) is allowed


def test_a_receiver_that_stalls_or_drips_is_given_up_at_the_time_limit(receiver: Receiver) -> None:
    receiver.always(200, stall_seconds=1.5)
    outbound = Outbound.allowing(["127.0.0.0/8"], timeout_seconds=0.3)
    with pytest.raises(Unreachable, match="too long"):
        post(outbound, receiver.url)

    with dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a") as port, pytest.raises(Unreachable, match="too long"):
        post(outbound, f"http://127.0.0.1:{port}/")


def test_an_endless_answer_is_cut(receiver: Receiver) -> None:
    receiver.reply = lambda _: Reply(body=b"x" * 5_000_000)
    answer = Outbound.allowing(["127.0.0.0/8"]).post(receiver.url, b"{}", {})
    assert len(answer.body) == 65536


def test_errors_never_repeat_the_url() -> None:
    outbound = Outbound.allowing(["127.0.0.0/8"], timeout_seconds=1)
    with receiving() as gone:
        port = gone.port
    for url in (f"http://127.0.0.1:{port}/s3cret", "http://10.0.0.1/s3cret", "nonsense://s3cret", "http://[::1/s3cret"):
        with pytest.raises(OutboundError) as refused:
            post(outbound, url)
        assert "s3cret" not in str(refused.value)


NETWORK = (
    *("aiohttp", "ftplib", "http.client", "httpcore", "httpx", "imaplib", "poplib", "requests", "smtplib", "socket"),
    *("urllib.request", "urllib3", "websockets", "xmlrpc.client"),
)
CLIENTS_OF_HEED = {"applying", "cli", "importing", "local_server", "own_server", "demo.replay"}
"""The command line, which speaks to the Heed that whoever runs it names."""
OTHERS = {
    "outbound": {"httpcore", "httpx", "socket"},
    "channels.email": {"smtplib", "socket"},  # speaks SMTP over the socket that `Outbound.open_socket` gives it
    "main": {"socket"},  # listens
}


def test_whatever_leaves_the_process_leaves_by_the_one_client() -> None:
    """Guarantee 26."""
    app = Path(__file__).parent.parent / "app"
    found = {}
    for path in sorted(app.rglob("*.py")):
        module = ".".join(path.relative_to(app).with_suffix("").parts)
        used = {each for each in imported(path) if each.startswith(NETWORK)}
        roots = {name for name in NETWORK if any(each == name or each.startswith(f"{name}.") for each in used)}
        if roots and module not in CLIENTS_OF_HEED:
            found[module] = roots
    assert found == OTHERS


def imported(path: Path) -> set[str]:
    """All that a file imports, by its whole name."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return names
