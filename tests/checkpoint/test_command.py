"""`orchestrator checkpoints URL`: a table, a sentence for each that cannot be used, and an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from checkpoint.names import CheckpointId
from checkpoint.store import Store
from orchestrator.cli import main
from tests.checkpoint.world import save, write

OLD, NEW, OPEN = CheckpointId(0, 10), CheckpointId(0, 20), CheckpointId(1, 30)


def test_good_damaged_and_unfinished_ones_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store.open(str(tmp_path))
    assert main(["checkpoints", str(tmp_path)]) == 1
    assert "There is no checkpoint" in capsys.readouterr().out
    save(store, OLD, created=86400)
    manifest = save(store, NEW)
    write(store, OPEN, 0, 0, "w")
    assert main(["checkpoints", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "1970-01-02 00:00" in out
    assert f"{OPEN.folder} has no manifest" in out
    assert f"The newest good one is {NEW.folder}: its files are all there" in out

    part = manifest.stages[1].parts[0]
    name = f"{NEW.stage(1)}/p0000-{part.writer}-00000.distcp"
    data = bytearray((tmp_path / name).read_bytes())
    data[-1] ^= 1
    (tmp_path / name).write_bytes(data)
    assert main(["checkpoints", str(tmp_path)]) == 0
    assert NEW.folder in capsys.readouterr().out.splitlines()[-1]
    assert main(["checkpoints", str(tmp_path), "--verify"]) == 0
    out = capsys.readouterr().out
    assert f"{name} is damaged at bytes" in out
    assert f"The newest good one is {OLD.folder}: every byte was read." in out

    (tmp_path / OLD.manifest).write_text("{}")
    assert main(["checkpoints", str(tmp_path), "--verify", "--json"]) == 1
    listed = json.loads(capsys.readouterr().out)
    assert [one["state"] for one in listed] == ["unfinished", "damaged", "damaged"]
    assert "malformed" in listed[2]["problems"][0]


def test_a_bad_url_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoints", "nonsense://x"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tessera: ")
    assert error.count("\n") == 1
