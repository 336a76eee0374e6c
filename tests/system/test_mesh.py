"""A mesh of real processes on loopback: killed, frozen, cut in two, restarted; no Ray, no shards, real links."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.mesh_lab import Member, MeshLab, freeze, thaw

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]
PATIENCE_S = 60.0
NAMES = [f"n{number}" for number in range(8)]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[MeshLab]:
    with MeshLab(tmp_path, "lan") as made:
        yield made


def notes(member: Member, kind: str, since: float) -> list[str]:
    """What a member told a person since then."""
    return [said["detail"] for said in list(member.said) if said["event"] == "note" and said["kind"] == kind
            and said["t"] >= since]  # fmt: skip


def test_killed_and_frozen_members_are_known_dead_by_all_and_come_back(lab: MeshLab) -> None:
    lab.form(NAMES)
    since = time.monotonic()
    lab.members["n3"].process.kill()
    lab.dead_for_all(["n3"], since, PATIENCE_S)
    assert all("refuses" in text for member in lab.alive for text in notes(member, "dead", since) if "n3" in text)
    since = freeze(lab.members["n5"])
    lab.dead_for_all(["n5"], since, PATIENCE_S)
    before = {
        member.name: lab.statuses([member])[0]["incarnations"]["n5"] for member in lab.alive if member.name != "n5"
    }
    thaw(lab.members["n5"])
    (again,) = lab.start(["n3"])
    again.order("join", addresses=[lab.members["n6"].address])
    lab.agree(lab.alive, PATIENCE_S)
    assert len(lab.alive) == 8
    after = lab.statuses([lab.members["n0"]])[0]["incarnations"]["n5"]
    assert after > before["n0"], "whoever was held dead comes back above that incarnation only"
    falsely = {who for _, who in lab.deaths(0.0)} - {"n3", "n5"}
    assert not falsely


def test_a_mesh_cut_in_two_merges_without_its_founder(lab: MeshLab) -> None:
    """n0, through which all joined, is killed while the halves are apart; nobody restarts."""
    lab.form(NAMES)
    one, other = [lab.members[name] for name in NAMES[:4]], [lab.members[name] for name in NAMES[4:]]
    since = lab.cut(one, other)
    for here, there in ((one, other), (other, one)):
        for member in here:
            for gone in there:
                lab.wait(lambda m=member, g=gone: m.when(g.name, "dead", since) is not None, PATIENCE_S, "the cut")  # type: ignore[misc]
    lab.wait(lambda: all(notes(member, "partition", since) for member in one + other), PATIENCE_S, "partition notes")
    assert all(status["beyond"] == 4 for status in lab.statuses(one + other))
    founder, one = one[0], one[1:]
    founder.process.kill()
    lab.agree(one, PATIENCE_S)
    lab.agree(other, PATIENCE_S)
    healed = lab.heal()
    merged = lab.agree(one + other, PATIENCE_S) - healed
    assert len({status["view"] for status in lab.statuses(one + other)}) == 1
    assert all(notes(member, "joined", healed) for member in one + other), f"merged after {merged:.1f} s"
