"""Lines that are cut on purpose: silence in both directions or one, and what happens when they are whole again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

from actors.transport.deadline import Deadline
from actors.transport.shaping import Shape
from tests.transport.helpers import PATIENCE_S, Bulk, Node, Note, close, pair


async def say(one: Node, other: Node, text: str) -> None:
    await one.transport.send(other.peer.peer_id, Note(text), deadline=Deadline.after(PATIENCE_S))


def heard(node: Node) -> list[str]:
    return [message.text for _, message, _ in node.events.messages if isinstance(message, Note)]


async def _scene_a_short_cut_holds_back_and_loses_nothing(tmp_path: Path) -> None:
    for number, shape in enumerate((None, Shape(50.0, 50.0, 5.0, 0.0))):
        ann, bob = await pair(tmp_path / str(number), shape=shape)
        ann.transport.block({bob.peer.peer_id})
        await say(ann, bob, "held")
        await say(bob, ann, "held too")
        await ann.transport.send(bob.peer.peer_id, Bulk(1), [np.ones(1000, np.float32)], deadline=Deadline.after(5))
        await asyncio.sleep(0.8)
        assert heard(bob) == heard(ann) == [] and not bob.events.messages
        ann.transport.block(set())
        await bob.events.message_count(2)
        await ann.events.message_count(1)
        assert heard(bob) == ["held"] and heard(ann) == ["held too"]
        assert not ann.events.downs and not bob.events.downs
        await close(ann, bob)


async def _scene_one_way_means_that_the_other_is_still_heard(tmp_path: Path) -> None:
    ann, bob = await pair(tmp_path)
    ann.transport.block({bob.peer.peer_id}, incoming=False)
    await say(bob, ann, "heard")
    await say(ann, bob, "not heard")
    await ann.events.until(lambda: heard(ann) == ["heard"])
    await asyncio.sleep(0.5)
    assert heard(bob) == []
    ann.transport.block(set())
    await bob.events.until(lambda: heard(bob) == ["not heard"])
    await close(ann, bob)


async def _scene_a_long_cut_loses_the_peer_and_whole_lines_bring_it_back(tmp_path: Path) -> None:
    ann, bob = await pair(tmp_path)
    ann.transport.block({bob.peer.peer_id})
    for node in (ann, bob):
        await node.events.until(lambda node=node: bool(node.events.downs), "the loss")
    await asyncio.sleep(1.0)
    assert len(ann.events.ups) == len(bob.events.ups) == 1, "nothing forms over a cut line"
    ann.transport.block(set())
    for node in (ann, bob):
        await node.events.until(lambda node=node: len(node.events.ups) == 2, "being up again")
    await say(ann, bob, "again")
    await bob.events.until(lambda: heard(bob) == ["again"])
    await close(ann, bob)


def test_a_short_cut_holds_back_and_loses_nothing(tmp_path: Path) -> None:
    asyncio.run(_scene_a_short_cut_holds_back_and_loses_nothing(tmp_path))


def test_one_way_means_that_the_other_is_still_heard(tmp_path: Path) -> None:
    asyncio.run(_scene_one_way_means_that_the_other_is_still_heard(tmp_path))


def test_a_long_cut_loses_the_peer_and_whole_lines_bring_it_back(tmp_path: Path) -> None:
    asyncio.run(_scene_a_long_cut_loses_the_peer_and_whole_lines_bring_it_back(tmp_path))
