"""A promise or a vote is on disk before another member can hear of it: the order of effects, event by event."""

from __future__ import annotations

import pytest

from actors.steps import ballots, effects, events
from actors.steps.ballots import Accepted, Decided, Lead, Promise, Propose, Refused
from actors.steps.participant import Participant
from actors.steps.vote import Vote
from orchestrator.simulation.faults import Fault
from orchestrator.simulation.step_world import StepWorld
from tests.steps.builders import Desk, commit_of, decision_of, lead, report_of, sent, voters

ABC = voters(a=0, b=0, c=0)
DECISION = decision_of(ABC)
"""Slot 6: ballot 0 is a's, 1 is b's, 2 is c's."""
NEXT = decision_of(ABC, slot=6, view=3)


def kept(done: list[effects.Effect]) -> Vote:
    """The one vote that is written, before anything else is done."""
    assert isinstance(done[0], effects.KeepVote), done
    assert not any(isinstance(effect, effects.KeepVote) for effect in done[1:])
    return done[0].vote


def desk(me: str, **changes: object) -> Desk:
    return Desk(me, DECISION, stages=1, **changes)  # type: ignore[arg-type]


def test_a_promise_is_written_before_it_is_sent() -> None:
    done = desk("a").hear("c", Lead(6, 2, 2))
    vote = kept(done)
    assert (vote.slot, vote.promised, vote.accepted) == (6, 2, None)
    assert [(to, message.ballot) for to, message in sent(done, Promise)] == [("c", 2)]


def test_a_vote_is_written_before_it_is_sent() -> None:
    done = desk("b").hear("a", Propose(6, 0, NEXT))
    vote = kept(done)
    assert (vote.slot, vote.promised, vote.accepted_ballot, vote.accepted) == (6, 0, 0, NEXT)
    assert sent(done, Accepted) == [("a", Accepted(6, 0, 1))]


def test_a_vote_after_a_promise_of_the_same_ballot_is_written_too() -> None:
    one = desk("a")
    one.hear("c", Lead(6, 2, 2))
    vote = kept(one.hear("c", Propose(6, 2, NEXT)))
    assert (vote.promised, vote.accepted_ballot, vote.accepted) == (2, 2, NEXT)


@pytest.mark.parametrize(
    "order",
    [
        ballots.Beat(6, 2, 0, asks=False),
        ballots.Plan(6, 2, 1, 3, {}, {}, ("a",), {}, {}, ()),
        ballots.Average(6, 2, 1, 3, {0: ("a",)}, {"a": ()}),
    ],
    ids=["beat", "plan", "average"],
)
def test_a_higher_ballot_that_is_obeyed_is_written_with_the_event_that_told_of_it(order: object) -> None:
    one = desk("a")
    assert kept(one.hear("c", order)).promised == 2
    assert sent(one.hear("b", Lead(6, 1, 2)), Refused) == [("b", Refused(6, 2))]


def test_a_refusal_that_ends_a_candidacy_is_written() -> None:
    one = desk("a")
    one.hear("b", Refused(6, 2))
    assert isinstance(one.performed[-1][0], effects.KeepVote)
    assert kept(one.performed[-1]).promised == 2


def test_an_own_ballot_is_written_before_others_are_asked_for_it() -> None:
    one = desk("b")
    done = one.lose("a")
    assert kept(done).promised == 1
    assert [message for _, message in sent(done, Lead)] == [Lead(6, 1, 2)]


def test_a_proposer_has_its_own_vote_on_disk_before_others_see_the_proposal() -> None:
    one = desk("b")
    one.lose("a")
    done = one.hear("c", Promise(6, 1, -1, None, report_of()))
    ((_, proposal),) = sent(done, Propose)
    vote = kept(done)
    assert (vote.accepted_ballot, vote.accepted) == (1, proposal.decision)
    assert [m.peer_id for m in proposal.decision.members] == ["b", "c"]


def test_what_decides_a_slot_at_once_is_written_before_it_is_told() -> None:
    """The one vote of a view of one: it takes a joiner in, and tells it only when that cannot be forgotten."""
    alone = commit_of(voters(a=0), slot=5, assigned={"a": (0,), "x": (0,)})
    one = Desk("a", alone, stages=1)
    one.give(events.PeerUp("x"))
    join = ballots.Join(5, "X", 0, report_of(parameter_hash="p"))
    done = one.hear("x", join)
    ((to, decided),) = sent(done, Decided)
    assert to == "x" and decided.decision.slot == 6
    assert [m.peer_id for m in decided.decision.members] == ["a", "x"]
    assert kept(done).decision == decided.decision


def test_the_first_event_of_a_process_writes_down_that_there_is_one_more() -> None:
    """Its orders have higher numbers than those of the process before, whose ballots it may use."""
    vote = Vote(1, 4, 6, 0, -1, None, DECISION)
    one = Desk("b", None, vote=vote, stages=1)
    assert kept(one.performed[0]).starts == 5


