"""Signed statements: what they carry, and how bytes that are none are refused."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import msgpack
import pytest

from actors.membership.messages import (
    Ack,
    Digest,
    Gossip,
    Items,
    Message,
    Nack,
    Ping,
    PingRequest,
    Sync,
    Want,
    decode,
    encode,
)
from actors.membership.statements import (
    MAX_CREDENTIAL,
    Accusation,
    Card,
    Evidence,
    Notary,
    Record,
    RefusedError,
    State,
    Verdict,
)
from actors.transport.credentials import RunCrypto
from actors.transport.identity import Identity, Owner

RUN = "statements"


def identity(owner: Owner, folder: Path, name: str, run_id: str = RUN) -> Identity:
    """An identity with a certificate."""
    made = Identity.load_or_create(folder / name)
    made.install(owner.issue(made.public_key, name, run_id), owner.ca_pem)
    return made


def notary_of(made: Identity, run_id: str = RUN) -> Notary:
    """Signs with real keys."""
    crypto = RunCrypto(made, run_id)
    return Notary(run_id, crypto, crypto.credential)


def card_of(made: Identity) -> Card:
    """A full card."""
    return Card(made.peer_id, made.name, 3, ("tcp:192.0.2.1:4000", "iroh:abc"), 7 << 30, 812.5, State.ACTIVE, "1.2")


def refusal(notary: Notary, wire: bytes) -> str:
    """Why it is refused."""
    with pytest.raises(RefusedError) as caught:
        notary.open(wire)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def test_records_and_accusations_survive_the_wire(tmp_path: Path) -> None:
    owner = Owner.create(tmp_path / "owner")
    ann, bob = (identity(owner, tmp_path, name) for name in ("ann", "bob"))
    made = notary_of(ann).record(card_of(ann), 17, 19)
    read = notary_of(bob).open(made.wire)
    assert isinstance(read, Record)
    assert read == made
    assert (read.name, read.stage, read.capacity, read.throughput) == ("ann", 3, 7 << 30, 812.5)
    assert (read.life, read.incarnation, read.state, read.version) == (17, 19, State.ACTIVE, "1.2")
    assert read.addresses == ("tcp:192.0.2.1:4000", "iroh:abc")
    said = notary_of(ann).accusation(bob.peer_id, 4, Verdict.DEAD, Evidence.REFUSED, ann.peer_id)
    assert notary_of(bob).open(said.wire) == said
    assert len(made.wire) < 1000
    assert len(said.wire) < 200


def test_only_the_subject_can_make_a_record(tmp_path: Path) -> None:
    owner = Owner.create(tmp_path / "owner")
    ann, bob = (identity(owner, tmp_path, name) for name in ("ann", "bob"))
    forged = notary_of(bob).record(replace(card_of(ann)), 1, 99)
    assert refusal(notary_of(bob), forged.wire) == "uncertified"  # bob's certificate is not for ann's key
    _, body, signature, _ = msgpack.unpackb(forged.wire)
    credential = notary_of(ann)._credential
    assert refusal(notary_of(bob), msgpack.packb([1, body, signature, credential])) == "bad-signature"
    accused = notary_of(bob).accusation(bob.peer_id, 4, Verdict.DEAD, Evidence.SILENT, ann.peer_id)
    assert refusal(notary_of(bob), accused.wire) == "bad-signature"


def test_keys_of_other_owners_and_other_runs_are_refused(tmp_path: Path) -> None:
    owner, foreign = Owner.create(tmp_path / "owner"), Owner.create(tmp_path / "foreign")
    ann = identity(owner, tmp_path, "ann")
    eve = identity(foreign, tmp_path, "eve")
    assert refusal(notary_of(ann), notary_of(eve).record(card_of(eve), 1, 1).wire) == "uncertified"
    old = identity(owner, tmp_path, "old", "another-run")
    assert refusal(notary_of(ann), notary_of(old, "another-run").record(card_of(old), 1, 1).wire) == "uncertified"
    crypto = RunCrypto(ann, RUN)
    replayed = Notary("another-run", crypto, crypto.credential).record(card_of(ann), 1, 1)
    assert refusal(notary_of(ann), replayed.wire) == "bad-signature"


def test_every_cut_and_every_flipped_byte_is_refused(tmp_path: Path) -> None:
    owner = Owner.create(tmp_path / "owner")
    ann = identity(owner, tmp_path, "ann")
    wire = notary_of(ann).record(card_of(ann), 1, 1).wire
    for end in range(0, len(wire), 7):
        refusal(notary_of(ann), wire[:end])
    for place in range(0, len(wire), 5):
        changed = bytearray(wire)
        changed[place] ^= 0x10
        refusal(notary_of(ann), bytes(changed))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, b"short"),
        (1, "x" * 65),
        (2, -2),
        (2, 1 << 63),
        (3, ["tcp:a:1"] * 9),
        (3, ["x" * 257]),
        (3, [7]),
        (4, -1),
        (5, float("nan")),
        (5, float("inf")),
        (5, -1.0),
        (5, 3),
        (7, -1),
        (8, 4),
        (9, "v" * 33),
        (7, True),
    ],
)
def test_signed_nonsense_is_refused(tmp_path: Path, place: int, value: object) -> None:
    """The subject itself signs what no member may say."""
    owner = Owner.create(tmp_path / "owner")
    ann = identity(owner, tmp_path, "ann")
    crypto = RunCrypto(ann, RUN)
    notary = notary_of(ann)
    _, body, _, credential = msgpack.unpackb(notary.record(card_of(ann), 1, 1).wire)
    values = msgpack.unpackb(body)
    values[place] = value
    changed = msgpack.packb(values)
    wire = msgpack.packb([1, changed, crypto.sign(notary._domain + changed), credential])
    assert refusal(notary_of(ann), wire) in ("malformed", "oversized")


def test_oversized_statements_are_refused_before_they_are_read(tmp_path: Path) -> None:
    owner = Owner.create(tmp_path / "owner")
    ann = identity(owner, tmp_path, "ann")
    notary = notary_of(ann)
    assert refusal(notary, b"\x90" * 5000) == "oversized"
    _, body, signature, _ = msgpack.unpackb(notary.record(card_of(ann), 1, 1).wire)
    assert refusal(notary, msgpack.packb([1, body, signature, bytes(MAX_CREDENTIAL + 1)])) == "oversized"
    assert not notary.cache


MESSAGES: list[Message] = [
    Ping(3, (1 << 64) - 1, (b"a", b"bc")),
    Ack(0, 5),
    PingRequest(9, "ab" * 32, (b"x",)),
    Nack(2, refused=True),
    Gossip((b"1", b"2")),
    Sync(7, True, (b"me",)),
    Digest(8, bytes(34)),
    Want(bytes(16)),
    Items((b"1",) * 300),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_survive_the_wire_and_no_part_of_one_is_one(message: Message) -> None:
    data = encode(message)
    assert decode(data) == message
    for end in range(len(data)):
        with pytest.raises(RefusedError):
            decode(data[:end])


@pytest.mark.parametrize(
    "values",
    [
        [],
        [9],
        [-1, 2],
        ["0", 1, 2, []],
        [True, 1, 2, []],
        [0, 1, 2],
        [0, 1, 2, [], 3],
        [0, -1, 2, []],
        [0, 1 << 63, 1.0, []],
        [0, 1, 2, {}],
        [0, 1, 2, [1]],
        [0, 1, 2, [b"x" * 4097]],
        [0, 1, 2, [b"x"] * 65],
        [2, 1, b"short", []],
        [3, 1, 1],
        [6, 1, bytes(18)],
        [7, bytes(9)],
        {0: 1},
        7,
        None,
    ],
    ids=lambda values: str(values)[:24],
)
def test_arrays_that_are_no_message_are_refused(values: object) -> None:
    with pytest.raises(RefusedError):
        decode(msgpack.packb(values))


def test_bombs_are_refused_without_their_memory() -> None:
    deep = b"\x91" * 100_000
    claims = [b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01"]
    for data in (deep, *claims, bytes(600 << 10), random.Random(1).randbytes(1000)):
        with pytest.raises(RefusedError):
            decode(data)


def test_an_accusation_is_no_record_and_says_who_accuses(tmp_path: Path) -> None:
    owner = Owner.create(tmp_path / "owner")
    ann = identity(owner, tmp_path, "ann")
    said = notary_of(ann).open(
        notary_of(ann).accusation("cd" * 32, 1, Verdict.SUSPECT, Evidence.SILENT, ann.peer_id).wire
    )
    assert isinstance(said, Accusation)
    assert said.accuser == ann.peer_id
