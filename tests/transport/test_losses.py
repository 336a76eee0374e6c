"""When a link is lost, to the tenth of a second: in virtual time, with the real sockets of one process.

`QUICK` holds a peer lost after 2.5 s of silence, or when a broken link did not form again within 1.5 s.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.transport.helpers import QUICK, close, pair
from tests.transport.test_tcp import chat
from tests.transport.virtual import VirtualLoop, now, passes, virtually


def test_a_silent_peer_is_lost_after_silence_s(tmp_path: Path) -> None:
    async def run() -> None:
        a, b = await pair(tmp_path)
        await chat(a, b, "before")
        began = now()
        for connection in b.transport._connections:
            connection.sever(outgoing=True, incoming=True)
        await a.events.until(lambda: bool(a.events.downs), "the loss")
        assert QUICK.silence_s * 0.95 < now() - began < QUICK.silence_s + 3 * QUICK.ping_s
        assert "silent for" in a.events.downs[0][1]
        await close(a, b)

    virtually(run)


def test_a_link_that_does_not_form_again_is_lost_after_redial_s(tmp_path: Path) -> None:
    async def run() -> None:
        a, b = await pair(tmp_path)
        await chat(a, b, "before")
        began = now()
        b.transport._cut = frozenset({a.peer.peer_id})
        for connection in list(b.transport._connections):
            connection.abort("cut by the test")
        await b.events.until(lambda: bool(b.events.downs), "the loss")
        assert QUICK.redial_s * 0.95 < now() - began < QUICK.redial_s + 3 * QUICK.ping_s
        assert "did not form again" in b.events.downs[0][1]
        await close(a, b)

    virtually(run)


@pytest.mark.parametrize("seconds", [1.5 * QUICK.silence_s, 20 * QUICK.silence_s])
def test_our_own_stall_convicts_nobody(tmp_path: Path, seconds: float) -> None:
    """The thread is blocked, as by a long computation under the interpreter lock."""

    async def run() -> None:
        a, b = await pair(tmp_path)
        await chat(a, b, "before")
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        for _ in range(3):
            loop.stall(seconds)
            await passes(QUICK.ping_s)
        await chat(a, b, "after")
        assert a.events.downs == b.events.downs == []
        await close(a, b)

    virtually(run)
