"""Votes: promises are kept, accepted decisions are adopted, and only the process that the view names has a vote."""

from __future__ import annotations

from actors.steps.agreement import Agreement
from actors.steps.ballots import Accepted, Decision, Lead, Promise, Propose, Refused, Report
from actors.steps.view import CommittedView, Voter

MEMBERS = tuple(Voter(f"p{number}", 1, f"n{number}", 0) for number in range(3))
REPORT = Report(1, 0, {}, (), 0.0, True, "same")


def member(number: int) -> Agreement:
    return Agreement(f"p{number}", 1, Decision(4, 1, MEMBERS, 0))


def owner(ballot: int) -> str:
    return CommittedView(1, MEMBERS).owner(5, ballot).peer_id


def value(step: int) -> Decision:
    return Decision(5, 1, MEMBERS, step)


def test_a_promise_is_kept() -> None:
    one = member(0)
    assert isinstance(one.lead(owner(2), Lead(5, 2, 1), REPORT), Promise)
    assert one.propose(owner(0), Propose(5, 0, value(1))) == Refused(5, 2)
    assert isinstance(one.propose(owner(2), Propose(5, 2, value(1))), Accepted)


def test_a_ballot_belongs_to_its_owner() -> None:
    one = member(0)
    stranger = next(m.peer_id for m in MEMBERS if m.peer_id != owner(1))
    assert one.lead(stranger, Lead(5, 1, 1), REPORT) is None
    assert one.propose(stranger, Propose(5, 1, value(1))) is None
    assert not one.obeys(stranger, 1)


def test_a_new_leader_proposes_what_was_accepted_by_the_highest_ballot() -> None:
    ballot = next(b for b in range(2, 5) if owner(b) == "p0")
    leader = member(0)
    leader.run(ballot)
    old, new = Promise(5, ballot, 0, value(7), REPORT), Promise(5, ballot, 1, value(8), REPORT)
    leader.promise("p1", old)
    leader.promise("p2", new)
    assert leader.put(value(9)).decision == value(8)


def test_a_vote_of_another_process_of_the_same_participant_does_not_count() -> None:
    number = int(owner(0)[1:])
    leader = member(number)
    leader.run(0)
    leader.put(value(1))
    others = [m.peer_id for m in MEMBERS if m.peer_id != f"p{number}"]
    assert leader.accepted(f"p{number}", Accepted(5, 0, 1)) is None
    assert leader.accepted(others[0], Accepted(5, 0, 2)) is None
    assert leader.accepted(others[0], Accepted(5, 0, 1)) == value(1)


def test_a_ballot_proposes_once() -> None:
    number = int(owner(0)[1:])
    leader = member(number)
    leader.run(0)
    assert leader.put(value(1)) == leader.put(value(2))


def test_two_majorities_of_different_rules_do_not_share_voters() -> None:
    """Whoever knows of a dismissal counts another majority: its ballots get no answer from those who do not."""
    one = member(0)
    assert one.lead(owner(2), Lead(5, 2, 1, ("p9",)), REPORT) is None
    assert one.propose(owner(2), Propose(5, 2, value(1), ("p9",))) is None
    one.dismiss(frozenset(["p2"]))
    assert one.lead(owner(2), Lead(5, 2, 1), REPORT) is None
    assert isinstance(one.lead(owner(2), Lead(5, 2, 1, ("p2",)), REPORT), Promise)


def test_what_was_promised_before_a_dismissal_does_not_count_after_it() -> None:
    ballot = next(b for b in range(2, 5) if owner(b) == "p0")
    leader = member(0)
    leader.run(ballot)
    leader.promise("p1", Promise(5, ballot, -1, None, REPORT))
    leader.dismiss(frozenset(["p1"]))
    assert not leader.won and leader.candidacy is None


def test_a_refusal_that_nobody_asked_for_changes_nothing() -> None:
    one = member(0)
    one.refused(Refused(5, 7))
    assert one.promised == 0
    ballot = next(b for b in range(2, 5) if owner(b) == "p0")
    one.run(ballot)
    one.refused(Refused(5, 2**63 - 1))
    assert one.promised == ballot


def test_view_0_needs_everybody() -> None:
    first = CommittedView.first(Voter(m.peer_id, 0, m.name, m.stage) for m in MEMBERS)
    assert first.quorum == 3
    assert CommittedView(1, MEMBERS).quorum == 2
