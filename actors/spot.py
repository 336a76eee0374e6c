"""The notice that a cloud gives before it takes a spot instance back, as its metadata service tells it.

AWS says it two minutes ahead, Google Cloud and Azure half a minute. The addresses and answers are those of their
documentation (instance metadata: spot/instance-action; instance/preempted; scheduledevents).
"""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

log = logging.getLogger("tessera.spot")
EVERY_S = 5.0
ANSWER_S = 2.0
LONGEST = 1 << 16
"""Bytes of an answer that are read."""


@dataclass(frozen=True)
class Cloud:
    """How a cloud is asked."""

    base: str
    path: str
    headers: Mapping[str, str]
    says: Callable[[str, str], bool]
    """Whether an answer is a notice for the machine of that name."""
    token: tuple[str, Mapping[str, str], str] | None = None
    """Path and headers of a request for a token, and the header to send it in."""
    name: str = ""
    """Path of this machine's own name, where answers are about several."""


def _preempts(answer: str, name: str) -> bool:
    """Azure tells all machines of a scale set of the events of each."""
    events = json.loads(answer).get("Events", [])
    mine = [event for event in events if not event.get("Resources") or name in event["Resources"]]
    return any(event.get("EventType") in ("Preempt", "Terminate") for event in mine)


CLOUDS = {
    "aws": Cloud(
        "http://169.254.169.254",
        "/latest/meta-data/spot/instance-action",
        {},
        lambda answer, name: json.loads(answer).get("action") in ("terminate", "stop", "hibernate"),
        ("/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "300"}, "X-aws-ec2-metadata-token"),
    ),
    "gcp": Cloud(
        "http://metadata.google.internal",
        "/computeMetadata/v1/instance/preempted",
        {"Metadata-Flavor": "Google"},
        lambda answer, name: answer.strip().upper() == "TRUE",
    ),
    "azure": Cloud(
        "http://169.254.169.254",
        "/metadata/scheduledevents?api-version=2020-07-01",
        {"Metadata": "true"},
        _preempts,
        name="/metadata/instance/compute/name?api-version=2021-02-01&format=text",
    ),
}


@dataclass
class SpotNotice:
    """Asks one cloud's metadata service.

    Args:
        cloud: aws, gcp or azure.
        base: another address of the service; empty for the usual one.
    """

    cloud: str
    base: str = ""
    _opener: urllib.request.OpenerDirector = field(
        default_factory=lambda: urllib.request.build_opener(urllib.request.ProxyHandler({}))
    )

    def given(self) -> bool:
        """Whether this machine will be taken away. Whatever goes wrong with the question is no notice."""
        cloud = CLOUDS[self.cloud]
        try:
            headers = dict(cloud.headers)
            if cloud.token is not None:
                path, wanted, name = cloud.token
                headers[name] = self._ask(path, wanted, "PUT")
            own = self._ask(cloud.name, headers).strip() if cloud.name else ""
            return cloud.says(self._ask(cloud.path, headers), own)
        except (OSError, ValueError, AttributeError, TypeError) as error:
            log.debug("no notice: %s", error)
            return False

    def _ask(self, path: str, headers: Mapping[str, str], method: str = "GET") -> str:
        base = (self.base or CLOUDS[self.cloud].base).rstrip("/")
        request = urllib.request.Request(base + path, headers=dict(headers), method=method)
        with self._opener.open(request, timeout=ANSWER_S) as answer:
            text: str = answer.read(LONGEST).decode("utf-8")
        return text

    async def wait(self) -> None:
        """Return when the notice is there."""
        while True:
            if await asyncio.to_thread(self.given):
                return
            await asyncio.sleep(EVERY_S)
