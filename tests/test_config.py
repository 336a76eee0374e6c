"""The run config: precedence, typos, combinations that cannot work, and every shipped file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from orchestrator.cli import main
from orchestrator.config import ConfigError, RunConfig, config_hash, load, shipped_configs
from orchestrator.driver import largest_share

ROOT = Path(__file__).resolve().parents[1]


def test_defaults_then_preset_then_yaml_then_command_line(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("model:\n  preset: tiny-1.5m\n  layers: 6\ntrain:\n  steps: 7\n")
    config = load(str(path), ["train.steps=9", "model.ffn=64"])
    assert (config.model.width, config.model.layers, config.model.ffn) == (128, 6, 64)
    assert config.train.steps == 9
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.train.steps = 1  # type: ignore[misc]


@pytest.mark.parametrize("path", shipped_configs(ROOT), ids=lambda path: path.name)
def test_every_shipped_config_is_valid(path: Path) -> None:
    assert isinstance(load(str(path)), RunConfig)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.step=3", "train.step is no setting: did you mean train.steps?"),
        ("trian.steps=3", "did you mean train?"),
        ("model.preset=tiny-15m", "did you mean tiny-1.5m?"),
        ("layout.stages=9", "use fewer stages or more layers"),
        ("layout.stages=2", "layout.max_model_share"),
        ("model.heads=3", "heads"),
        ("layout.zero=4", "layout.zero=4 must be one of"),
        ("train.microbatches=0", "must be at least 1"),
        ("train.steps=many", "train.steps"),
        ("layout.devices=3", "cannot be split over"),
        ("emulate.up_mbps=-1", "must not be negative"),
        ("data.holdout=1.5", "between 0 and 1"),
        ("nonsense", "write it as section.key=value"),
    ],
)
def test_a_mistake_is_one_sentence_that_says_what_to_change(override: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, [override])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nobody_holds_more_than_two_fifths_in_the_default_run() -> None:
    config = load(str(ROOT / "cluster_configs/runs/quickstart.yaml"))
    sized = dataclasses.replace(config, model=dataclasses.replace(config.model, vocab_size=256))
    assert (config.layout.stages, config.layout.replicas) == (4, 2)
    assert largest_share(sized) <= 0.40


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load(str(tmp_path / "none.yaml"))
    (tmp_path / "bad.yaml").write_text("a: [1\n")
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        load(str(tmp_path / "bad.yaml"))
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="sections"):
        load(str(tmp_path / "list.yaml"))


def test_dry_run_prints_the_resolved_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--dry-run", "train.steps=3"]) == 0
    printed = capsys.readouterr().out
    assert "steps: 3" in printed
    assert "width: 128" in printed


def test_a_mistake_on_the_command_line_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "train.stepz=3"]) == 2
    assert "did you mean train.steps?" in capsys.readouterr().err


def test_sites_agree_on_what_matters_only() -> None:
    base = config_hash(load())
    assert config_hash(load(None, ["telemetry.output=x", "layout.threads=2", "emulate.up_mbps=5"])) == base
    assert config_hash(load(None, ["optimizer.lr=0.1"])) != base
