"""Messages and statements at the edges of what is allowed: exactly full passes, one more does not."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from actors.membership import statements
from actors.membership.messages import (
    MAX_MESSAGE,
    Digest,
    Gossip,
    Items,
    Message,
    Nack,
    Ping,
    PingRequest,
    Want,
    decode,
    encode,
)
from actors.membership.statements import Card, Evidence, Notary, RefusedError, State, Verdict
from orchestrator.simulation.stub_crypto import StubCrypto, credential_of

PEER, OTHER = "5a" * 32, "6b" * 32
SECRETS = {PEER: b"secret", OTHER: b"another"}
CRYPTO = StubCrypto(SECRETS, PEER)


def notary(run_id: str = "run") -> Notary:
    return Notary(run_id, CRYPTO, credential_of(PEER))


def reason(wire: bytes, at: Notary | None = None) -> str | None:
    """Why a statement is refused, or None."""
    try:
        (at or notary()).open(wire)
    except RefusedError as error:
        return error.reason
    return None


def signed(kind: int, values: list[Any], credential: bytes | None = None) -> bytes:
    """A statement with a good signature, whatever it says."""
    body = msgpack.packb(values)
    parts = [kind, body, CRYPTO.sign(notary()._domain + body)]
    if kind == 1:
        parts.append(credential_of(PEER) if credential is None else credential)
    wire: bytes = msgpack.packb(parts)
    return wire


def record(**changes: Any) -> bytes:
    """A record, with some fields changed."""
    fields: dict[str, Any] = {
        "key": bytes.fromhex(PEER),
        "name": "ann",
        "stage": 0,
        "addresses": ["tcp:a:1"],
        "capacity": 0,
        "throughput": 0.0,
        "life": 1,
        "incarnation": 1,
        "state": 1,
        "version": "1",
    }
    return signed(1, list({**fields, **changes}.values()))


def accusation(**changes: Any) -> bytes:
    key = bytes.fromhex(PEER)
    fields = {"subject": key, "incarnation": 1, "verdict": 0, "evidence": 0, "accuser": key}
    return signed(2, list({**fields, **changes}.values()))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"name": "x" * 64}, None),
        ({"name": "x" * 65}, "oversized"),
        ({"version": "x" * 32}, None),
        ({"version": "x" * 33}, "oversized"),
        ({"stage": -1}, None),
        ({"stage": -2}, "malformed"),
        ({"addresses": []}, None),
        ({"addresses": ["x" * 256] * 8}, None),
        ({"addresses": ["x"] * 9}, "malformed"),
        ({"addresses": ["x" * 257]}, "malformed"),
        ({"addresses": ["x", b"x"]}, "malformed"),
        ({"capacity": (1 << 62) - 1}, None),
        ({"capacity": 1 << 62}, "malformed"),
        ({"capacity": -1}, "malformed"),
        ({"throughput": 0.99e18}, None),
        ({"throughput": 1e18}, "malformed"),
        ({"throughput": -1e-9}, "malformed"),
        ({"life": 0}, None),
        ({"life": -1}, "malformed"),
        ({"incarnation": 0}, None),
        ({"incarnation": 1 << 62}, "malformed"),
        ({"state": 0}, None),
        ({"state": 3}, None),
        ({"state": 4}, "malformed"),
        ({"state": -1}, "malformed"),
        ({"key": bytes(31)}, "malformed"),
        ({"key": bytes(33)}, "malformed"),
        ({"more": 1}, "malformed"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_bounds_of_a_record(changes: dict[str, Any], why: str | None) -> None:
    assert reason(record(**changes)) == why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"verdict": 1, "evidence": 1}, None),
        ({"verdict": 2}, "malformed"),
        ({"verdict": -1}, "malformed"),
        ({"evidence": 2}, "malformed"),
        ({"incarnation": -1}, "malformed"),
        ({"incarnation": (1 << 62) - 1}, None),
        ({"subject": bytes(31)}, "malformed"),
        ({"accuser": bytes(31)}, "malformed"),
        ({"accuser": bytes.fromhex(OTHER)}, "bad-signature"),
        ({"subject": bytes.fromhex(OTHER)}, None),
    ],
    ids=str,
)
def test_the_bounds_of_an_accusation(changes: dict[str, Any], why: str | None) -> None:
    assert reason(accusation(**changes)) == why


@pytest.mark.parametrize(
    ("parts", "why"),
    [([1, b"", b""], "malformed"), ([2, b"", b"", b""], "malformed"), ([3, b"", b""], "malformed"), ([], "malformed")],
)
def test_a_statement_is_a_record_or_an_accusation(parts: list[Any], why: str) -> None:
    assert reason(msgpack.packb(parts)) == why


def test_a_certificate_is_of_2048_bytes_at_most_and_a_statement_of_4096() -> None:
    values = msgpack.unpackb(msgpack.unpackb(record())[1])
    assert reason(signed(1, values, bytes(2048))) == "uncertified"
    assert reason(signed(1, values, bytes(2049))) == "oversized"
    assert reason(b"\x90" + bytes(4095)) == "malformed"
    assert reason(b"\x90" + bytes(4096)) == "oversized"


def test_what_a_member_says_of_itself_is_cut_to_the_bounds() -> None:
    card = Card(PEER, "n" * 70, 3, tuple(f"tcp:{number}:1" for number in range(10)), 5, 6, State.DRAINING, "v" * 40)
    made = notary().record(card, 4, 9)
    assert (made.name, made.version) == ("n" * 64, "v" * 32)
    assert made.addresses == tuple(f"tcp:{number}:1" for number in range(8))
    assert (made.stage, made.capacity, made.throughput, made.life, made.incarnation) == (3, 5, 6.0, 4, 9)
    assert notary().open(made.wire) == made


def test_the_digest_is_of_what_is_said_and_of_nothing_else() -> None:
    one = notary().record(Card(PEER, "ann"), 1, 1)
    same = Notary("another run", CRYPTO, b"").record(Card(PEER, "ann"), 1, 1)
    assert one.digest == same.digest
    others = [notary().record(Card(PEER, "bob"), 1, 1), notary().record(Card(PEER, "ann"), 1, 2)]
    assert len({one.digest, *(each.digest for each in others)}) == 3
    assert 0 <= one.digest < 1 << 64


def test_what_was_verified_once_is_remembered_and_the_oldest_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "_CACHE", 2)
    at = notary()
    wires = [notary().record(Card(PEER, "ann"), 1, incarnation).wire for incarnation in (1, 2, 3)]
    opened = [at.open(wire) for wire in wires]
    assert list(at.cache) == wires[1:]
    assert at.open(wires[2]) is opened[2]
    assert at.open(wires[0]) == opened[0]
    assert reason(b"\x90", at) == "malformed"
    assert len(at.cache) == 2, "what is refused is not kept"


def test_an_accusation_says_what_was_meant() -> None:
    made = notary().accusation(OTHER, 7, Verdict.DEAD, Evidence.REFUSED, PEER)
    assert (made.subject, made.incarnation, made.accuser) == (OTHER, 7, PEER)
    assert notary().open(made.wire) == made
    assert reason(made.wire, notary("another run")) == "bad-signature"


# --- messages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (Gossip((b"x",) * 64), None),
        (Gossip((b"x",) * 65), "oversized"),
        (Ping(1, 2, (b"x",) * 65), "oversized"),
        (Items((b"x",) * 512), None),
        (Items((b"x",) * 513), "oversized"),
        (Gossip((bytes(4096),)), None),
        (Gossip((bytes(4097),)), "oversized"),
        (Ping((1 << 64) - 1, (1 << 64) - 1), None),
        (PingRequest(1, "ab" * 32), None),
        (PingRequest(1, "ab" * 31), "malformed"),
        (Digest(0, bytes(17)), None),
        (Digest(0, bytes(16)), "malformed"),
        (Digest(0, bytes(MAX_MESSAGE - 17)), "malformed"),
        (Want(bytes(8)), None),
        (Want(bytes(17)), "malformed"),
        (Want(b""), None),
    ],
    ids=lambda value: str(value)[:24],
)
def test_the_bounds_of_a_message(message: Message, why: str | None) -> None:
    try:
        assert decode(encode(message)) == message
        found = None
    except RefusedError as error:
        found = error.reason
    assert found == why


def test_a_message_is_of_half_a_mebibyte_at_most() -> None:
    full = Want(bytes((1 << 19) - 8 - 8))
    assert decode(encode(full)) == full
    with pytest.raises(RefusedError, match="oversized"):
        decode(bytes((1 << 19) + 1))
    with pytest.raises(RefusedError, match="malformed"):
        decode(bytes(1 << 19))


@pytest.mark.parametrize(
    "values",
    [[0, -1, 2, []], [0, 1, -2, []], [0, True, 1, []], [3, 1, 1], [3, 1, None], [5, 1, 0, []], [9, 1], [1.0, 1, 2, []]],
    ids=str,
)
def test_a_field_of_another_kind_is_refused(values: list[Any]) -> None:
    with pytest.raises(RefusedError, match="malformed"):
        decode(msgpack.packb(values))


def test_a_flag_survives_both_ways() -> None:
    for refused in (False, True):
        assert decode(encode(Nack(3, refused))) == Nack(3, refused)
