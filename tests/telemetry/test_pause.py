"""What `status` says when steps do not go on."""

from __future__ import annotations

import dataclasses

from rich.console import Console

from actors.records import VoteStatus
from orchestrator.telemetry.mesh_map import render_status, vote_lines
from orchestrator.telemetry.timeline import tone
from tests.telemetry.runs import participants, status


def test_a_pause_and_the_votes_that_are_missing_are_told_in_words() -> None:
    calm = status(participants(6, 2), 3, 9)
    assert vote_lines(calm) == []
    votes = tuple(VoteStatus(name, name, 1, why) for name, why in (("ada", ""), ("ben", "cannot be reached")))
    paused = dataclasses.replace(calm, paused="1 of 2 votes can be had", committed_view=3, votes=votes)
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render_status(paused))
    text = console.export_text()
    assert "PAUSED: 1 of 2 votes can be had" in text
    assert "view 3: 1 of 2 votes cannot be had: ben (cannot be reached)" in text
    console.file.close()


def test_pauses_look_bad_and_resuming_looks_good() -> None:
    assert tone("paused") == tone("dismissed") == tone("fault") == "bad"
    assert tone("resumed") == "good"
    assert tone("leader") == tone("rerouted") == "note"
