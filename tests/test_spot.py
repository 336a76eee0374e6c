"""What clouds answer when they are asked whether they take a spot instance back."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from actors.spot import SpotNotice

QUIET = {
    "aws": (404, b"not found"),
    "gcp": (200, b"FALSE"),
    "azure": (200, b'{"DocumentIncarnation": 1, "Events": [{"EventType": "Preempt", "Resources": ["other"]}]}'),
}
NOTICE = {
    "aws": (200, b'{"action": "terminate", "time": "2030-01-01T00:00:00Z"}'),
    "gcp": (200, b"TRUE\n"),
    "azure": (200, b'{"Events": [{"EventType": "Preempt", "Resources": ["other", "mine"]}]}'),
}
NONSENSE = [
    (200, b""),
    (200, b"[]"),
    (200, b"\xff\xfe"),
    (200, b'{"Events": [3]}'),
    (500, b"TRUE"),
    (200, b'{"action": {}}'),
]


class Service(http.server.BaseHTTPRequestHandler):
    """A metadata service of all clouds."""

    answer = (200, b"")
    asked: list[tuple[str, str, dict[str, str]]]

    def do_PUT(self) -> None:
        """A token."""
        self._reply(200, b"a-token")

    def do_GET(self) -> None:
        """What is to be answered."""
        self._reply(*((200, b"mine") if "/compute/name" in self.path else self.answer))

    def _reply(self, status: int, body: bytes) -> None:
        Service.asked.append((self.command, self.path, dict(self.headers)))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *given: Any) -> None:
        """Nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    """Its address."""
    Service.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_a_notice_is_heard_and_nothing_else_is_one(cloud: str, service: str) -> None:
    notice = SpotNotice(cloud, service)
    for answer in (QUIET[cloud], *NONSENSE):
        Service.answer = answer
        assert not notice.given(), answer
    Service.answer = NOTICE[cloud]
    assert notice.given()


def test_aws_is_asked_with_a_token(service: str) -> None:
    Service.answer = NOTICE["aws"]
    assert SpotNotice("aws", service).given()
    (put, path, _), (get, _, headers) = Service.asked
    assert (put, path, get) == ("PUT", "/latest/api/token", "GET")
    assert {key.lower(): value for key, value in headers.items()}["x-aws-ec2-metadata-token"] == "a-token"


def test_where_no_service_is_there_is_no_notice() -> None:
    assert not SpotNotice("gcp", "http://127.0.0.1:1").given()
