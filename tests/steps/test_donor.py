"""Giving a stage's state: to whom, what, and for how long it is kept."""

from __future__ import annotations

import pytest

from actors.steps.ballots import Decided
from actors.steps.effects import ExportState, Note, Send
from actors.steps.messages import Chunk, Denied, Get, Gone, Offer, Part, Want
from tests.steps.giving import STATE, average_offer, commit, donor, following, offers, state_offer, update
from tests.steps.parts import STEP, clear, context, mail, notes, wanted


def test_the_state_is_exported_once_for_all_who_ask_meanwhile() -> None:
    one, made = donor()
    made.want("s0b", Want(-1, 0))
    made.want("s0c", Want(-1, 0))
    assert wanted(one, ExportState) == [ExportState(STEP)] and mail(one, Offer) == []
    made.exported(STEP, STATE, "hash")
    told = [("s0b", state_offer()), ("s0b", Decided(one.decision)), ("s0c", state_offer())]
    assert mail(one, Offer, Decided) == [*told, ("s0c", Decided(one.decision))]
    clear(one)
    made.want("s0d", Want(-1, 0))
    assert offers(one) == [("s0d", Part.STATE, STEP)] and wanted(one, ExportState) == []


def test_an_offer_names_the_era_that_made_the_commit() -> None:
    """The run returned from 17 to 2, so commit 3 is of era 1."""
    for returns, era in (((), 0), (((17, 2),), 1), (((17, 3),), 0)):
        one, made = donor(decided={"returns": returns})
        made.want("s0b", Want(-1, 0))
        made.exported(STEP, STATE, "hash")
        assert [offer for _, offer in mail(one, Offer)] == [state_offer(era=era)]


def test_later_commits_follow_as_averages() -> None:
    one, made = donor()
    following(one, made, "s0b", "s0c")
    commit(one, made, 4)
    told = [("s0b", Decided(one.decision)), ("s0b", average_offer(4))]
    assert mail(one, Offer, Decided) == [*told, ("s0c", Decided(one.decision)), ("s0c", average_offer(4))]
    clear(one)
    commit(one, made, 5)
    assert offers(one) == [("s0b", Part.AVERAGE, 5), ("s0c", Part.AVERAGE, 5)]


def test_who_asks_later_gets_the_same_state_and_the_averages_that_followed() -> None:
    one, made = donor()
    following(one, made, "s0b")
    commit(one, made, 4)
    commit(one, made, 5)
    clear(one)
    made.want("s0c", Want(-1, 0))
    assert offers(one) == [("s0c", Part.STATE, 3), ("s0c", Part.AVERAGE, 4), ("s0c", Part.AVERAGE, 5)]


def test_who_holds_an_earlier_commit_gets_what_comes_after_it_only() -> None:
    one, made = donor()
    following(one, made, "s0b")
    commit(one, made, 4)
    commit(one, made, 5)
    clear(one)
    made.want("s0c", Want(4, -1))
    assert offers(one) == [("s0c", Part.AVERAGE, 5)]
    clear(one)
    made.want("s0d", Want(5, -1))
    assert offers(one) == [] and mail(one, Decided) == [("s0d", Decided(one.decision))]
    commit(one, made, 6)
    assert [to for to, _, number in offers(one) if number == 6] == ["s0b", "s0c", "s0d"]


def test_the_last_average_is_there_for_who_missed_one_commit_only() -> None:
    one, made = donor()
    made.applied(update(STEP))
    made.want("s0b", Want(STEP - 1, -1))
    assert offers(one) == [("s0b", Part.AVERAGE, STEP)] and wanted(one, ExportState) == []
    made.want("s0c", Want(STEP - 2, -1))
    assert wanted(one, ExportState) == [ExportState(STEP)]


@pytest.mark.parametrize("step", [0, 1])
def test_who_holds_nothing_of_use_gets_a_state(step: int) -> None:
    """-1 is no commit that averages lead on from."""
    one, made = donor(decided={"step": step})
    made.applied(update(step))
    made.want("s0b", Want(-1, -1))
    assert wanted(one, ExportState) == [ExportState(step)]
    made.exported(step, STATE, "hash")
    assert offers(one) == [("s0b", Part.STATE, step)]


def test_a_note_says_who_is_given_the_state() -> None:
    one, made = donor()
    for peer in ("s0c", "s0b"):
        made.want(peer, Want(-1, 0))
    one.usable.discard("s0c")
    made.exported(STEP, STATE, "hash")
    assert [effect.detail for effect in wanted(one, Note)] == ["S0A gives commit 3 to S0B"]


