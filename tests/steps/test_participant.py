"""The step protocol in virtual time: undisturbed worlds commit what they should, disturbed ones say what went wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from actors.steps.events import Compute, Effect, Send
from actors.steps.messages import Backward, Decision, Forward, Prepared, Purpose, Slice
from actors.steps.waits import Waits
from tests.steps.world import World

LAYOUTS = [[1], [3], [1, 1], [2, 1, 2], [2, 2, 2, 2], [1, 3, 1]]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_every_microbatch_counts_exactly_once_at_every_stage(layout: list[int]) -> None:
    for seed in range(25):
        world = World(seed, layout)
        world.run()
        assert not world.failures, f"seed {seed}: {world.failures}"
        for member in world.roster.members:
            assert np.array_equal(world.parameters[member.peer_id], world.expected(member.stage)), f"seed {seed}"
            records = world.records[member.name]
            assert [record.step for record in records] == [0, 1, 2, 3], f"seed {seed}"
            assert records == world.records[world.roster.members[0].name]


def test_validation_falls_where_it_should() -> None:
    world = World(1, [2, 2], validate_every=2)
    world.run()
    records = world.records["s0r0"]
    assert [record.validation_loss is not None for record in records] == [True, False, True, True]
    assert records[-1].loss is None
    assert records[-1].tokens == 0
    assert [record.commit for record in records] == [1, 2, 3, 3]


def test_no_more_microbatches_fly_than_configured() -> None:
    flying: dict[int, int] = {}

    def watch(name: str, effect: Effect) -> list[Effect]:
        if isinstance(effect, Send) and isinstance(effect.message, Forward) and effect.message.stage == 1:
            flying[effect.message.step] = flying.get(effect.message.step, 0) + 1
            assert flying[effect.message.step] <= 2
        if isinstance(effect, Send) and isinstance(effect.message, Backward):
            flying[effect.message.step] -= 1
        return [effect]

    world = World(3, [1, 1], watch, in_flight=2, validate_every=0)
    world.run()
    assert not world.failures


def test_a_slower_replica_gets_less() -> None:
    world = World(5, [1, 2], steps=12, microbatches=12, validate_every=0)
    slow = world.roster.replicas(1)[0].peer_id
    compute = world._compute

    def paced(peer: str, job: object) -> None:
        world.random.seed(4)
        compute(peer, job)  # type: ignore[arg-type]
        if peer == slow:
            when, _order, who, event = world._queue.pop(
                next(i for i, e in enumerate(world._queue) if e[1] == max(q[1] for q in world._queue))
            )
            world._at(when + 20, who, replace(event, seconds=event.seconds + 20))  # type: ignore[type-var, union-attr]

    world._compute = paced  # type: ignore[method-assign]
    world.run()
    last = world.records["s0r0"][-2].counted
    assert len(last[world.name(slow)]) < 4


def drop_first(kind: type, **fields: object) -> tuple[list[str], object]:
    """Return a meddler that loses the first message of a kind, and the list of what it lost."""
    lost: list[str] = []

    def meddle(name: str, effect: Effect) -> list[Effect]:
        wanted = not lost and isinstance(effect, Send) and isinstance(effect.message, kind)
        if wanted and all(getattr(effect.message, key) == value for key, value in fields.items()):  # type: ignore[union-attr]
            lost.append(name)
            return []
        return [effect]

    return lost, meddle


@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [
        (Forward, {"stage": 2, "index": 3}, "microbatch 3"),
        (Backward, {"stage": 0, "index": 2}, "microbatch 2"),
        (Slice, {}, "averaging of stage"),
        (Prepared, {}, "did not report its stage's average"),
        (Decision, {}, "no decision from its leader"),
    ],
)
def test_a_lost_message_ends_the_run_with_a_reason(kind: type, fields: dict[str, object], says: str) -> None:
    lost, meddle = drop_first(kind, purpose=Purpose.TRAIN, **fields) if kind is Forward else drop_first(kind, **fields)
    world = World(11, [2, 2, 2], meddle)  # type: ignore[arg-type]
    world.run()
    assert lost
    assert len(world.failures) == 6, world.failures
    assert len(set(world.failures.values())) <= 2
    assert any(says in reason and "deadline passed" in reason for reason in world.failures.values()), world.failures


def test_the_deadline_names_the_hop_next_to_the_fault() -> None:
    _, meddle = drop_first(Forward, stage=2, index=1, purpose=Purpose.TRAIN)
    world = World(2, [1, 1, 1], meddle)  # type: ignore[arg-type]
    world.run()
    reason = world.failures["s1r0"]
    assert "s1r0 (stage 1) sent the activation to s2r0 (stage 2)" in reason


@pytest.mark.parametrize("times", [0, 2])
def test_a_gradient_counted_wrongly_on_purpose_is_not_committed(times: int) -> None:
    """The planted fault: a replica reports a microbatch as counted that it lost, or counted twice."""

    def meddle(name: str, effect: Effect) -> list[Effect]:
        if isinstance(effect, Send) and isinstance(effect.message, Prepared) and effect.message.counted:
            counted = effect.message.counted
            wrong = counted[1:] if times == 0 else (*counted, counted[0])
            return [replace(effect, message=replace(effect.message, counted=wrong))]
        return [effect]

    world = World(8, [1, 2], meddle)
    world.run()
    assert any(f"{times} times" in reason for reason in world.failures.values()), world.failures
    assert all(not records for records in world.records.values())


def test_replicas_that_differ_are_found_before_the_commit() -> None:
    world = World(9, [1, 2])
    odd = world.roster.replicas(1)[1].peer_id
    changed: list[bool] = []

    def meddle(name: str, effect: Effect) -> list[Effect]:
        if isinstance(effect, Compute) and effect.job.step == 1 and not changed:
            changed.append(True)
        if isinstance(effect, Send) and isinstance(effect.message, Prepared) and name == world.name(odd) and changed:
            return [replace(effect, message=replace(effect.message, parameter_hash="other"))]
        return [effect]

    world.meddle = meddle
    world.run()
    assert any("hold different parameters" in reason for reason in world.failures.values()), world.failures
    assert all(len(records) < 3 for records in world.records.values())


def test_a_lost_participant_is_named_to_all() -> None:
    from actors.steps.events import PeerLost

    world = World(4, [2, 2])
    gone = world.roster.members[2]
    world._at(5.0, world.roster.members[0].peer_id, PeerLost(gone.peer_id, "connection closed"))
    world.run()
    assert len(set(world.failures.values())) == 1
    assert f"{gone.name} (stage {gone.stage}): connection closed" in next(iter(world.failures.values()))


def test_whoever_leaves_after_the_closing_decision_is_not_lost() -> None:
    """A participant that has the closing decision closes its links while another one still waits for it."""
    from actors.steps.events import Finished, PeerLost

    for seed in range(20):
        world = World(seed, [2, 2])

        def leave(name: str, effect: Effect, world: World = world) -> list[Effect]:
            if isinstance(effect, Finished):
                gone = next(member for member in world.roster.members if member.name == name)
                closing_leader = world.roster.members[world.setup.steps % 4]
                for member in world.roster.members:
                    if member is not gone and gone is not closing_leader:
                        world._at(world.now, member.peer_id, PeerLost(gone.peer_id, "closed on purpose"))
            return [effect]

        world.meddle = leave
        world.run()
        assert not world.failures, f"seed {seed}: {world.failures}"
        assert all(participant.finished for participant in world.participants.values())


def test_another_config_is_refused_at_the_start() -> None:
    world = World(4, [1, 1])
    other = world.roster.members[1]
    from actors.records import Traffic
    from actors.steps.participant import Participant

    setup = replace(world.setup, config_hash="other")
    world.participants[other.peer_id] = Participant(setup, world.roster, other, Traffic)
    world.run()
    assert any("another run config" in reason for reason in world.failures.values())


def test_whoever_keeps_others_waiting_becomes_doubtful_before_the_run_fails() -> None:
    world = World(2, [1, 1, 1], validate_every=0)
    world.silent.add("s2r0")
    world.run()
    assert not world.doubts, "while nobody is ready there is nothing to wait for"
    world = World(2, [1, 1, 1], lambda name, effect: _fall_silent(world, name, effect), validate_every=0)
    world.run()
    assert ("s1r0", "s2r0") in {(waiting, peer) for waiting, peer, _ in world.doubts}
    reasons = [reason for waiting, peer, reason in world.doubts if (waiting, peer) == ("s1r0", "s2r0")]
    assert "s1r0 (stage 1) sent the activation to s2r0 (stage 2)" in reasons[0]
    assert world.failures["s1r0"], "a doubt ends nothing, the deadline does"


def _fall_silent(world: World, name: str, effect: Effect) -> list[Effect]:
    """The last stage stops as soon as it has something to compute."""
    if name == "s2r0" and isinstance(effect, Compute):
        world.silent.add("s2r0")
        return []
    return [effect]


def test_a_wait_that_moves_makes_nobody_doubtful() -> None:
    waits = Waits(10.0)
    waits.start(0.0, "key", "hop", "the gradient of ben", peer="ben")
    waits.start(0.0, "other", "hop", "another one of ben", peer="ben")
    waits.start(0.0, "own", "shard", "the own shard")
    assert waits.next_deadline() == 30.0
    waits.restart(20.0, "key")
    assert waits.doubtful(29.0) == {}
    assert waits.doubtful(31.0) == {"ben": "another one of ben (waited 31 s)"}
    assert waits.doubtful(49.0) == {}
    assert waits.doubtful(50.0) == {"ben": "the gradient of ben (waited 30 s)"}
    assert waits.doubtful(51.0) == {}
    waits.done(52.0, "key")
    assert waits.next_deadline() == 60.0
