"""What a sentence of a fault schedule means, and whom it hits."""

from __future__ import annotations

import pytest

from actors.faults.schedule import PHASE_WORDS, Fault, Part, Phase, What, parse, parse_all

PLACES = [("ann", 0, 0), ("bob", 0, 1), ("cleo", 1, 0), ("dan", 1, 1)]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("kill ann at step 5", Fault(What.KILL, ("ann",), step=5)),
        ("  kill   ann at  step 5 ", Fault(What.KILL, ("ann",), step=5)),
        ("kill ann participant at step 0", Fault(What.KILL, ("ann",), step=0)),
        ("kill ann 2.5s at step 5", Fault(What.KILL, ("ann",), seconds=2.5, step=5)),
        ("kill ann+bob shard at step 5", Fault(What.KILL, ("ann", "bob"), Part.SHARD, step=5)),
        ("freeze ann mesh 3s at second 1.5", Fault(What.FREEZE, ("ann",), Part.MESH, 3.0, second=1.5)),
        ("freeze ann 3s at second 0", Fault(What.FREEZE, ("ann",), seconds=3.0, second=0.0)),
        ("slow ann x4 3s at step 2 begin", Fault(What.SLOW, ("ann",), seconds=3.0, factor=4.0, step=2)),
        ("slow ann x1.5 3s at step 2", Fault(What.SLOW, ("ann",), seconds=3.0, factor=1.5, step=2)),
        (
            "one-way ann 3s at step 2 prepared",
            Fault(What.ONE_WAY, ("ann",), seconds=3.0, step=2, phase=Phase.PREPARED),
        ),
        ("freeze driver 3s at second 4", Fault(What.FREEZE, ("driver",), seconds=3.0, second=4.0)),
        ("kill driver at step 4", Fault(What.KILL, ("driver",), step=4)),
        ("kill leader 3s at step 4 decided", Fault(What.KILL, ("leader",), seconds=3.0, step=4, phase=Phase.DECIDED)),
    ],
)
def test_a_sentence_says_what_happens_to_whom_and_when(text: str, fault: Fault) -> None:
    assert parse(text) == fault
    assert parse(str(fault)) == fault


def test_what_is_not_said_is_a_whole_participant_at_the_beginning_of_a_step_for_no_time() -> None:
    fault = parse("kill ann at step 5")
    assert (fault.part, fault.phase, fault.seconds, fault.factor) == (Part.PARTICIPANT, Phase.BEGIN, 0.0, 1.0)
    assert PHASE_WORDS == ["forward", "backward", "averaging", "prepared", "decided"], "the beginning needs no word"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kill ann at step", "write `kill|freeze"),
        ("kill ann at step 5 second 3", "write `kill|freeze"),
        ("kill at step 5", "write `kill|freeze"),
        ("kill ann at second 3 forward", "write `kill|freeze"),
        ("kill ann at step 1.5", "write `kill|freeze"),
        ("kill ann at step -1", "write `kill|freeze"),
        ("slow ann x4 at step 2", "say for how long"),
        ("partition ann at step 2", "say for how long"),
        ("one-way ann at step 2", "say for how long"),
        ("freeze ann 0s at step 2", "say for how long"),
        ("slow ann x1 3s at step 2", "needs a factor above 1"),
        ("slow ann x0.5 3s at step 2", "needs a factor above 1"),
        ("freeze ann x2 3s at step 2", "needs a factor above 1"),
        ("one-way ann shard 3s at step 2", "concerns a participant"),
        ("slow ann shard x2 3s at step 2", "concerns a participant"),
        ("slow ann mesh x2 3s at step 2", "concerns a participant"),
        ("kill driver 3s at step 2", "leave out the seconds"),
        ("kill ann+driver at step 2", "hit alone"),
        ("partition driver 3s at step 2", "can be killed or frozen"),
        ("one-way driver 3s at step 2", "can be killed or frozen"),
        ("slow driver x2 3s at step 2", "can be killed or frozen"),
        ("kill driver mesh at step 2", "can be killed or frozen"),
        ("freeze driver shard 3s at step 2", "can be killed or frozen"),
        ("kill driver at step 2 averaging", "sees no phases"),
        ("kill +ann at step 2", "a name is missing"),
    ],
)
def test_what_makes_no_sense_is_told(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert says in str(caught.value) and repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("who", "hit"),
    [
        ("ann", ["ann"]),
        ("stage-1", ["cleo", "dan"]),
        ("stage-1/1", ["dan"]),
        ("stage-0/0+cleo", ["ann", "cleo"]),
        ("leader", ["leader"]),
        ("driver", ["driver"]),
        ("leader+ann", ["leader", "ann"]),
        ("zoe", []),
    ],
)
def test_whom_a_fault_has_to_hit(who: str, hit: list[str]) -> None:
    """Roles stand for themselves, as it is not known before who has them."""
    assert Fault(What.KILL, tuple(who.split("+")), step=1).hit(PLACES) == hit


@pytest.mark.parametrize(
    "text",
    [
        "kill ann at step 19",
        "kill ann at step 0",
        "kill ann at second 9000",
        "partition stage-0 3s at step 1",
        "partition stage-0+cleo 3s at step 1",
        "partition leader 3s at step 1",
        "kill stage-0+stage-1 at step 1",
        "kill driver at step 1",
    ],
)
def test_what_can_happen_in_this_run_is_taken(text: str) -> None:
    assert parse_all([text], PLACES, 20) == (parse(text),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kill ann at step 20", "the run has the steps 0 to 19"),
        ("kill stage-0/2 at step 1", "there is no stage-0/2; there are ann, bob, cleo, dan, driver, leader, stage-0"),
        ("kill ann+zoe at step 1", "there is no zoe"),
        ("one-way stage-0+cleo+dan 3s at step 1", "on the other side"),
    ],
)
def test_what_can_never_happen_in_this_run_is_told(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_all(["kill ann at step 1", text], PLACES, 20)
    assert says in str(caught.value) and repr(text) in str(caught.value)


def test_several_faults_keep_their_order() -> None:
    texts = ["kill ann at step 3", "kill bob at step 1"]
    assert [str(fault) for fault in parse_all(texts, PLACES, 20)] == texts
