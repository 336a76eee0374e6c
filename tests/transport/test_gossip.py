"""Gossip links over real TLS: who gets through, what a fault looks like, what stays bounded."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from actors.transport.base import Peer
from actors.transport.gossip import MAX_QUEUED, GossipLinks
from actors.transport.gossip_connection import MAX_FRAME, FrameKind
from actors.transport.identity import Owner
from actors.transport.messages import LINK_MESSAGES, PROTOCOL, Hello, Refusal
from actors.transport.schema import Lane
from actors.transport.shaping import Shape
from actors.transport.sockets import split_address
from actors.transport.tcp import TcpTransport
from actors.transport.tls import client_context
from tests.transport.helpers import PATIENCE_S, QUICK, REGISTRY, RUN, Recorder, invite
from tests.transport.virtual import now, passes, virtually


class Heard(Recorder):
    """Gossip events of one participant, in order; whatever the transport itself says is kept too."""

    def __init__(self) -> None:
        super().__init__()
        self.gossip: list[tuple[str, bytes]] = []
        self.broken: list[str] = []
        self.unreachable: list[tuple[str, str, bool]] = []
        self.fault: Exception | None = None

    def on_gossip(self, peer_id: str, data: bytes) -> None:
        self.gossip.append((peer_id, data))
        self._changed.set()
        if self.fault is not None:
            raise self.fault

    def on_gossip_broken(self, peer_id: str) -> None:
        self.broken.append(peer_id)
        self._changed.set()

    def on_gossip_unreachable(self, peer_id: str, address: str, refused: bool) -> None:
        self.unreachable.append((peer_id, address, refused))
        self._changed.set()


class Talker:
    """A listening participant that gossips."""

    def __init__(self, transport: TcpTransport, heard: Heard, address: str, peer: str) -> None:
        self.transport, self.heard, self.address, self.peer = transport, heard, f"tcp:{address}", peer

    @property
    def links(self) -> GossipLinks:
        return self.transport.gossip

    def send(self, other: Talker, data: bytes) -> None:
        self.links.send(other.peer, (other.address,), data)

    async def hears(self, data: bytes) -> str:
        """Wait for a message; returns who sent it."""
        await self.heard.until(lambda: any(got == data for _, got in self.heard.gossip), f"hearing {data!r}")
        return next(peer for peer, got in self.heard.gossip if got == data)


@contextlib.asynccontextmanager
async def talkers(
    folder: Path,
    *names: str,
    owner: Owner | None = None,
    run_id: str = RUN,
    protocol: int = PROTOCOL,
    shape: Shape | None = None,
) -> AsyncIterator[list[Talker]]:
    """Participants of one run, closed in the end."""
    owner = owner or Owner.load_or_create(folder / "owner")
    made: list[Talker] = []
    for name in names:
        identity, heard = invite(owner, folder, name, run_id), Heard()
        transport = TcpTransport(identity, run_id, REGISTRY, heard, QUICK, shape, protocol=protocol, gossip=heard)
        address = await transport.listen("127.0.0.1", 0)
        made.append(Talker(transport, heard, address, identity.peer_id))
    try:
        yield made
    finally:
        await asyncio.gather(*(talker.transport.close() for talker in made))


def in_loop(test: Callable[[Path], Awaitable[None]]) -> Callable[[Path], None]:
    """Run a coroutine test in virtual time."""

    def run(tmp_path: Path) -> None:
        async def limited() -> None:
            async with asyncio.timeout(3 * PATIENCE_S):
                await test(tmp_path)

        virtually(limited)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@in_loop
async def test_messages_pass_both_ways_over_one_connection(tmp_path: Path) -> None:
    async with talkers(tmp_path, "ann", "bob") as (ann, bob):
        ann.send(bob, b"hello")
        assert await bob.hears(b"hello") == ann.peer
        bob.links.send(ann.peer, (), b"back")  # no address: the connection that stands is enough
        assert await ann.hears(b"back") == bob.peer
        big = bytes(MAX_FRAME)
        ann.send(bob, big)
        assert await bob.hears(big) == ann.peer
        assert ann.heard.refusals == bob.heard.refusals == []


@in_loop
async def test_two_that_dial_at_once_lose_nothing_and_keep_one_connection(tmp_path: Path) -> None:
    async with talkers(tmp_path, "ann", "bob") as (ann, bob):
        for number in range(5):
            ann.send(bob, b"a%d" % number)
            bob.send(ann, b"b%d" % number)
        for number in range(5):
            await bob.hears(b"a%d" % number)
            await ann.hears(b"b%d" % number)
        while len(ann.links._all) > 1 or len(bob.links._all) > 1:
            await passes(0.05)
        assert len(ann.links._all) == len(bob.links._all) == 1
        ann.send(bob, b"after")
        await bob.hears(b"after")
        assert ann.heard.broken == bob.heard.broken == []


@in_loop
async def test_whoever_answers_at_an_address_is_found(tmp_path: Path) -> None:
    async with talkers(tmp_path, "ann", "bob") as (ann, bob):
        ann.links.contact(bob.address, b"who are you")
        assert await bob.hears(b"who are you") == ann.peer
        ann.links.contact(bob.address, b"again")
        await bob.hears(b"again")
        assert len(ann.links._all) == 1


@in_loop
async def test_the_own_address_is_nobody(tmp_path: Path) -> None:
    async with talkers(tmp_path, "ann") as (ann,):
        for _ in range(3):
            ann.links.contact(ann.address, b"me")
            await passes(1.5 * QUICK.dial_s)
        assert (ann.heard.gossip, ann.heard.unreachable, ann.heard.broken) == ([], [], [])
        assert not ann.links._links


@in_loop
async def test_a_refused_dial_says_so_with_the_address(tmp_path: Path) -> None:
    async with talkers(tmp_path, "ann", "bob") as (ann, bob):
        await bob.transport.close()
        ann.send(bob, b"anybody?")
        await ann.heard.until(lambda: bool(ann.heard.unreachable), "being told")
        assert ann.heard.unreachable == [(bob.peer, bob.address, True)]
        ann.links.contact(bob.address, b"anybody?")
        await ann.heard.until(lambda: len(ann.heard.unreachable) == 2, "being told again")
        assert ann.heard.unreachable[1] == ("", bob.address, True)


@in_loop
async def test_the_second_address_is_tried_when_the_first_is_dead(tmp_path: Path) -> None:
    async with talkers(tmp_path, "ann", "bob") as (ann, bob):
        ann.links.send(bob.peer, ("tcp:127.0.0.1:1", "carrier-pigeon:7", bob.address), b"second")
        await bob.hears(b"second")
        assert ann.heard.unreachable == []
        ann.links.send("ab" * 32, ("carrier-pigeon:7",), b"no way to go")
        assert ann.links.dropped == 1


@in_loop
async def test_a_stranger_at_a_known_address_gets_nothing(tmp_path: Path) -> None:
    async with talkers(tmp_path, "ann", "bob") as (ann, bob):
        ann.links.send("ab" * 32, (bob.address,), b"for somebody else")
        await ann.heard.until(lambda: bool(ann.heard.unreachable), "being told")
        assert ann.heard.unreachable == [("ab" * 32, bob.address, False)]
        assert ann.transport.refused["wrong-identity"] == 1
        assert bob.heard.gossip == []


@in_loop
async def test_a_goodbye_is_no_hint_and_a_cut_is_one(tmp_path: Path) -> None:
    async with talkers(tmp_path, "ann", "bob", "cid") as (ann, bob, cid):
        for other in (bob, cid):
            ann.send(other, b"hello")
            await other.hears(b"hello")
        await bob.transport.close()
        await passes(QUICK.silence_s)
        assert not ann.links.connected(bob.peer)
        assert ann.heard.broken == []
        for connection in list(cid.links._all):
            connection.abort()
        await ann.heard.until(lambda: ann.heard.broken == [cid.peer], "the hint")
        ann.send(cid, b"again")
        await cid.hears(b"again")


@in_loop
async def test_what_ended_is_freed_at_once_and_not_by_the_garbage_collector(tmp_path: Path) -> None:
    async with talkers(tmp_path, "ann", "bob") as (ann, bob):
        both = {one.peer: Peer(one.peer, one.peer[:8], one.address.removeprefix("tcp:")) for one in (ann, bob)}
        for one in (ann, bob):
            one.transport.set_members(both)
        await ann.heard.until(lambda: bool(ann.heard.ups), "the link")
        ann.send(bob, b"hello")
        await bob.hears(b"hello")
        gc.collect()
        gc.disable()
        try:
            ended = [ref for one in (*ann.transport._connections, *ann.links._all) for ref in _end(one)]
            assert len(ended) == 6
            async with asyncio.timeout(PATIENCE_S):
                while any(ref() is not None for ref in ended):
                    await passes(0.01)
        finally:
            gc.enable()


def _end(connection: Any) -> tuple[weakref.ref[Any], weakref.ref[Any]]:
    transport = connection._transport
    transport.abort()
    return weakref.ref(connection), weakref.ref(transport._ssl_protocol)


@in_loop
async def test_other_runs_and_versions_are_told_why(tmp_path: Path) -> None:
    owner = Owner.create(tmp_path / "owner")
    async with (
        talkers(tmp_path, "ann", owner=owner) as (ann,),
        talkers(tmp_path, "old", owner=owner, protocol=PROTOCOL + 1) as (old,),
    ):
        old.send(ann, b"hello")
        await old.heard.until(lambda: bool(old.heard.unreachable), "being told")
        assert set(ann.transport.refused) | set(old.transport.refused) >= {"wrong-version"}
        assert ann.heard.gossip == []
    async with (
        talkers(tmp_path / "b", "ann", owner=owner) as (ann,),
        talkers(tmp_path / "b", "dan", owner=owner, run_id="another") as (dan,),
    ):
        dan.send(ann, b"hello")
        await dan.heard.until(lambda: bool(dan.heard.unreachable), "being told")
        assert ann.heard.gossip == []


@in_loop
async def test_a_certificate_of_another_owner_does_not_get_in(tmp_path: Path) -> None:
    async with talkers(tmp_path / "x", "ann") as (ann,), talkers(tmp_path / "y", "eve") as (eve,):
        eve.send(ann, b"let me in")
        await eve.heard.until(lambda: bool(eve.heard.unreachable), "being told")
        assert ann.heard.gossip == []
        assert eve.transport.refused["tls-handshake"] >= 1


@in_loop
async def test_while_blocked_nothing_passes_and_nothing_is_told(tmp_path: Path) -> None:
    async with talkers(tmp_path, "ann", "bob") as (ann, bob):
        ann.send(bob, b"before")
        await bob.hears(b"before")
        ann.links.block({bob.peer})
        bob.links.block({ann.peer})
        ann.send(bob, b"lost")
        bob.send(ann, b"lost too")
        await passes(QUICK.silence_s)
        ann.links.block(set())
        bob.links.block(set())
        ann.send(bob, b"after")
        await bob.hears(b"after")
        assert all(b"lost" not in data for _, data in ann.heard.gossip + bob.heard.gossip)


@in_loop
async def test_what_waits_for_a_dial_is_bounded_and_the_newest_is_kept(tmp_path: Path) -> None:
    async with talkers(tmp_path, "ann", "bob") as (ann, bob):
        for number in range(3 * MAX_QUEUED):
            ann.send(bob, b"%d" % number)
        await bob.hears(b"%d" % (3 * MAX_QUEUED - 1))
        assert ann.links.dropped == 2 * MAX_QUEUED
        assert len(bob.heard.gossip) == MAX_QUEUED


@in_loop
async def test_a_fault_of_the_owner_is_no_fault_of_the_link(tmp_path: Path) -> None:
    async with talkers(tmp_path, "ann", "bob") as (ann, bob):
        bob.heard.fault = RuntimeError("a bug in the handler")
        ann.send(bob, b"one")
        await bob.hears(b"one")
        ann.send(bob, b"two")
        await bob.hears(b"two")
        assert bob.transport.refused["handler-failed"] == 2
        assert ann.heard.broken == []


@in_loop
async def test_emulated_homes_delay_gossip_and_keep_its_order(tmp_path: Path) -> None:
    shape = Shape(0, 0, delay_ms=150, jitter_ms=100, seed=3)
    async with talkers(tmp_path, "ann", "bob", shape=shape) as (ann, bob):
        ann.send(bob, b"open")
        await bob.hears(b"open")
        began = now()
        for number in range(20):
            ann.send(bob, b"%02d" % number)
        await bob.hears(b"19")
        assert 0.15 <= now() - began < 0.27, "the delay, and up to 100 ms of jitter"
        assert [data for _, data in bob.heard.gossip[1:]] == [b"%02d" % number for number in range(20)]


# --- a peer that has a certificate and lies ----------------------------------------------------------------------


class Rogue:
    """A certified participant that writes whatever it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def frame(self, kind: int, body: bytes) -> None:
        self.writer.write(bytes((kind, *len(body).to_bytes(3, "big"))) + body)

    async def ended(self) -> bytes:
        """All that came until the other side closed."""
        got = b""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while part := await self.reader.read(65536):
                got += part
        return got


