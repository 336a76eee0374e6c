"""One participant of the shaping comparison: answers, or measures against one that answers.

    python -m tests.netlab.peer '{"folder": ..., "name": ..., "address": ..., "other": {...}, "shape": {...}, ...}'

The one with sizes sends messages of each size, waits for a short answer to each, and prints the seconds as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from actors.transport.base import Array, Peer
from actors.transport.deadline import Deadline
from actors.transport.identity import Identity
from actors.transport.profile import PROFILES
from actors.transport.shaping import Shape
from actors.transport.sockets import split_address
from actors.transport.tcp import TcpTransport
from tests.transport.helpers import REGISTRY, RUN, Bulk, Note, Recorder

LIMIT_S = 40.0


class Answerer(Recorder):
    """Answers every message with a note."""

    def on_message(self, peer_id: str, message: object, tensors: tuple[Array, ...]) -> None:
        super().on_message(peer_id, message, tensors)
        if isinstance(message, Bulk) or message == Note("ping"):
            self.pending.put_nowait(peer_id)

    pending: asyncio.Queue[str]


async def main(config: dict[str, Any]) -> None:
    """Answer until killed, or measure once."""
    identity = Identity.load_or_create(Path(config["folder"]) / config["name"])
    events = Answerer()
    events.pending = asyncio.Queue()
    shape = Shape(**config["shape"]) if config["shape"] else None
    transport = TcpTransport(identity, RUN, REGISTRY, events, PROFILES["wan"], shape)
    await transport.listen(*split_address(config["address"]))
    other = Peer(**config["other"])
    transport.set_members({other.peer_id: other})
    await events.until(lambda: bool(events.ups), "being up")
    if config["sizes"]:
        sys.stdout.write(json.dumps(await measure(transport, events, other, config)) + "\n")
        sys.stdout.flush()
    else:
        while True:
            peer_id = await events.pending.get()
            await transport.send(peer_id, Note("got it"), deadline=Deadline.after(LIMIT_S))
    await transport.close()


async def measure(
    transport: TcpTransport, events: Recorder, other: Peer, config: dict[str, Any]
) -> dict[str, list[float]]:
    """Seconds from sending to answer; size 0 is a short control message. The first of each is not counted."""
    taken: dict[str, list[float]] = {}
    for size in config["sizes"]:
        for repeat in range(config["repeats"] + 1):
            count = len(events.messages)
            tensors = [np.zeros(size, np.uint8)] if size else []
            message = Bulk(repeat) if size else Note("ping")
            began = time.perf_counter()
            await transport.send(other.peer_id, message, tensors, deadline=Deadline.after(LIMIT_S))
            await events.message_count(count + 1)
            if repeat:
                taken.setdefault(str(size), []).append(time.perf_counter() - began)
    return taken


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
