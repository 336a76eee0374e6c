"""Links over TCP: what passes, what is refused, and what survives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actors.transport.base import Peer
from actors.transport.deadline import Deadline
from actors.transport.errors import LinkError, WireError
from actors.transport.frame import MAGIC, PREFIX, build
from actors.transport.identity import Identity, Owner
from actors.transport.messages import LINK_MESSAGES, PROTOCOL, Hello, Ping, Refusal
from actors.transport.parser import FrameParser
from actors.transport.schema import Lane, TrafficClass
from actors.transport.sockets import split_address
from actors.transport.tls import client_context
from tests.transport.helpers import (
    PATIENCE_S,
    QUICK,
    RUN,
    Bulk,
    Node,
    Note,
    Pair,
    close,
    connected,
    introduce,
    invite,
    pair,
    start,
)
from tests.transport.test_frame import Sink
from tests.transport.virtual import passes, virtually


def soon() -> Deadline:
    return Deadline.after(PATIENCE_S)


async def chat(a: Node, b: Node, text: str) -> None:
    """The link between two works in both directions."""
    for one, other in ((a, b), (b, a)):
        await one.transport.send(other.peer.peer_id, Note(text), deadline=soon())
        await other.events.until(
            lambda other=other: any(message == Note(text) for _, message, _ in other.events.messages), text
        )


def test_big_messages_arrive_whole_and_are_counted(tmp_path: Path) -> None:
    async def run() -> None:
        a, b = await pair(tmp_path)
        tensors = [np.random.default_rng(i).integers(0, 255, 16 << 20, dtype=np.uint8) for i in range(2)]
        sent = 0
        for number, tensor in enumerate(tensors):
            sent += await a.transport.send(b.peer.peer_id, Bulk(number, boundary=3), [tensor], deadline=soon())
        await b.transport.send(a.peer.peer_id, Pair(9), [tensors[0][:7], tensors[1][:1]], deadline=soon())
        await a.transport.send(b.peer.peer_id, Note("hello"), deadline=soon())
        await b.events.message_count(3)
        await a.events.message_count(1)
        bulk = [(message, got) for _, message, (*got,) in b.events.messages if isinstance(message, Bulk)]
        assert [message for message, _ in bulk] == [Bulk(0, 3), Bulk(1, 3)]
        assert all(np.array_equal(got[0], tensor) for (_, got), tensor in zip(bulk, tensors, strict=True))
        assert a.transport.sent.by_class[TrafficClass.BOUNDARY] == sent > 32 << 20
        assert a.transport.sent.boundary == {3: sent}
        assert a.transport.sent.control > 0
        assert b.transport.sent.averaging > 0
        (link,) = a.transport.links()
        assert link.up
        assert link.name == b.peer.name
        assert link.sent_bytes > sent
        assert a.transport.refused == b.transport.refused == {}
        await close(a, b)
        assert a.events.downs == [] or b.events.downs == []  # the first to close is missed by the other

    virtually(run)


def test_pings_measure_and_acknowledge(tmp_path: Path) -> None:
    async def run() -> None:
        a, b = await pair(tmp_path)
        await a.transport.send(b.peer.peer_id, Bulk(1), [np.ones(100, np.uint8)], deadline=soon())
        async with asyncio.timeout(PATIENCE_S):
            while a.transport.links()[0].queued_bytes or a.transport.links()[0].rtt_s is None:
                await passes(0.01)
        assert 0 <= (a.transport.links()[0].rtt_s or 0) < PATIENCE_S
        await close(a, b)

    virtually(run)


def test_control_does_not_wait_behind_bulk(tmp_path: Path) -> None:
    async def run() -> None:
        a, b = await pair(tmp_path)
        for number in range(3):
            await a.transport.send(b.peer.peer_id, Bulk(number), [np.zeros(16 << 20, np.uint8)], deadline=soon())
        await a.transport.send(b.peer.peer_id, Note("urgent"), deadline=soon())
        await b.events.message_count(4)
        kinds = [type(message) for _, message, _ in b.events.messages]
        assert kinds.index(Note) < 2
        await close(a, b)

    virtually(run)


def test_full_queue_waits_and_then_says_what_was_full(tmp_path: Path) -> None:
    async def run() -> None:
        owner = Owner.create(tmp_path / "owner")
        a, b = [await start(owner, tmp_path, name) for name in ("ann", "bob")]
        away = replace(b.peer, address="127.0.0.1:1")
        a.transport.set_members({b.peer.peer_id: away})
        block = np.zeros(40 << 20, np.uint8)
        await a.transport.send(b.peer.peer_id, Bulk(1), [block], deadline=soon())
        with pytest.raises(LinkError, match=r"link to bob: \d+ of 67108864 bytes of its bulk queue.*not connected"):
            await a.transport.send(b.peer.peer_id, Bulk(2), [block], deadline=Deadline.after(5))
        waiting = asyncio.create_task(a.transport.send(b.peer.peer_id, Bulk(3), [block], deadline=soon()))
        await asyncio.sleep(0)
        introduce(a, b)
        with pytest.raises(LinkError, match="bob: it was lost"):
            await waiting  # another address is another link
        first = asyncio.create_task(a.transport.send(b.peer.peer_id, Bulk(4), [block], deadline=soon()))
        second = asyncio.create_task(a.transport.send(b.peer.peer_id, Bulk(5), [block], deadline=soon()))
        await asyncio.gather(first, second)
        await b.events.message_count(2)
        assert [message for _, message, _ in b.events.messages] == [Bulk(4), Bulk(5)]
        await close(a, b)

    virtually(run)


def test_send_names_who_cannot_be_reached(tmp_path: Path) -> None:
    async def run() -> None:
        owner = Owner.create(tmp_path / "owner")
        a = await start(owner, tmp_path, "ann", profile=replace(QUICK, connect_s=0.2))
        ghost = Identity.load_or_create(tmp_path / "ghost")
        with pytest.raises(LinkError, match="no member"):
            await a.transport.send(ghost.peer_id, Note("?"), deadline=soon())
        a.transport.set_members({ghost.peer_id: Peer(ghost.peer_id, "ghost", "127.0.0.1:1")})
        await a.events.until(lambda: bool(a.events.downs), "never came")
        assert "never connected" in a.events.downs[0][1]
        with pytest.raises(LinkError, match="ghost: it is lost"):
            await a.transport.send(ghost.peer_id, Note("?"), deadline=soon())
        with pytest.raises(WireError, match="tensor-count"):
            await a.transport.send(ghost.peer_id, Bulk(1), deadline=soon())
        await close(a)

    virtually(run)


def test_unwanted_tensors_are_dropped_and_the_link_stays(tmp_path: Path) -> None:
    async def run() -> None:
        a, b = await pair(tmp_path)
        b.events.policy = lambda message, specs: None if message == Bulk(2) else f"unexpected {specs[0].shape}"
        for number in (1, 2):
            await a.transport.send(b.peer.peer_id, Bulk(number), [np.zeros(3 << 20, np.uint8)], deadline=soon())
        await b.events.message_count(1)
        assert [message for _, message, _ in b.events.messages] == [Bulk(2)]
        assert b.transport.refused == {"not-admitted": 1}
        assert "unexpected (3145728,)" in b.events.refusals[0][1]
        assert b.events.downs == []
        await close(a, b)

    virtually(run)


def test_handler_that_fails_does_not_break_the_link(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        a, b = await pair(tmp_path)
        taken = b.events.on_message
        failures = iter([RuntimeError("bug")])

        def handler(*args: object) -> None:
            for failure in failures:
                raise failure
            taken(*args)  # type: ignore[arg-type]

        b.events.on_message = handler  # type: ignore[method-assign]
        for text in ("one", "two"):
            await a.transport.send(b.peer.peer_id, Note(text), deadline=soon())
        await b.events.message_count(1)
        assert b.transport.refused == {"handler-failed": 1}
        assert "RuntimeError: bug" in caplog.text
        await close(a, b)

    virtually(run)


# --- strangers ---------------------------------------------------------------------------------------------------


async def raw_tls(identity: Identity, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = split_address(address)
    return await asyncio.open_connection(host, port, ssl=client_context(identity), server_hostname="")


def hello(lane: Lane = Lane.CONTROL, **changes: object) -> Hello:
    plain = Hello(PROTOCOL, "9.9", RUN, lane, "stray", "feedfeedfeedfeed", 0, "")
    return replace(plain, **changes)  # type: ignore[arg-type]


def wire(message: object) -> bytes:
    return b"".join(build(LINK_MESSAGES, message).buffers)


async def read_refusal(reader: asyncio.StreamReader) -> Refusal:
    sink = Sink()
    FrameParser(LINK_MESSAGES, sink).feed(await reader.read())
    refusals = [message for message, _ in sink.frames if isinstance(message, Refusal)]
    assert len(refusals) == 1
    return refusals[0]


async def shut(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError):
        await writer.wait_closed()


async def speak(identity: Identity, address: str, data: bytes) -> None:
    """Send bytes over TLS and read until the other side closes."""
    reader, writer = await raw_tls(identity, address)
    try:
        writer.write(data)
        await asyncio.wait_for(reader.read(), PATIENCE_S)
    except (ConnectionError, ssl.SSLError):
        pass
    await shut(writer)


Attack = Callable[[Owner, Path, Node, Node], Awaitable[None]]


async def wrong_authority(owner: Owner, folder: Path, a: Node, b: Node) -> None:
    stranger = invite(Owner.create(folder / "other-owner"), folder / "other", "eve")
    stranger.ca_path.write_bytes(owner.ca_pem)
    await speak(stranger, b.peer.address, wire(hello()))


async def self_signed(owner: Owner, folder: Path, a: Node, b: Node) -> None:
    eve = Owner.create(folder / "eve")
    key = Identity.load_or_create(folder / "eve")
    key.key_path.write_bytes((folder / "eve" / "owner.key").read_bytes())
    key.cert_path.write_bytes(eve.ca_pem)
    key.ca_path.write_bytes(owner.ca_pem)
    await speak(key, b.peer.address, wire(hello()))


async def no_certificate(owner: Owner, folder: Path, a: Node, b: Node) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    host, port = split_address(b.peer.address)
    reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname="")
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await reader.read()
    await shut(writer)


async def plain_garbage(owner: Owner, folder: Path, a: Node, b: Node) -> None:
    host, port = split_address(b.peer.address)
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(os.urandom(4000))
    with contextlib.suppress(ConnectionError):
        await reader.read()
    await shut(writer)


async def not_a_member(owner: Owner, folder: Path, a: Node, b: Node) -> None:
    reader, writer = await raw_tls(invite(owner, folder, "carol"), b.peer.address)
    writer.write(wire(hello()))
    refusal = await read_refusal(reader)
    assert refusal.reason == "not-a-member"
    await shut(writer)


def as_ann(message: bytes) -> Attack:
    async def attack(owner: Owner, folder: Path, a: Node, b: Node) -> None:
        await speak(a.identity, b.peer.address, message)

    return attack


async def wrong_version(owner: Owner, folder: Path, a: Node, b: Node) -> None:
    reader, writer = await raw_tls(a.identity, b.peer.address)
    writer.write(wire(hello(protocol=99)))
    refusal = await read_refusal(reader)
    assert refusal.reason == "wrong-version"
    assert "99 (software 9.9), here it is 1 (0.1.0)" in refusal.detail
    await shut(writer)


ATTACKS: list[tuple[Attack, str]] = [
    (wrong_authority, "tls-handshake"),
    (self_signed, "tls-handshake"),
    (no_certificate, "tls-handshake"),
    (plain_garbage, "tls-handshake"),
    (not_a_member, "not-a-member"),
    (wrong_version, "wrong-version"),
    (as_ann(wire(hello(run_id="another"))), "wrong-run"),
    (as_ann(b"\x00" * 100), "bad-magic"),
    (as_ann(wire(Ping(1.0, 0, 0))), "no-hello"),
    (as_ann(PREFIX.pack(MAGIC, 0, 0, 1 << 20, 0)), "oversized-header"),
    (as_ann(PREFIX.pack(MAGIC, 1, 0, 10, 1 << 40)), "oversized-payload"),
    (as_ann(wire(hello())[:-3]), "no-hello"),
    (as_ann(b""), "no-hello"),
    (as_ann(wire(hello()) + b"\xff" * 64), "bad-magic"),
    (as_ann(wire(hello(Lane.BULK)) + wire(hello())), "wrong-lane"),
    (as_ann(wire(hello()) + wire(hello())), "second-hello"),
    (as_ann(wire(hello(received=5, peer_session="x")) + PREFIX.pack(MAGIC, 0, 0, 2**31, 0)), "oversized-header"),
]


@pytest.mark.parametrize(("attack", "reason"), ATTACKS, ids=[f"{n}-{reason}" for n, (_, reason) in enumerate(ATTACKS)])
def test_strangers_are_refused_counted_logged_and_disturb_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, attack: Attack, reason: str
) -> None:
    async def run() -> None:
        owner = Owner.create(tmp_path / "owner")
        a, b = await pair(tmp_path)
        await chat(a, b, "before")
        await attack(owner, tmp_path, a, b)
        await b.events.until(lambda: bool(b.events.refusals), reason)
        await chat(a, b, "after")
        assert b.transport.refused == {reason: 1}
        lines = [record for record in caplog.records if reason in record.getMessage()]
        assert len(lines) == 1
        assert lines[0].levelno == logging.WARNING
        assert a.events.downs == b.events.downs == []
        assert len(a.events.ups) == len(b.events.ups) == 1
        await close(a, b)

    virtually(run)


def test_a_flood_is_counted_but_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        a, b = await pair(tmp_path)
        owner = Owner.load(tmp_path / "owner")
        for _ in range(20):
            await plain_garbage(owner, tmp_path, a, b)
        await b.events.until(lambda: len(b.events.refusals) == 20, "20 refusals")
        assert b.transport.refused == {"tls-handshake": 20}
        assert caplog.text.count("tls-handshake") == 1
        await close(a, b)

    virtually(run)


def test_idle_strangers_do_not_keep_others_out(tmp_path: Path) -> None:
    async def run() -> None:
        owner = Owner.create(tmp_path / "owner")
        patient = replace(QUICK, handshake_s=30.0)
        a, b = [await start(owner, tmp_path, name, profile=patient) for name in ("ann", "bob")]
        listener = max(a, b, key=lambda node: node.peer.peer_id)
        host, port = split_address(listener.peer.address)
        idle = [await asyncio.open_connection(host, port) for _ in range(80)]
        await connected(a, b)
        assert listener.transport.refused["too-many-handshakes"] >= 16
        for _, writer in idle:
            await shut(writer)
        await close(a, b)

    virtually(run)


def test_peers_of_another_run_or_version_tell_both_sides(tmp_path: Path) -> None:
    async def run(**odd: object) -> tuple[Node, Node]:
        owner = Owner.load_or_create(tmp_path / "owner")
        a = await start(owner, tmp_path, "ann")
        b = await start(owner, tmp_path, "bob", **odd)  # type: ignore[arg-type]
        introduce(a, b)
        for node in (a, b):
            await node.events.until(lambda node=node: bool(node.events.refusals), "a refusal")
        await close(a, b)
        return a, b

    for odd, reason in (({"run_id": "run-2"}, "wrong-run"), ({"protocol": 2}, "wrong-version")):
        nodes = virtually(lambda odd=odd: run(**odd))
        acceptor, dialler = sorted(nodes, key=lambda node: node.peer.peer_id, reverse=True)
        assert set(acceptor.transport.refused) == {reason}
        assert set(dialler.transport.refused) == {"refused-by-peer"}
        assert reason in dialler.events.refusals[0][1]
        assert acceptor.events.ups == dialler.events.ups == []


def test_a_dialled_peer_must_be_the_one_that_was_dialled(tmp_path: Path) -> None:
    async def run() -> None:
        owner = Owner.create(tmp_path / "owner")
        nodes = [await start(owner, tmp_path, name) for name in ("ann", "bob", "cat")]
        a, b, c = sorted(nodes, key=lambda node: node.peer.peer_id)
        a.transport.set_members({b.peer.peer_id: replace(b.peer, address=c.peer.address)})
        await a.events.until(lambda: bool(a.events.refusals), "a refusal")
        assert a.events.refusals[0][0] == "wrong-identity"
        assert a.events.ups == []
        await close(*nodes)

    virtually(run)


def test_one_that_is_no_member_any_more_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        a, b = await pair(tmp_path)
        b.transport.set_members({})
        await b.events.until(lambda: "not-a-member" in b.transport.refused, "a refusal")
        assert b.transport.links() == ()
        await a.events.until(lambda: bool(a.events.downs), "the loss")
        await close(a, b)

    virtually(run)


# --- breaks and losses -------------------------------------------------------------------------------------------


def test_nothing_is_lost_or_repeated_when_connections_break(tmp_path: Path) -> None:
    async def run() -> None:
        a, b = await pair(tmp_path)
        count = 30
        for number in range(count):
            await a.transport.send(b.peer.peer_id, Bulk(number), [np.full(1 << 20, number, np.uint8)], deadline=soon())
            await a.transport.send(b.peer.peer_id, Note(str(number)), deadline=soon())
            if number % 10 == 5:
                for connection in list(a.transport._connections)[: 1 + number // 10]:
                    connection.abort("cut by the test")
        await b.events.message_count(2 * count)
        bulk = [(message, tensors[0]) for _, message, tensors in b.events.messages if isinstance(message, Bulk)]
        assert [message.number for message, _ in bulk] == list(range(count))
        assert all((tensor == message.number).all() for message, tensor in bulk)
        notes = [message.text for _, message, _ in b.events.messages if isinstance(message, Note)]
        assert notes == [str(number) for number in range(count)]
        assert a.events.downs == b.events.downs == []
        assert len(a.events.ups) == len(b.events.ups) == 1
        await close(a, b)

    virtually(run)


def test_a_peer_that_restarts_is_reported_lost_and_back(tmp_path: Path) -> None:
    async def run() -> None:
        a, b = await pair(tmp_path)
        owner = Owner.load(tmp_path / "owner")
        await a.transport.close()
        await b.events.until(lambda: bool(b.events.downs), "the loss")
        assert "on purpose" in b.events.downs[0][1]
        again = await start(owner, tmp_path, a.peer.name)
        await connected(again, b)
        await b.events.until(lambda: len(b.events.ups) == 2, "being back")
        await chat(again, b, "again")
        await close(again, b)

    virtually(run)


CHILD = """
import asyncio, sys
from pathlib import Path
from actors.transport.identity import Owner
from actors.transport.base import Peer
from tests.transport.helpers import start

