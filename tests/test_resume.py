"""Which checkpoint a run begins with."""

from __future__ import annotations

from pathlib import Path

import pytest

from checkpoint.errors import STORE_FAILS
from checkpoint.names import CheckpointId
from checkpoint.store import Store
from orchestrator.config import ConfigError, RunConfig, config_hash, load
from orchestrator.resume import unusable, with_checkpoint
from tests.checkpoint.world import save


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A store with commits 10 and 20 of the first history and 15 of the second one."""
    store = Store.open(str(tmp_path))
    for history, commit in ((0, 10), (0, 20), (1, 15)):
        save(store, CheckpointId(history, commit))
    return tmp_path


def config(*settings: str) -> RunConfig:
    """Any run's."""
    return load(None, ["model.vocab_size=256", "train.steps=40", *settings])


def test_the_newest_history_counts_before_the_newest_commit(kept: Path) -> None:
    said: list[str] = []
    chosen = with_checkpoint(config(f"checkpoint.resume={kept}", f"checkpoint.url={kept}"), said.append).checkpoint
    assert (chosen.resume_history, chosen.resume_commit, chosen.history) == (1, 15, 2)
    assert said == ["going on from commit 15 (h0001-c0000000015)"]


def test_damaged_ones_are_passed_over_and_named(kept: Path) -> None:
    (kept / "h0001-c0000000015" / "manifest.json").write_text("{}")
    said: list[str] = []
    chosen = with_checkpoint(config(f"checkpoint.resume={kept}"), said.append).checkpoint
    assert (chosen.resume_history, chosen.resume_commit) == (0, 20)
    assert "h0001-c0000000015 is passed over: " in said[0] and "manifest.json" in said[0]
    skip = frozenset({CheckpointId(0, 20)})
    chosen = with_checkpoint(config(f"checkpoint.resume={kept}"), said.append, skip).checkpoint
    assert (chosen.resume_history, chosen.resume_commit) == (0, 10)


def test_what_cannot_be_taken_up_is_one_sentence(kept: Path, tmp_path: Path) -> None:
    def say(text: str) -> None:
        pass

    with pytest.raises(ConfigError, match="there is no checkpoint"):
        with_checkpoint(config(f"checkpoint.resume={tmp_path / 'elsewhere'}"), say)
    with pytest.raises(ConfigError, match=r"commit 15 is not before train\.steps=12"):
        with_checkpoint(config(f"checkpoint.resume={kept}", "train.steps=12"), say)
    for url in ("nonsense://x", "file:///proc/nothing/here"):
        with pytest.raises(ConfigError, match=r"checkpoint\.resume"):
            with_checkpoint(config(f"checkpoint.resume={url}"), say)


def test_only_the_failure_of_this_checkpoint_makes_the_run_try_the_one_before(kept: Path) -> None:
    chosen = with_checkpoint(config(f"checkpoint.resume={kept}"), lambda text: None)
    failure = "nobody of stage 1 can use the checkpoint of commit 15: stage-0001/p0000-x-00000.distcp is damaged"
    assert unusable(chosen, failure) == CheckpointId(1, 15)
    assert unusable(chosen, failure.replace("15", "10")) is None
    assert unusable(chosen, "lost all participants of this site") is None
    assert unusable(chosen, f"nobody can use the checkpoint of commit 15: {STORE_FAILS}: no answer") is None
    assert unusable(config(), failure) is None


def test_all_must_begin_with_the_same_checkpoint(kept: Path) -> None:
    first = with_checkpoint(config(f"checkpoint.resume={kept}"), lambda text: None)
    other = with_checkpoint(config(f"checkpoint.resume={kept}"), lambda text: None, frozenset({CheckpointId(1, 15)}))
    assert config_hash(first) != config_hash(other)
    assert config_hash(config("checkpoint.url=/one")) == config_hash(config("checkpoint.url=/another"))
