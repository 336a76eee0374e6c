"""Push-pull: equal views cost two small messages, others travel as the difference only."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from actors.membership.events import Effect
from actors.membership.messages import Digest, Gossip, Items, Message, Sync, Want
from actors.membership.statements import Evidence, State
from tests.membership.solo import Solo, messages

OTHER = 1
ALIVE, GONE = 0, 1


def alone(others: int = 5, **changes: Any) -> Solo:
    """A member that begins nothing by itself."""
    solo = Solo(others, interval_s=1e6, sync_s=1e6, **changes)
    solo.silent = set(range(1, others + 1))
    return solo


def short(solo: Solo, number: int) -> bytes:
    return bytes.fromhex(solo.peer(number))[:8]


def entry(solo: Solo, number: int, incarnation: int = 1, gone: int = ALIVE) -> bytes:
    """17 bytes: 8 of the identity, the incarnation, and whether it is gone."""
    return short(solo, number) + struct.pack(">QB", incarnation, gone)


def digest(solo: Solo, changed: dict[int, bytes] | None = None) -> Digest:
    """What a peer knows that knows the same, but for what is changed; empty bytes for an unknown member."""
    changed = changed or {}
    return Digest(0, b"".join(changed.get(number, entry(solo, number)) for number in range(6)))


def given(effects: list[Effect]) -> list[bytes]:
    """The statements sent."""
    return [wire for one in messages(effects) if isinstance(one, Items) for wire in one.updates]


def wanted(effects: list[Effect]) -> set[bytes]:
    ids = b"".join(one.ids for one in messages(effects) if isinstance(one, Want))
    return {ids[at : at + 8] for at in range(0, len(ids), 8)}


def only(effects: list[Effect]) -> Message:
    (message,) = messages(effects)
    return message


# --- hashes ---------------------------------------------------------------------------------------------------------


def test_of_equal_views_one_small_answer_is_all() -> None:
    solo = alone()
    view = solo.core.view_hash
    assert only(solo.says(OTHER, Sync(view, False))) == Sync(view, True)
    assert messages(solo.says(OTHER, Sync(view, True))) == [], "an answer is not answered"


@pytest.mark.parametrize("answer", [False, True])
def test_another_view_is_answered_with_all_that_is_known_17_bytes_each(answer: bool) -> None:
    solo = alone()
    solo.tell(solo.dead(3, by=2, incarnation=4), solo.record(2, 7).wire)
    view = solo.core.view_hash
    message = only(solo.says(OTHER, Sync(view + 1, answer)))
    assert isinstance(message, Digest)
    assert message.view == view
    entries = {message.entries[at : at + 17] for at in range(0, len(message.entries), 17)}
    # the core is member 0 and knows itself too; of the dead one the incarnation of the verdict is told
    expected = {entry(solo, number) for number in (0, 1, 4, 5)}
    assert entries == expected | {entry(solo, 2, 7), entry(solo, 3, 4, GONE)}


def test_the_statements_in_a_sync_are_taken_before_the_hashes_are_compared() -> None:
    solo, ahead = alone(), alone()
    news = solo.record(OTHER, 2).wire
    ahead.tell(news)
    assert only(solo.says(OTHER, Sync(ahead.core.view_hash, False, (news,)))) == Sync(ahead.core.view_hash, True)


# --- differences ----------------------------------------------------------------------------------------------------


def test_equal_digests_send_nothing() -> None:
    solo = alone()
    assert messages(solo.says(OTHER, digest(solo))) == []


def test_a_member_that_the_other_side_does_not_know_at_all_is_sent() -> None:
    solo = alone()
    effects = solo.says(OTHER, digest(solo, {3: b"", 0: b""}))
    assert set(given(effects)) == {solo.record(3, 1).wire, solo.core.record.wire}
    assert wanted(effects) == set()


def test_a_member_that_we_do_not_know_at_all_is_asked_for() -> None:
    solo = alone()
    stranger = b"\x5a" * 8 + struct.pack(">QB", 3, ALIVE)
    effects = solo.says(OTHER, Digest(0, digest(solo).entries + stranger))
    assert given(effects) == []
    assert wanted(effects) == {b"\x5a" * 8}


@pytest.mark.parametrize(
    ("incarnation", "gone", "sent", "asked"),
    [
        (4, ALIVE, True, False),
        (5, ALIVE, False, False),
        (6, ALIVE, False, True),
        (4, GONE, True, False),  # it came back above the verdict that the other side knows
        (5, GONE, False, True),  # of one incarnation the dead holds
        (5, 255, False, True),  # any number but 0 is gone
        (6, GONE, False, True),
    ],
)
def test_only_the_newer_statement_travels(incarnation: int, gone: int, sent: bool, asked: bool) -> None:
    """We know member 3 alive at incarnation 5."""
    solo = alone()
    record = solo.record(3, 5)
    solo.tell(record.wire)
    effects = solo.says(OTHER, digest(solo, {3: entry(solo, 3, incarnation, gone)}))
    assert given(effects) == ([record.wire] if sent else [])
    assert wanted(effects) == ({short(solo, 3)} if asked else set())


@pytest.mark.parametrize(
    ("incarnation", "gone", "sent", "asked"),
    [(4, ALIVE, True, False), (5, ALIVE, True, False), (5, GONE, False, False), (6, ALIVE, False, True)],
)
def test_of_one_who_is_gone_the_verdict_counts(incarnation: int, gone: int, sent: bool, asked: bool) -> None:
    """We hold member 3 dead at incarnation 5, by the verdict of member 2, and know its record of incarnation 1."""
    solo = alone()
    verdict = solo.dead(3, by=2, incarnation=5)
    solo.tell(verdict)
    effects = solo.says(OTHER, digest(solo, {3: entry(solo, 3, incarnation, gone)}))
    # record, judge's record, verdict: a verdict is taken only from a judge who is known
    assert given(effects) == ([solo.record(3, 1).wire, solo.record(2, 1).wire, verdict] if sent else [])
    assert wanted(effects) == ({short(solo, 3)} if asked else set())


def test_what_a_peer_asks_for_is_sent_and_nothing_else() -> None:
    solo = alone()
    verdict = solo.dead(3, by=2)
    solo.tell(verdict, solo.record(5, 2, state=State.LEFT).wire)
    assert given(solo.says(OTHER, Want(short(solo, 4)))) == [solo.record(4, 1).wire]
    assert messages(solo.says(OTHER, Want(b"\x5a" * 8))) == []
    wires = given(solo.says(OTHER, Want(short(solo, 3) + short(solo, 2))))
    assert sorted(wires[:2]) == sorted([solo.record(2, 1).wire, solo.record(3, 1).wire])
    assert wires[2:] == [verdict], "the judge is there already"
    assert given(solo.says(OTHER, Want(short(solo, 5)))) == [solo.record(5, 2, state=State.LEFT).wire]


def test_a_verdict_whose_judge_is_forgotten_is_sent_without_its_record() -> None:
    solo = alone(reap_s=50.0)
    solo.tell(solo.dead(2, by=1))
    solo.run(20.0)
    verdict = solo.dead(3, by=2)
    solo.tell(verdict)
    solo.run(41.0)
    assert solo.peer(2) not in solo.core.records
    assert given(solo.says(OTHER, Want(short(solo, 3)))) == [solo.record(3, 1).wire, verdict]


def test_many_statements_travel_in_several_messages_of_48_kib() -> None:
    """A record has about 640 bytes, so 76 fit into 49,152."""
    solo = Solo(200, interval_s=1e6, sync_s=1e6)
    solo.silent = set(range(1, 201))
    parts = messages(solo.says(OTHER, Digest(0, b"")))
    assert all(isinstance(one, Items) for one in parts)
    sizes = [sum(map(len, one.updates)) for one in parts if isinstance(one, Items)]
    assert len(sizes) == -(-201 // (49_152 // len(solo.core.record.wire)))
    assert max(sizes) <= 49_152
    assert min(sizes[:-1]) > 49_152 - 700
    assert len(given(solo.says(OTHER, Digest(0, b"")))) == 201


def test_a_long_list_of_wishes_is_sent_in_parts() -> None:
    solo = alone()
    strangers = b"".join(struct.pack(">8sQB", struct.pack(">Q", 1 << 40 | number), 1, 0) for number in range(5000))
    parts = messages(solo.says(OTHER, Digest(0, digest(solo).entries + strangers)))
    assert [len(one.ids) // 8 for one in parts if isinstance(one, Want)] == [4096, 904]


def test_two_views_become_one_in_one_exchange() -> None:
    """Each side knows what the other lacks: newer records, a death, a stranger to the other."""
    left, right = Solo(5), Solo(5)
    left.tell(left.record(2, 9).wire, left.dead(3, by=2, incarnation=4, evidence=Evidence.REFUSED))
    right.tell(right.record(4, 6).wire, right.record(3, 3).wire, right.record(5, 8, state=State.LEFT).wire)
    carry: list[tuple[Solo, Message]] = [(right, Sync(left.core.view_hash, False))]
    count = 0
    while carry:
        at, message = carry.pop(0)
        count += 1
        other = left if at is right else right
        carry += [(other, one) for one in messages(at.says(OTHER, message)) if not isinstance(one, Gossip)]
    assert left.core.view_hash == right.core.view_hash
    assert set(left.core.gone) == set(right.core.gone) == {left.peer(3), left.peer(5)}
    assert count <= 6
