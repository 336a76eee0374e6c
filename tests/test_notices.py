"""How each cloud is asked whether it takes a machine back, and which answers are notices."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from actors import spot
from actors.spot import CLOUDS, LONGEST, SpotNotice


@dataclass
class Cloud:
    """A metadata service in this process."""

    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """By path; any other is not found."""
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path and headers in small letters."""
    url: str = ""


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A service without answers."""
    made = Cloud()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append((self.command, self.path, {key.lower(): value for key, value in self.headers.items()}))
            status, body = made.answers.get(self.path, (404, b""))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_GET  # noqa: N815 - the library looks for this name

        def log_message(self, *given: Any) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True).start()
        made.url = f"http://127.0.0.1:{server.server_port}"
        yield made
        server.shutdown()


TOKEN, ACTION = "/latest/api/token", "/latest/meta-data/spot/instance-action"
PREEMPTED = "/computeMetadata/v1/instance/preempted"
EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"
NAME = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"


@pytest.mark.parametrize(
    ("action", "notice"),
    [("terminate", True), ("stop", True), ("hibernate", True), ("rebalance", False), ("", False), (None, False)],
)
def test_amazon_names_what_it_is_about_to_do(cloud: Cloud, action: str | None, notice: bool) -> None:
    cloud.answers = {TOKEN: (200, b"a-token"), ACTION: (200, json.dumps({"action": action}).encode())}
    assert SpotNotice("aws", cloud.url).given() is notice
    (put, path, headers), (get, asked, with_token) = cloud.asked
    assert (put, path, headers["x-aws-ec2-metadata-token-ttl-seconds"]) == ("PUT", TOKEN, "300")
    assert (get, asked, with_token["x-aws-ec2-metadata-token"]) == ("GET", ACTION, "a-token")


def test_without_a_token_amazon_is_not_asked_further(cloud: Cloud) -> None:
    cloud.answers = {ACTION: (200, b'{"action": "stop"}')}
    assert SpotNotice("aws", cloud.url).given() is False
    assert [path for _, path, _ in cloud.asked] == [TOKEN]


@pytest.mark.parametrize(
    ("answer", "notice"), [("TRUE", True), ("true\n", True), ("FALSE", False), ("", False), ("TRUE TRUE", False)]
)
def test_google_says_true(cloud: Cloud, answer: str, notice: bool) -> None:
    cloud.answers = {PREEMPTED: (200, answer.encode())}
    assert SpotNotice("gcp", cloud.url).given() is notice
    ((method, path, headers),) = cloud.asked
    assert (method, path, headers["metadata-flavor"]) == ("GET", PREEMPTED, "Google")


def event(kind: str | None, *machines: str) -> dict[str, Any]:
    """An event of some machines."""
    return {"EventType": kind, "Resources": list(machines)}


@pytest.mark.parametrize(
    ("events", "notice"),
    [
        pytest.param([event("Preempt", "mine")], True, id="this machine"),
        pytest.param([event("Terminate", "other", "mine")], True, id="this and another"),
        pytest.param([event("Preempt", "other")], False, id="another"),
        pytest.param([event("Preempt")], True, id="no machine is named"),
        pytest.param([{"EventType": "Preempt"}], True, id="machines are not spoken of"),
        pytest.param([event("Reboot", "mine")], False, id="another event"),
        pytest.param([event("Reboot", "mine"), event("Preempt", "other")], False, id="another event, another machine"),
        pytest.param([event("Reboot", "mine"), event("Preempt", "mine")], True, id="the second of two"),
        pytest.param([event(None, "mine")], False, id="an event without a kind"),
        pytest.param([], False, id="nothing"),
    ],
)
def test_azure_lists_events_of_machines(cloud: Cloud, events: list[dict[str, Any]], notice: bool) -> None:
    cloud.answers = {NAME: (200, b" mine\n"), EVENTS: (200, json.dumps({"Events": events}).encode())}
    assert SpotNotice("azure", cloud.url).given() is notice
    assert [(path, headers["metadata"]) for _, path, headers in cloud.asked] == [(NAME, "true"), (EVENTS, "true")]


def test_azure_without_a_list_of_events_has_none(cloud: Cloud) -> None:
    cloud.answers = {NAME: (200, b"mine"), EVENTS: (200, b"{}")}
    assert SpotNotice("azure", cloud.url).given() is False


@pytest.mark.parametrize("name", list(CLOUDS))
def test_an_answer_that_cannot_be_read_is_no_notice(cloud: Cloud, name: str) -> None:
    for answer in (b"\xff", b"[]", b"{", b"7"):
        cloud.answers = {path: (200, answer) for path in (TOKEN, ACTION, PREEMPTED, EVENTS, NAME)}
        assert SpotNotice(name, cloud.url).given() is False
    cloud.answers = {}
    assert SpotNotice(name, f"{cloud.url}/").given() is False


def test_a_long_answer_is_read_in_part(cloud: Cloud) -> None:
    cloud.answers = {PREEMPTED: (200, b" " * LONGEST + b"TRUE")}
    assert SpotNotice("gcp", cloud.url).given() is False
    cloud.answers = {PREEMPTED: (200, b" " * (LONGEST - 4) + b"TRUE")}
    assert SpotNotice("gcp", cloud.url).given() is True


def test_an_answer_is_waited_for_so_long_and_read_so_far() -> None:
    class Silent:
        waits: list[float] = []  # noqa: RUF012 - one for all

        def open(self, request: Any, timeout: float) -> Any:
            self.waits.append(timeout)
            raise TimeoutError

    silent: Any = Silent()
    assert SpotNotice("gcp", "", silent).given() is False
    assert (silent.waits, LONGEST) == ([2.0], 65_536)


def test_the_usual_addresses_are_those_of_the_clouds() -> None:
    link_local = "http://169.254.169.254"
    assert {name: one.base for name, one in CLOUDS.items()} == {
        "aws": link_local,
        "gcp": "http://metadata.google.internal",
        "azure": link_local,
    }


def test_waiting_ends_with_the_notice_and_asks_again_until_then(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, waits = iter([False, False, True]), list[float]()

    class Notice(SpotNotice):
        def given(self) -> bool:
            return next(answers)

    async def waited(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(spot.asyncio, "sleep", waited)
    asyncio.run(Notice("gcp").wait())
    assert waits == [5.0, 5.0]
    assert next(answers, None) is None
