"""One participant of the shaping comparison: sends, or answers one that sends.

    python -m tests.netlab.peer '{"folder": ..., "name": ..., "address": ..., "other": {...}, "sizes": [...]}'

The one with sizes sends a message of each size, waits for a short answer to each, and prints how many bytes of frames
the two sent each other.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from actors.transport.base import Array, Peer
from actors.transport.deadline import Deadline
from actors.transport.identity import Identity
from actors.transport.profile import PROFILES
from actors.transport.sockets import split_address
from actors.transport.tcp import TcpTransport
from tests.transport.helpers import REGISTRY, RUN, Bulk, Note, Recorder

LIMIT_S = 40.0


class Answerer(Recorder):
    """Answers every message with a note."""

    def on_message(self, peer_id: str, message: object, tensors: tuple[Array, ...]) -> None:
        super().on_message(peer_id, message, tensors)
        if isinstance(message, Bulk):
            self.pending.put_nowait(peer_id)

    pending: asyncio.Queue[str]


async def main(config: dict[str, Any]) -> None:
    """Answer until killed, or send all."""
    identity = Identity.load_or_create(Path(config["folder"]) / config["name"])
    events = Answerer()
    events.pending = asyncio.Queue()
    transport = TcpTransport(identity, RUN, REGISTRY, events, PROFILES["wan"])
    await transport.listen(*split_address(config["address"]))
    other = Peer(**config["other"])
    transport.set_members({other.peer_id: other})
    await events.until(lambda: bool(events.ups), "being up")
    if not config["sizes"]:
        while True:
            peer_id = await events.pending.get()
            await transport.send(peer_id, Note("got it"), deadline=Deadline.after(LIMIT_S))
    for number, size in enumerate(config["sizes"], start=1):
        tensor = np.zeros(size, np.uint8)
        await transport.send(other.peer_id, Bulk(number), [tensor], deadline=Deadline.after(LIMIT_S))
        await events.message_count(number)
    (link,) = transport.links()
    sys.stdout.write(json.dumps({config["name"]: link.sent_bytes, other.name: link.received_bytes}) + "\n")
    sys.stdout.flush()
    await transport.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
