"""A stage that loses everybody, and votes that outlive their processes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from actors.steps import events
from actors.steps.agreement import Agreement
from actors.steps.archive import Archive
from actors.steps.ballots import Decision, Lead, Promise, Propose
from actors.steps.context import Context, LostStage
from actors.steps.eras import origin, plausible_returns, stamp, wrong_returns
from actors.steps.view import Voter
from orchestrator.simulation import step_seeds
from orchestrator.simulation.elastic_world import ElasticWorld
from orchestrator.simulation.faults import Fault
from orchestrator.simulation.step_world import StepWorld
from orchestrator.simulation.trace import Trace, Violation


def dies(world: StepWorld, stage: int, seconds: float) -> None:
    """All who work for a stage crash; they are back after so many seconds, 0 for never."""
    for name in [node.name for node in world.nodes.values() if world.stage(node) == stage and node.name[:2] != "sp"]:
        world.begin(Fault(world.now, "crash", (name,), seconds))


def dies_after(world: StepWorld, stage: int, step: int) -> None:
    """The same once a step is decided (again); comes back when the run has returned."""
    before = len(world.returns)
    while world.decided.get(step) is None or world.decided[step].era < before:
        world.run(0.1)
    dies(world, stage, 2.0)
    while len(world.returns) == before:
        world.run(0.1)
        assert world.now < 1000.0


def texts(world: StepWorld, kind: str) -> list[str]:
    """What was said of that kind."""
    return [text for _, _, said, text in world.said if said == kind]


@pytest.mark.parametrize("layout", [[1, 1], [2, 2], [2, 2, 2], [3, 1]], ids=str)
def test_a_run_returns_to_what_all_stages_have_kept(layout: list[int]) -> None:
    for seed in range(6):
        world = StepWorld(seed, layout, trace=Trace(), steps=12, keep_every=3, validate_every=0)
        while len(world.decided) < 8:
            world.run(0.1)
        dies(world, len(layout) - 1, 3.0)
        assert world.settle(1000) == "", f"seed {seed}"
        ((step, commit),) = world.returns
        assert commit % 3 == 0 and 0 < step - commit <= 3, "the newest that was kept"
        assert sorted(world.decided) == list(range(13))
        assert [world.decided[number].era for number in range(13)] == [number >= commit for number in range(13)]
        for node in world.nodes.values():
            assert world.model.right(world.stage(node), 12, world.engines[node.peer].parameters, world.returns)


def test_it_can_return_more_than_once() -> None:
    world = StepWorld(3, [2, 2], trace=Trace(), steps=40, keep_every=4, validate_every=0)
    for stage, after in ((1, 6), (0, 11), (1, 19)):
        dies_after(world, stage, after)
    assert world.settle(1000) == ""
    assert len(world.returns) == 3


def test_without_what_was_kept_it_pauses_and_says_who_has_to_come_back() -> None:
    world = StepWorld(1, [2, 2], trace=Trace(), steps=12, keep_every=3, validate_every=0)
    while len(world.decided) < 8:
        world.run(0.1)
    dies(world, 1, 1.0)
    for peer in [node.peer for node in world.nodes.values() if world.stage(node) == 1]:
        world.disks.pop(peer)  # their disks are gone, but not their votes
    assert world.settle(1000) == "stage lost"
    assert any("nobody who is here has kept a state of stage 1" in text for text in texts(world, "paused"))


def test_a_damaged_state_is_passed_over_for_the_one_before() -> None:
    world = StepWorld(2, [1, 1], trace=Trace(), steps=12, keep_every=2, validate_every=0)
    while len(world.decided) < 9:
        world.run(0.1)
    last = world.named("s1r0")
    newest = max(world.disks[last.peer])
    right = world._restore

    def damaged(node: Any, engine: Any, era: int, commit: int) -> events.Event:
        if node is last and (1, era, commit) == newest:
            world.disks[node.peer].pop(newest, None)
            return events.Kept(world._on_disk(node))
        return right(node, engine, era, commit)

    world._restore = damaged  # type: ignore[method-assign]
    dies(world, 1, 2.0)
    assert world.settle(1000) == ""
    assert [commit for _, commit in world.returns] == [newest[2], newest[2] - 2]


def test_the_policy_stop_ends_the_run_and_says_why() -> None:
    world = StepWorld(4, [2, 2], trace=Trace(), steps=12, keep_every=3, lost_stage=LostStage.STOP)
    while len(world.decided) < 5:
        world.run(0.1)
    dies(world, 1, 2.0)
    world.run(100.0)
    assert len(world.failures) == 4
    assert all("stage 1 has lost everybody" in reason for reason in world.failures.values())


def test_a_stage_that_is_merely_cut_off_is_waited_for() -> None:
    world = StepWorld(5, [2, 3], trace=Trace(), steps=12, keep_every=3, lost_stage=LostStage.STOP)
    world.run(4.0)
    world.begin(Fault(4.0, "cut", ("s0r0", "s0r1"), 60.0))
    assert world.settle(1000) == ""
    assert world.returns == ()


def test_a_spare_follows_without_working_and_goes_on_with_the_stage() -> None:
    world = ElasticWorld(6, [2, 2], trace=Trace(), steps=30, keep_every=0, lost_stage=LostStage.SPARE)
    world.run(3.0)
    for number in range(2):
        world.arrive(f"spare{number}", spare=True)
    world.review()
    world.run(20.0)
    spares = {name for name in (node.name for node in world.nodes.values()) if name.startswith("spare")}
    assert {world.stage(world.named(name)) for name in spares} == {0, 1}, "one for each stage"
    newest = world.decided[max(world.decided)]
    assert spares <= newest.hashes.keys() and not any(newest.counted[name] for name in spares)
    before = max(world.decided)
    dies(world, 1, 0.0)
    world.run(60.0)
    assert max(world.decided) > before + 2 and world.returns == ()
    keeper = next(name for name in spares if world.stage(world.named(name)) == 1)
    assert world.decided[before + 2].counted[keeper]
    assert world.settle(1000) == ""


@pytest.mark.parametrize("layout", [[1, 1], [2], [3], [2, 2]], ids=str)
def test_votes_outlive_their_processes(layout: list[int]) -> None:
    """All crash: nobody has to declare a vote lost."""
    for seed in range(4):
        world = StepWorld(seed, layout, trace=Trace(), steps=10, keep_every=2)
        world.run(6.0)
        for node in list(world.nodes.values()):
            world.begin(Fault(6.0, "crash", (node.name,), 1.0 + world.kernel.rng.random()))
        assert world.settle(1000) == "", f"seed {seed}"


def test_a_vote_is_not_given_twice_by_two_processes() -> None:
    """What an acceptor has promised and accepted stands when its process is another one."""
    members = tuple(Voter(f"p{number}", 1, f"n{number}", 0) for number in range(3))
    decided, first, second = (Decision(slot, 1, members, step) for slot, step in ((4, 0), (5, 1), (5, 0)))
    owner = {ballot: decided.view.owner(5, ballot).peer_id for ballot in range(3)}
    acceptor = Agreement("p0", 1, decided)
    report: Any = None
    assert acceptor.propose(owner[1], Propose(5, 1, first)) is not None
    again = Agreement("p0", 1, decided)
    again.restore(acceptor.vote(0))
    assert not isinstance(again.lead(owner[0], Lead(5, 0, 1), report), Promise), "a lower ballot is refused"
    promise = again.lead(owner[2], Lead(5, 2, 1), report)
    assert isinstance(promise, Promise) and promise.accepted == first != second


def caught(patch: pytest.MonkeyPatch, seeds: int) -> bool:
    """Whether any of the seeds in which a stage dies breaks the contract."""
    for seed in range(seeds):
        try:
            world, faults = step_seeds.build(seed)
            world.durable, world.setup = True, dataclasses.replace(world.setup, keep_every=2)
            step_seeds.play(world, faults, step_seeds.FAULTS_S)
        except (Violation, AssertionError):
            return True
    return False


def test_forgetting_a_vote_with_its_process_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Agreement, "restore", lambda self, vote: None)
    monkeypatch.setattr(Agreement, "adopted", lambda self: None)
    assert caught(monkeypatch, 400)


def test_taking_what_is_kept_of_an_era_that_was_given_up_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = property(lambda self: tuple(sorted({commit for _, commit in self.kept})))
    monkeypatch.setattr(Context, "returnable", everything)
    monkeypatch.setattr(Archive, "tidy", lambda self: None)
    world = StepWorld(3, [2, 2], trace=Trace(), steps=30, keep_every=3, validate_every=0)
    with pytest.raises((Violation, KeyError)):
        for stage, after in ((1, 8), (0, 8), (1, 8), (0, 8)):
            dies_after(world, stage, after)
        assert world.settle(1000) == ""


def test_eras() -> None:
    returns = ((10, 6), (9, 3), (20, 12))
    assert [origin(returns, commit) for commit in (2, 3, 4, 9, 12, 13)] == [0, 0, 2, 2, 2, 3]
    assert stamp(returns, 0) > stamp(returns[:2], 1 << 30)
    assert not wrong_returns(returns, 15, returns, 16) and not wrong_returns(returns, 15, (*returns, (15, 12)), 12)
    for proposed, step in ((returns, 14), (returns, 17), (returns[:2], 15), ((*returns, (15, 12)), 11)):
        assert wrong_returns(returns, 15, proposed, step)
    assert wrong_returns((), 3, ((3, 4),), 4)
    assert plausible_returns(returns) and not plausible_returns(((1, 2),)) and not plausible_returns(((1, -1),))
