"""The report: its fields, its sums, and what must not upset it."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from actors.records import Event
from orchestrator.telemetry.files import Journal, dump, plain, read_journal, write_atomic
from orchestrator.telemetry.recorder import Recorder, record_from
from orchestrator.telemetry.report import Report
from tests.telemetry import runs

STEP_FIELDS = {
    "step", "loss", "grad_norm", "tokens", "seconds", "boundary_bytes", "boundary_bytes_by_boundary",
    "averaging_bytes", "control_bytes", "lr", "counted",
}  # fmt: skip
TOTALS = {
    "steps", "tokens", "seconds", "tokens_per_s", "boundary_bytes", "averaging_bytes", "control_bytes", "final_loss",
    "final_validation_loss", "outcome", "failure",
}  # fmt: skip


def test_written_report_has_every_field(tmp_path: Path) -> None:
    runs.report(8, 4, 30).write(tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["schema"] == "tessera.report/1"
    assert (report["run_id"], report["command"]) == ("quickstart-7f3a", "python -m orchestrator simulate")
    assert {"python", "torch", "ray", "deepspeed", "tessera"} <= set(report["versions"])
    assert len(report["participants"]) == 8
    assert {"name", "stage", "parameters", "share", "first_layer", "last_layer", "embedding", "head"} <= set(
        report["participants"][0]
    )
    assert [set(step) >= STEP_FIELDS for step in report["steps"]] == [True] * 30
    assert set(report["totals"]) >= TOTALS
    assert set(report["events"][0]) == {"time", "kind", "participant", "detail"}
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "report.html"}, "no temporary files stay"


def test_totals_are_sums_over_steps() -> None:
    report = runs.report(8, 4, 30).to_dict()
    totals, steps = report["totals"], report["steps"]
    assert totals["steps"] == 30
    assert totals["tokens"] == 30 * 16 * 512
    for name in ("boundary_bytes", "averaging_bytes", "control_bytes"):
        assert totals[name] == sum(step[name] for step in steps)
    assert sum(totals["boundary_bytes_by_boundary"].values()) == totals["boundary_bytes"]
    assert totals["seconds"] == pytest.approx(sum(step["seconds"] for step in steps))
    assert totals["tokens_per_s"] == pytest.approx(totals["tokens"] / totals["seconds"])
    assert totals["final_loss"] == steps[-1]["loss"]
    assert (totals["final_validation_loss"], totals["outcome"]) == (1.47, "finished")


def test_wall_time_counts_pauses() -> None:
    clock = runs.Clock()
    report = Report("r", clock=clock)
    for record in runs.commits(3, []):
        clock.now += 10.0
        report.add_commit(dataclasses.replace(record, seconds=2.0))
    assert report.to_dict()["totals"]["seconds"] == pytest.approx(22.0)


def test_closing_record_is_validation_only() -> None:
    report = Report("r")
    report.add_commit(runs.closing(5, 1.5))
    document = report.to_dict()
    assert document["steps"] == []
    assert document["validation"] == [{"step": 5, "loss": 1.5}]
    assert document["totals"]["final_validation_loss"] == 1.5


def test_repeats_and_disorder_change_nothing() -> None:
    members = runs.participants(4, 2)
    records = [*runs.commits(12, members), runs.closing(12)]
    clock = runs.Clock()
    ordered, shuffled = Report("r", clock=clock), Report("r", clock=clock)
    assert all(ordered.add_commit(record) for record in records)
    for record in [*reversed(records), *records]:
        shuffled.add_commit(record)
    assert not shuffled.add_commit(record_from(json.loads(json.dumps(records[0].to_dict()))))
    assert shuffled.to_dict() == ordered.to_dict()


def test_another_record_of_the_same_commit_replaces_it() -> None:
    report = Report("r")
    record = next(runs.commits(1, []))
    assert report.add_commit(record)
    assert report.add_commit(dataclasses.replace(record, loss=9.0))
    assert report.to_dict()["totals"]["final_loss"] == 9.0
    assert report.to_dict()["totals"]["steps"] == 1


def test_a_return_to_an_earlier_commit_replaces_what_was_committed_beyond_it() -> None:
    report = Report("r")
    records = list(runs.commits(10, []))
    first = records[:8]
    again = [dataclasses.replace(record, loss=1.5, era=1) for record in records[5:]]
    for one in (*first, *again[:2]):
        report.add_commit(one)
    document = report.to_dict()
    assert [step["step"] for step in document["steps"]] == list(range(7)), "what was given up is not told any more"
    assert document["totals"]["steps_lost"] == 3
    for one in (first[6], first[7], *again, *first):  # told again by others, in any order
        report.add_commit(one)
    steps = report.to_dict()["steps"]
    assert [step["step"] for step in steps] == list(range(10))
    assert [step["era"] for step in steps] == [0] * 5 + [1] * 5
    assert report.to_dict()["totals"]["steps_lost"] == 3


def test_events_are_known_once() -> None:
    report = Report("r")
    assert report.add_event(Event(1.0, "lost", "ada", "x"))
    assert not report.add_event(Event(1.0, "lost", "ada", "x"))
    assert len(report.to_dict()["events"]) == 1


def test_largest_share_is_remembered() -> None:
    report = Report("r")
    (one,) = runs.participants(1, 1)
    report.set_participants([dataclasses.replace(one, share=0.6)])
    report.set_participants([dataclasses.replace(one, share=0.2, stage=1)])
    document = report.to_dict()
    assert document["max_model_share"] == 0.6
    assert document["participants"][0]["share"] == 0.2
    assert [segment["stage"] for segment in document["participants"][0]["segments"]] == [0, 1]


def test_reference_run_has_no_participants() -> None:
    document = runs.report(0, 1, 3).to_dict()
    assert document["participants"] == []
    assert document["max_model_share"] is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_not_a_number_becomes_null(tmp_path: Path, bad: float) -> None:
    report = Report("r", config={"lr": bad})
    record = dataclasses.replace(next(runs.commits(1, [])), loss=bad, grad_norm=bad, validation_loss=bad)
    assert report.add_commit(record)
    assert not report.add_commit(record_from(record.to_dict())), "a repeat is one even where NaN differs from itself"
    report.finish("failed", "diverged")
    report.write(tmp_path)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    document = json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)
    assert document["steps"][0]["loss"] is None
    assert document["totals"]["final_loss"] is None
    assert document["config"] == {"lr": None}


def test_a_diverged_run_does_not_report_its_last_good_loss() -> None:
    report = Report("r")
    first, second = runs.commits(2, [])
    report.add_commit(first)
    report.add_commit(dataclasses.replace(second, loss=math.nan))
    assert report.to_dict()["totals"]["final_loss"] is None


def test_unknown_outcome_is_refused() -> None:
    with pytest.raises(ValueError, match="done"):
        Report("r").finish("done")


def test_dump_is_json_with_a_line_an_item() -> None:
    document = {"a": [{"x": 1}, {"x": 2}], "b": {"y": "é\n"}, "c": []}
    assert json.loads(dump(document)) == document
    assert '\n  {"x": 1},\n' in dump(document)


def test_plain_knows_what_json_does_not() -> None:
    assert plain({1: (1, {2}), "p": Path("x"), "n": math.nan}) == {"1": [1, [2]], "p": "x", "n": None}


def test_atomic_write_keeps_the_old_file_on_failure(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_journal_is_flushed_and_survives_a_torn_line(tmp_path: Path) -> None:
    records = list(runs.commits(3, runs.participants(2, 2)))
    path = tmp_path / Journal.NAME
    journal = Journal(tmp_path)
    for record in records[:2]:
        journal.append(record.to_dict())
    assert len(read_journal(path)) == 2, "readable while the run goes on"
    journal.close()
    with path.open("a") as file:
        file.write('{"step": 2, "com')  # the writer died here
    report = Report("r")
    resumed = Recorder(report, tmp_path, resume=True)
    assert report.records() == records[:2]
    resumed.commit(records[2])
    resumed.close("finished")
    assert [line["step"] for line in read_journal(path)] == [0, 1, 2]


def test_a_new_run_in_the_same_folder_keeps_the_old_journal(tmp_path: Path) -> None:
    for _ in range(3):
        journal = Journal(tmp_path)
        journal.append({"step": 0})
        journal.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.1.jsonl", "metrics.2.jsonl", "metrics.jsonl"]


def test_report_is_written_now_and_then(tmp_path: Path) -> None:
    clock = runs.Clock(0.0)
    report = Report("r")
    recorder = Recorder(report, tmp_path, clock=clock)
    first, second = runs.commits(2, [])
    recorder.commit(first)
    assert not (tmp_path / "report.json").exists()
    clock.now = 11.0
    report.add_commit(second)
    recorder.commit(second)
    assert json.loads((tmp_path / "report.json").read_text())["totals"]["outcome"] is None
    recorder.close("finished")


def test_events_outlive_a_killed_writer_and_come_from_others_too(tmp_path: Path) -> None:
    first = Recorder(Report("r", "simulate", {}), tmp_path)
    first.event(Event(1.5, "lost", "amber-otter", "its mesh process died"))
    report = Report("r", "simulate", {})
    second = Recorder(report, tmp_path, resume=True)  # the first was killed: it closed nothing
    others = Journal(tmp_path, resume=True, name=Journal.EVENTS)
    others.append(dataclasses.asdict(Event(2.5, "shards", "sage-deer", "its shard was killed")))
    others.append({"of": "another version"})
    others.close()
    second.event(Event(3.5, "finished", "sage-deer", ""))
    second.close("finished")
    told = json.loads((tmp_path / "report.json").read_text())["events"]
    for journal in (first._events, first._journal):
        journal.close()
    assert [event["kind"] for event in sorted(told, key=lambda event: event["time"])] == ["lost", "shards", "finished"]