async def main():
    folder, name, peer_id, peer_name, address = sys.argv[1:]
    node = await start(Owner.load(Path(folder) / "owner"), Path(folder), name)
    print(node.peer.peer_id, node.peer.address, flush=True)
    node.transport.set_members({peer_id: Peer(peer_id, peer_name, address), node.peer.peer_id: node.peer})
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize(("sent", "words"), [(signal.SIGKILL, "did not form again"), (signal.SIGSTOP, "silent for")])
def test_a_dead_or_stopped_peer_is_found(tmp_path: Path, sent: signal.Signals, words: str) -> None:
    """A process of its own, so in real time; how long it takes is a matter of virtual time."""

    async def run(child: subprocess.Popen[str], a: Node) -> None:
        assert child.stdout is not None
        peer_id, address = (await asyncio.to_thread(child.stdout.readline)).split()
        a.transport.set_members({peer_id: Peer(peer_id, "bob", address)})
        await a.events.until(lambda: bool(a.events.ups), "being up")
        child.send_signal(sent)
        await a.events.until(lambda: bool(a.events.downs), "the loss")
        ((lost, reason),) = a.events.downs
        assert lost == peer_id
        assert reason.startswith("bob: ")
        if sent is signal.SIGKILL and a.peer.peer_id < peer_id:  # we dial, and are refused
            assert "its machine refuses new ones" in reason
        else:
            assert words in reason
        if sent is signal.SIGSTOP:
            child.send_signal(signal.SIGCONT)
            await a.events.until(lambda: len(a.events.ups) == 2, "being back")
        await close(a)

    async def whole() -> None:
        prompt = replace(QUICK, silence_s=1.2, redial_s=0.6)
        a = await start(Owner.create(tmp_path / "owner"), tmp_path, "ann", profile=prompt)
        arguments = [str(tmp_path), "bob", a.peer.peer_id, "ann", a.peer.address]
        with subprocess.Popen([sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True) as child:  # noqa: ASYNC220
            try:
                await run(child, a)
            finally:
                child.kill()

    asyncio.run(whole())


def test_a_refusal_that_the_mesh_met_ends_a_broken_link_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        a, b = await pair(tmp_path)
        a.transport.nobody_listens(b.peer.peer_id, b.peer.address)
        await chat(a, b, "a link that works is not touched")
        await b.transport.close()
        await a.events.until(lambda: bool(a.events.downs), "the goodbye")
        a.transport.nobody_listens(b.peer.peer_id, b.peer.address)
        a.transport.nobody_listens("nobody", "127.0.0.1:1")
        assert len(a.events.downs) == 1
        await close(a)

    virtually(run)


def test_closing_delivers_what_was_queued(tmp_path: Path) -> None:
    async def run() -> None:
        a, b = await pair(tmp_path)
        await a.transport.send(b.peer.peer_id, Bulk(1), [np.ones(8 << 20, np.uint8)], deadline=soon())
        await a.transport.close()
        await b.events.until(lambda: bool(b.events.downs), "the loss")
        assert [message for _, message, _ in b.events.messages] == [Bulk(1)]
        await close(b)

    virtually(run)


def test_many_members_form_a_full_mesh(tmp_path: Path) -> None:
    async def run() -> None:
        owner = Owner.create(tmp_path / "owner")
        nodes = [await start(owner, tmp_path, f"n{index}") for index in range(5)]
        await connected(*nodes)
        for one in nodes:
            for other in nodes:
                if one is not other:
                    await one.transport.send(other.peer.peer_id, Note(one.peer.name), deadline=soon())
        for node in nodes:
            await node.events.message_count(4)
            assert len({peer_id for peer_id, _, _ in node.events.messages}) == 4
            assert all(link.up for link in node.transport.links())
        await close(*nodes)

    virtually(run)