def test_who_asks_for_a_newer_state_needs_none_of_the_averages_before_it() -> None:
    one, made = donor()
    following(one, made, "s0b")
    made.want("s0b", Want(-1, 4))
    commit(one, made, 4)
    assert offers(one) == [] and wanted(one, ExportState) == [ExportState(4)]


def test_a_state_that_is_too_old_is_offered_when_a_newer_one_is_held() -> None:
    one, made = donor()
    made.want("s0b", Want(-1, STEP + 1))
    assert wanted(one, ExportState) == []
    commit(one, made, 4)
    assert wanted(one, ExportState) == [ExportState(4)]
    made.exported(4, STATE, "hash")
    assert offers(one) == [("s0b", Part.STATE, 4)]


def test_a_snapshot_that_is_too_old_is_made_again() -> None:
    one, made = donor()
    following(one, made, "s0b")
    commit(one, made, 4)
    clear(one)
    made.want("s0c", Want(-1, 4))
    assert offers(one) == [] and wanted(one, ExportState) == [ExportState(4)]
    made.exported(4, STATE, "hash")
    assert offers(one) == [("s0c", Part.STATE, 4)]


def test_nothing_is_given_before_the_step_is_held_here() -> None:
    one, made = donor()
    one.held = STEP - 1
    made.want("s0b", Want(-1, 0))
    assert wanted(one, ExportState) == []
    one.held = STEP
    made.serve()
    assert wanted(one, ExportState) == [ExportState(STEP)]


def test_what_would_be_lost_on_the_way_is_offered_when_the_peer_is_back() -> None:
    one, made = donor()
    one.usable.discard("s0b")
    made.want("s0b", Want(-1, 0))
    made.want("s0c", Want(-1, 0))
    made.exported(STEP, STATE, "hash")
    assert offers(one) == [("s0c", Part.STATE, STEP)]
    one.usable.add("s0b")
    made.serve()
    assert offers(one)[1:] == [("s0b", Part.STATE, STEP)]


@pytest.mark.parametrize(
    ("peer", "assigned", "given"),
    [
        ("s0b", (0,), True),
        ("s1a", (1,), False),
        ("s0b", (0, 1), False),  # it was moved away
        ("s0b", (1, 0), False),  # both stages are more of the model than one key may hold
        ("s0b", (), False),
        ("stranger", (0,), True),  # with a stage and no vote yet
    ],
)
def test_a_stage_is_given_by_the_log_alone(peer: str, assigned: tuple[int, ...], given: bool) -> None:
    log = {**context("s0a", (4, 2)).decision.assigned, peer: assigned}
    one, made = donor(decided={"assigned": log}, max_share=0.6)
    one.usable.add(peer)
    made.want("s0c", Want(-1, 0))
    made.exported(STEP, STATE, "hash")
    clear(one)
    made.want(peer, Want(-1, 0))
    made.get(peer, Get(Part.STATE, STEP, 0))
    assert (len(mail(one, Offer)), len(mail(one, Chunk))) == (given, given)
    assert len(mail(one, Denied)) == notes(one).count("refused") == (0 if given else 2)


def test_chunks_are_those_of_the_offer() -> None:
    one, made = donor()
    following(one, made, "s0b")
    commit(one, made, 4)
    clear(one)
    for part, number, chunk in ((Part.STATE, 3, 0), (Part.STATE, 3, 2), (Part.AVERAGE, 4, 1)):
        made.get("s0b", Get(part, number, chunk))
    assert [(send.to, send.message, send.payload[0].tolist()) for send in wanted(one, Send)] == [
        ("s0b", Chunk(Part.STATE, 3, 0), [1, 2]),
        ("s0b", Chunk(Part.STATE, 3, 2), [5]),
        ("s0b", Chunk(Part.AVERAGE, 4, 1), [4]),
    ]


@pytest.mark.parametrize(
    "request_",
    [
        Get(Part.STATE, 4, 0),
        Get(Part.STATE, STEP, 3),
        Get(Part.STATE, STEP, -1),
        Get(Part.AVERAGE, STEP, 0),
        Get(Part.AVERAGE, 5, 0),
    ],
)
def test_what_cannot_be_had_is_said_to_be_gone(request_: Get) -> None:
    one, made = donor()
    following(one, made, "s0b")
    made.get("s0b", request_)
    assert mail(one, Gone, Chunk) == [("s0b", Gone(request_.part, request_.commit))]