@contextlib.asynccontextmanager
async def rogue(folder: Path, victim: Talker) -> AsyncIterator[Rogue]:
    """One connection of a liar."""
    identity = invite(Owner.load_or_create(folder / "owner"), folder, "eve")
    host, port = split_address(victim.address.removeprefix("tcp:"))
    reader, writer = await asyncio.open_connection(
        host, port, ssl=client_context(identity, gossip=True), server_hostname=""
    )
    try:
        yield Rogue(reader, writer)
    finally:
        writer.transport.abort()


def hello(run_id: str = RUN) -> bytes:
    """A good one."""
    return LINK_MESSAGES.encode(Hello(PROTOCOL, "test", run_id, Lane.CONTROL, "eve", "s", 0, ""))


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([(FrameKind.DATA, b"too early")], "bad-gossip"),
        ([(FrameKind.HELLO, b"\xc1nonsense")], None),
        ([(FrameKind.HELLO, LINK_MESSAGES.encode(Refusal("a", "b")))], "no-hello"),
        ([(FrameKind.HELLO, b"x" * (9 << 10))], "oversized-gossip"),
        ([(FrameKind.HELLO, None), (FrameKind.HELLO, None)], "bad-gossip"),
        ([(FrameKind.HELLO, None), (77, b"")], "bad-gossip"),
        ([(FrameKind.HELLO, None), (FrameKind.DATA, b"x" * (MAX_FRAME + 1))], "oversized-gossip"),
        ([(FrameKind.HELLO, None), (FrameKind.REFUSAL, b"\x00\x01")], None),
    ],
    ids=["early", "garbage", "refusal-as-hello", "big-hello", "two-hellos", "kind", "big-data", "bad-refusal"],
)
def test_a_liar_is_refused_by_name_and_disturbs_nobody(
    tmp_path: Path, frames: list[tuple[int, bytes | None]], reason: str | None
) -> None:
    async def run() -> None:
        async with talkers(tmp_path, "ann", "bob") as (ann, bob), rogue(tmp_path, ann) as eve:
            bob.send(ann, b"hello")
            await ann.hears(b"hello")
            for kind, body in frames:
                eve.frame(kind, hello() if body is None else body)
            async with asyncio.timeout(PATIENCE_S):
                await eve.ended()
            await ann.heard.until(lambda: bool(ann.heard.refusals), "the refusal")
            if reason is not None:
                assert reason in ann.transport.refused
            bob.send(ann, b"still here")
            await ann.hears(b"still here")
            assert [peer for peer, _ in ann.heard.gossip] == [bob.peer] * 2

    virtually(run)


@in_loop
async def test_who_says_nothing_is_cut_off(tmp_path: Path) -> None:
    async with talkers(tmp_path, "ann") as (ann,), rogue(tmp_path, ann) as eve:
        await eve.ended()
        assert ann.transport.refused["no-hello"] == 1
        assert not ann.links._all


@in_loop
async def test_bytes_in_small_pieces_are_put_together(tmp_path: Path) -> None:
    async with talkers(tmp_path, "ann") as (ann,), rogue(tmp_path, ann) as eve:
        body = hello()
        data = bytes((FrameKind.HELLO, *len(body).to_bytes(3, "big"))) + body + b"\x00\x00\x00\x03abc"
        for place in range(0, len(data), 3):
            eve.writer.write(data[place : place + 3])
            await eve.writer.drain()
            await passes(0.001)
        await ann.hears(b"abc")