def test_in_view_0_nothing_is_written_as_no_life_is_known_yet() -> None:
    one = Desk("b", decision_of(ABC, view=0), stages=1)
    done = one.hear("c", Lead(6, 2, 0))
    assert sent(done, Promise) and not any(isinstance(effect, effects.KeepVote) for effect in done)


def test_nothing_is_written_while_nothing_is_promised() -> None:
    one = desk("b")
    for done in (one.hear("a", ballots.Beat(6, 0, 0, asks=False)), one.give(events.PeerUp("a")), one.wait(1.0)):
        assert not any(isinstance(effect, effects.KeepVote) for effect in done)


@pytest.mark.parametrize("life", [2, 0])
def test_a_process_without_a_vote_writes_none(life: int) -> None:
    one = desk("a", life=life)
    done = [*one.hear("c", Lead(6, 2, 2)), *one.hear("c", Propose(6, 2, NEXT))]
    assert not sent(done, Promise) and not sent(done, Accepted)
    assert not any(isinstance(effect, effects.KeepVote) for event in one.performed for effect in event)


def restarted(before: Desk, me: str, up: str = "abc") -> Desk:
    """A new process with what is on the disk of the one before."""
    votes = [effect.vote for done in before.performed for effect in done if isinstance(effect, effects.KeepVote)]
    return Desk(me, None, vote=votes[-1], stages=1, up=up)


def test_after_a_restart_promises_and_votes_stand() -> None:
    before = desk("a")
    before.hear("b", Propose(6, 1, NEXT))
    before.hear("c", Lead(6, 2, 2))
    one = restarted(before, "a")
    assert sent(one.hear("b", Propose(6, 1, NEXT)), Refused) == [("b", Refused(6, one.agreement.promised))]
    ((_, promise),) = sent(one.hear("c", Lead(6, 5, 2)), Promise)
    assert (promise.accepted_ballot, promise.accepted) == (1, NEXT)


def test_a_leader_that_restarts_leads_with_a_ballot_above_all_that_it_had() -> None:
    """It had promised its own ballot 1; the next one that is b's of three is 4."""
    before = desk("b")
    before.lose("a")
    one = restarted(before, "b")
    assert one.agreement.promised == 4
    assert one.agreement.candidacy is not None and one.agreement.candidacy.ballot == 4


def test_a_leader_that_restarts_proposes_what_it_had_accepted_itself() -> None:
    before = desk("b")
    before.hear("a", Propose(6, 0, NEXT))
    before.lose("a")
    one = restarted(before, "b", up="bc")
    ((_, proposal), *_) = sent(lead(one, {"c": report_of()}), Propose)
    assert proposal.decision == NEXT


class Watched(Participant):
    """Looks at every event's effects in the order in which they are carried out."""

    disk: Vote | None = None
    told = 0

    def handle(self, now: float, event: events.Event) -> list[effects.Effect]:
        """What is said must follow from what is on disk by then."""
        done = super().handle(now, event)
        for effect in done:
            if isinstance(effect, effects.KeepVote):
                self.disk = effect.vote
            elif isinstance(effect, effects.Send):
                self._check(effect.message)
        return done

    def _check(self, message: object) -> None:
        disk = self.disk
        if not isinstance(message, Promise | Accepted | Lead | Propose | ballots.Plan) or message.slot <= 1:
            return  # view 0 knows no lives yet, so no vote of it outlives its process
        assert disk is not None, "something is said before anything is written"
        if disk.decision.slot >= message.slot:
            return  # that slot is decided, and this is known on disk
        self.told += 1
        written = disk.slot == message.slot or (message.ballot == 0 and not isinstance(message, Accepted))
        assert written and (disk.promised >= message.ballot or disk.slot < message.slot), message
        if isinstance(message, Accepted):
            assert disk.accepted_ballot >= message.ballot
        if isinstance(message, Promise) and message.accepted is not None:
            assert (disk.accepted_ballot, disk.accepted) == (message.accepted_ballot, message.accepted)


@pytest.mark.parametrize("layout", [[1], [2, 1], [3], [2, 2]], ids=str)
def test_whatever_happens_in_a_run_nothing_is_said_that_the_disk_does_not_hold(layout: list[int]) -> None:
    told = 0
    for seed in range(6):
        world = StepWorld(seed, layout, make=Watched, validate_every=0, keep_every=2)
        names = [node.name for node in world.nodes.values()]
        for at, kind, who in ((3.0, "crash", names[0]), (6.0, "cut", names[-1]), (9.0, "crash", names[-1])):
            world.kernel.at(at + seed / 3, world.begin, Fault(at + seed / 3, kind, (who,), 4.0))
        assert world.settle(600.0) == ""
        told += sum(node.core.told for node in world.nodes.values() if isinstance(node.core, Watched))
    assert told > 20 or layout == [1], "a participant alone says nothing to others"
