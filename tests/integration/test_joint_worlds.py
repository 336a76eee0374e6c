"""Mesh and step protocol together under random faults; and faults planted in the seam between them, which must show."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from actors import peers as seam
from actors.mesh import Mesh
from actors.steps import events
from actors.steps.ballots import Accepted
from actors.steps.effects import Effect, KeepVote, Send
from actors.steps.participant import Participant
from orchestrator.simulation import joint_seeds
from orchestrator.simulation.faults import Fault
from orchestrator.simulation.runtime.faults import begin
from orchestrator.simulation.runtime.home import Home
from orchestrator.simulation.runtime.world import RuntimeWorld, base_spec
from orchestrator.simulation.seeds import many
from orchestrator.simulation.trace import Trace, Violation

SEEDS = int(os.environ.get("TESSERA_JOINT_SEEDS", "40"))


@pytest.mark.timeout(400)
def test_many_disturbed_runs_keep_the_contract() -> None:
    reached, broken = many(joint_seeds.one, range(SEEDS), os.cpu_count() or 2)
    assert not broken, broken[0]
    assert reached["ended: all committed"] + reached["ended: majority lost"] == SEEDS
    assert reached["ended: all committed"] >= 0.9 * SEEDS


def test_the_first_seeds_meet_every_kind_of_fault() -> None:
    """Looks at what is planned for the seeds above, without running them."""
    met = {fault.kind for seed in range(60) for fault in joint_seeds.plan(seed)}
    assert met == {*joint_seeds.KINDS, "wipe", "leave", "arrive"}


def world_with(kind: str, seconds: float = 0.0, value: float = 0.0) -> RuntimeWorld:
    """Two stages of three; something happens to one participant early, and the run goes on for two minutes."""
    world = RuntimeWorld(1, [3, 3], base_spec(2, 3, steps=20, validate_every=0), compute_s=2.0, trace=Trace())
    world.kernel.at(6.0, begin, world, Fault(6.0, kind, ("s0r1",), seconds, value))
    return world


def assert_caught(world: RuntimeWorld, message: str) -> None:
    """The world breaks the contract, with these words."""
    with world, pytest.raises(Violation, match=message):
        world.settle(900.0)


def forgetful() -> RuntimeWorld:
    """A participant loses its disk right after it has accepted, and its leader dies before it can decide."""
    world = RuntimeWorld(2, [3], base_spec(1, 3, steps=6, validate_every=0), trace=Trace())
    done: list[str] = []

    def watch(home: Home, effect: Effect) -> None:
        if not done and isinstance(effect, Send) and isinstance(effect.message, Accepted) and effect.message.slot == 4:
            done.append(home.name)
            world.kernel.after(0.0, begin, world, Fault(world.now, "crash", (world.homes[effect.to].name,), 30.0))
            world.kernel.after(0.0, begin, world, Fault(world.now, "wipe", (home.name,), 0.2))

    world.watch = watch
    return world


@pytest.fixture
def planted() -> Iterator[pytest.MonkeyPatch]:
    """A fault takes the place of what is right, for one test."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.parametrize("kind", ["crash", "dark", "pause"])
def test_the_scenarios_are_sound_without_a_planted_fault(kind: str) -> None:
    with world_with(kind, 40.0 if kind == "pause" else 0.0) as world:
        assert world.settle(900.0) == ""


def test_a_lost_vote_is_no_vote() -> None:
    with forgetful() as world:
        assert world.settle(900.0) == ""


@pytest.mark.parametrize("kind", ["crash", "dark"])
def test_a_death_that_is_not_told_to_the_step_protocol_is_found(planted: pytest.MonkeyPatch, kind: str) -> None:
    told = seam.Peers.__init__

    def deaf(self: seam.Peers, *given: object) -> None:
        told(self, *given)  # type: ignore[arg-type]
        tell: Callable[[events.Event], None] = self._tell
        self._tell = lambda event: None if isinstance(event, events.PeerLost) and event.gone else tell(event)

    planted.setattr(seam.Peers, "__init__", deaf)
    assert_caught(world_with(kind), "has a vote still")


def test_a_return_that_is_not_told_to_the_step_protocol_is_found(planted: pytest.MonkeyPatch) -> None:
    told = seam.Peers.__init__

    def deaf(self: seam.Peers, *given: object) -> None:
        told(self, *given)  # type: ignore[arg-type]
        tell: Callable[[events.Event], None] = self._tell
        lost: set[str] = set()

        def told_once(event: events.Event) -> None:
            if isinstance(event, events.PeerLost) and event.gone:
                lost.add(event.peer)
            if not (isinstance(event, events.PeerUp) and event.peer in lost):
                tell(event)

        self._tell = told_once

    planted.setattr(seam.Peers, "__init__", deaf)
    assert_caught(world_with("pause", 40.0), "has no vote")


def test_a_process_that_takes_the_life_of_the_one_before_is_found(planted: pytest.MonkeyPatch) -> None:
    """Its incarnation is ignored: with its disk it has lost the votes that it gave in that very life."""
    right = Mesh.__init__

    def same(self: Mesh, *given: object) -> None:
        right(self, *given)  # type: ignore[arg-type]
        self.life = 7

    planted.setattr(Mesh, "__init__", same)
    assert_caught(forgetful(), "forgets")


def test_a_vote_that_is_told_before_it_is_on_disk_is_found(planted: pytest.MonkeyPatch) -> None:
    right = Participant.handle

    def late(self: Participant, now: float, event: events.Event) -> list[Effect]:
        effects = right(self, now, event)
        return sorted(effects, key=lambda effect: isinstance(effect, KeepVote))

    planted.setattr(Participant, "handle", late)
    assert_caught(world_with("pause", 0.1), "that is not on disk")
