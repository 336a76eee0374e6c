"""Lines that are cut on purpose: silence in both directions or one, and what happens when they are whole again.

In virtual time: `QUICK` holds a peer lost after 2.5 s of silence.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors.transport.deadline import Deadline
from actors.transport.shaping import Shape
from tests.transport.helpers import PATIENCE_S, QUICK, Bulk, Node, Note, close, pair
from tests.transport.virtual import now, passes, virtually


async def say(one: Node, other: Node, text: str) -> None:
    await one.transport.send(other.peer.peer_id, Note(text), deadline=Deadline.after(PATIENCE_S))


def heard(node: Node) -> list[str]:
    return [message.text for _, message, _ in node.events.messages if isinstance(message, Note)]


@pytest.mark.parametrize("shape", [None, Shape(50.0, 50.0, 5.0, 0.0)], ids=["bare", "shaped"])
def test_a_short_cut_holds_back_and_loses_nothing(tmp_path: Path, shape: Shape | None) -> None:
    async def run() -> None:
        ann, bob = await pair(tmp_path, shape=shape)
        ann.transport.block({bob.peer.peer_id})
        await say(ann, bob, "held")
        await say(bob, ann, "held too")
        tensor = np.ones(1000, np.float32)
        await ann.transport.send(bob.peer.peer_id, Bulk(1), [tensor], deadline=Deadline.after(PATIENCE_S))
        await passes(0.8 * QUICK.silence_s)
        assert heard(bob) == heard(ann) == [] and not bob.events.messages
        ann.transport.block(set())
        await bob.events.message_count(2)
        await ann.events.message_count(1)
        assert heard(bob) == ["held"] and heard(ann) == ["held too"]
        assert not ann.events.downs and not bob.events.downs
        await close(ann, bob)

    virtually(run)


def test_one_way_means_that_the_other_is_still_heard(tmp_path: Path) -> None:
    async def run() -> None:
        ann, bob = await pair(tmp_path)
        ann.transport.block({bob.peer.peer_id}, incoming=False)
        await say(bob, ann, "heard")
        await say(ann, bob, "not heard")
        await ann.events.until(lambda: heard(ann) == ["heard"])
        await passes(0.8 * QUICK.silence_s)
        assert heard(bob) == []
        ann.transport.block(set())
        await bob.events.until(lambda: heard(bob) == ["not heard"])
        assert not ann.events.downs and not bob.events.downs
        await close(ann, bob)

    virtually(run)


def test_a_long_cut_loses_the_peer_and_whole_lines_bring_it_back(tmp_path: Path) -> None:
    async def run() -> None:
        ann, bob = await pair(tmp_path)
        ann.transport.block({bob.peer.peer_id})
        began = now()
        for node in (ann, bob):
            await node.events.until(lambda node=node: bool(node.events.downs), "the loss")
            assert "silent for 2.6 s" in node.events.downs[0][1] or "silent for 2.5 s" in node.events.downs[0][1]
        assert 0.9 * QUICK.silence_s < now() - began < 1.2 * QUICK.silence_s
        await passes(2 * QUICK.silence_s)
        assert len(ann.events.ups) == len(bob.events.ups) == 1, "nothing forms over a cut line"
        ann.transport.block(set())
        for node in (ann, bob):
            await node.events.until(lambda node=node: len(node.events.ups) == 2, "being up again")
        await say(ann, bob, "again")
        await bob.events.until(lambda: heard(bob) == ["again"])
        await close(ann, bob)

    virtually(run)
