"""Schedules as people write them, and when a fault of one is due."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from actors.faults.log import FaultLog
from actors.faults.schedule import Phase, parse, parse_all
from actors.faults.trigger import Trigger, phases_of
from actors.records import Event
from actors.steps import ballots, effects
from actors.steps.jobs import Job, JobKind
from actors.steps.messages import Purpose
from orchestrator.cli import main
from orchestrator.config import ConfigError, load

PLACES = [("ann", 0, 0), ("bob", 0, 1), ("cleo", 1, 0), ("dan", 1, 1)]


@pytest.mark.parametrize(
    "text",
    [
        "kill stage-1/0 at step 5",
        "kill ann 20s at step 5 averaging",
        "freeze leader shard 20s at second 12.5",
        "slow stage-1 x4 30s at step 3",
        "partition stage-0/0+cleo 20s at second 30",
        "one-way ann 2.5s at step 4 forward",
        "kill driver at step 3",
    ],
)
def test_a_fault_reads_as_it_is_written(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kill", "write `kill|freeze"),
        ("explode ann at step 1", "write `kill|freeze"),
        ("kill ann at step 1 sleeping", "write `kill|freeze"),
        ("freeze ann at step 2", "say for how long"),
        ("slow ann 3s at step 1", "needs a factor"),
        ("kill ann x3 at step 1", "needs a factor"),
        ("partition ann mesh 3s at step 1", "leave out `mesh`"),
        ("kill ann shard 3s at step 1", "leave out the seconds"),
        ("kill driver+ann at step 1", "hit alone"),
        ("slow driver x2 3s at step 1", "killed or frozen"),
        ("freeze driver 3s at step 2 forward", "no phases"),
        ("kill ann+ at step 1", "a name is missing"),
        ("kill stage-7 at step 1", "there is no stage-7"),
        ("kill zoe at step 1", "there is no zoe"),
        ("kill ann at step 20", "the steps 0 to 19"),
        ("partition stage-0+stage-1 3s at step 1", "nobody is left"),
    ],
)
def test_what_can_never_happen_is_told_in_a_sentence(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("|", r"\|")) as caught:
        parse_all([text], PLACES, 20)
    assert "\n" not in str(caught.value)


def test_the_config_takes_a_schedule_and_only_simulations_have_one(capsys: pytest.CaptureFixture[str]) -> None:
    config = load(None, ["faults=[kill leader at step 5 averaging, freeze stage-1/0 20s at second 12]"])
    assert [str(parse(text)) for text in config.faults] == config.faults
    with pytest.raises(ConfigError, match="is no fault"):
        load(None, ["faults=[kill everybody]"])
    assert main(["train", "faults=[kill leader at step 5]"]) == 2
    assert "only `simulate`" in capsys.readouterr().err


def effect(kind: JobKind) -> effects.Effect:
    return effects.Compute(Job(kind, 3, 0, Purpose.TRAIN, ()))


def test_effects_show_the_phase() -> None:
    assert phases_of(effect(JobKind.FORWARD)) == (Phase.FORWARD,)
    assert phases_of(effect(JobKind.BACKWARD)) == (Phase.BACKWARD,)
    assert phases_of(effect(JobKind.LOSS)) == (Phase.FORWARD, Phase.BACKWARD)
    assert phases_of(effects.Compute(Job(JobKind.FORWARD, 3, 0, Purpose.VALIDATE, ()))) == ()
    assert phases_of(effects.ExportGradient(3, 1)) == (Phase.AVERAGING,)
    view_change = ballots.Decision(4, 2, (), 3)
    assert phases_of(effects.Send("x", ballots.Propose(4, 0, view_change))) == ()


def test_a_fault_is_due_once_at_its_victim_and_not_before_its_step() -> None:
    faults = [
        parse("kill bob at step 5 averaging"),
        parse("kill leader at step 2"),
        parse("freeze stage-0 2s at step 3"),
    ]
    bob = Trigger(faults, "bob", 0, 1)
    assert bob.due(4, Phase.AVERAGING, leads=True) == []
    assert [number for number, _ in bob.due(3, Phase.BEGIN, leads=False)] == [2]
    assert [number for number, _ in bob.due(4, Phase.BEGIN, leads=True)] == [1]
    assert [number for number, _ in bob.due(7, Phase.AVERAGING, leads=False)] == [0], (
        "a later step, if it missed its own"
    )
    assert bob.due(8, Phase.AVERAGING, leads=True) == []
    assert Trigger(faults, "dan", 1, 1).due(9, Phase.AVERAGING, leads=False) == []


def test_the_log_knows_what_happened_across_processes_and_what_did_not(tmp_path: Path) -> None:
    faults = parse_all(["kill stage-0 60s at step 1", "kill leader at step 2", "kill driver at step 3"], PLACES, 9)
    one, other = FaultLog(tmp_path / "f"), FaultLog(tmp_path / "f")
    assert one.claim(0, "ann", Event(time.time(), "fault", "ann", "kill"))
    assert not other.claim(0, "ann", Event(time.time(), "fault", "ann", "kill"))
    assert one.claim(1, "leader", Event(5.0, "fault", "dan", "kill"))
    assert [event.participant for event in other.news()] == ["ann", "dan"]
    assert other.news() == []
    missing = other.missing(faults, PLACES)
    assert "to bob" in missing and "kill driver at step 3" in missing and "leader" not in missing
    assert 50 < other.away_s(faults, "ann") <= 60
    assert other.away_s(faults, "bob") == other.away_s(faults, "dan") == 0
    assert one.began() == pytest.approx(other.began())
    one.clear()
    assert other.claim(0, "ann", Event(7.0, "fault", "ann", "kill"))
