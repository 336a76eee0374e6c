"""Values of the config that cannot work, each with the key that it is about; and what all of a run must agree on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from orchestrator.config import AGREED, ConfigError, as_dict, as_yaml, config_hash, load, shipped_configs

ROOT = Path(__file__).resolve().parents[1]


def refused(*overrides: str) -> str:
    """The sentence with which a config is refused."""
    with pytest.raises(ConfigError) as caught:
        load(None, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


POSITIVE = [
    *(f"train.{key}" for key in ("microbatches", "microbatch_size", "sequence")),
    *(f"layout.{key}" for key in ("stages", "replicas", "devices", "threads")),
]


@pytest.mark.parametrize("key", POSITIVE)
def test_counts_begin_at_one(key: str) -> None:
    assert refused(f"{key}=0") == f"{key}=0 must be at least 1."
    load(None, [f"{key}=1", "layout.max_model_share=1.0"])


NOT_NEGATIVE = [
    *(f"train.{key}" for key in ("steps", "in_flight", "validate_every", "validation_microbatches", "keep_every")),
    "layout.spares",
    *(f"emulate.{key}" for key in ("up_mbps", "down_mbps", "delay_ms", "jitter_ms", "tokens_per_s")),
]


@pytest.mark.parametrize("key", NOT_NEGATIVE)
def test_amounts_may_be_zero_and_not_negative(key: str) -> None:
    assert refused(f"{key}=-1").startswith(f"{key}=-1")
    assert "must not be negative" in refused(f"{key}=-1")
    load(None, [f"{key}=0"])


CHOICES = {
    "optimizer.name": ["adamw", "sgd"],
    "optimizer.schedule": ["cosine", "constant"],
    "layout.zero": ["0", "1", "2", "3"],
    "layout.device": ["auto", "cpu", "cuda"],
    "mesh.profile": ["local", "lan", "wan"],
    "mesh.spot": ["none", "aws", "gcp", "azure"],
    "train.lost_stage": ["wait", "spare", "rollback", "stop"],
    "telemetry.progress": ["auto", "live", "lines"],
    "telemetry.wandb": ["offline", "online", "disabled"],
}


@pytest.mark.parametrize("key", list(CHOICES))
def test_a_choice_is_one_of_those_that_are_named(key: str) -> None:
    other = "9" if key == "layout.zero" else "other"
    said = refused(f"{key}={other}")
    assert said.startswith(f"{key}={other} must be one of ")
    assert set(said.removesuffix(".").rpartition("one of ")[2].split(", ")) == set(CHOICES[key])
    for choice in CHOICES[key]:
        load(None, [f"{key}={choice}", "layout.spares=1", "checkpoint.url=/x"])


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 2.0])
def test_something_is_held_out_and_something_is_not(share: float) -> None:
    assert "data.holdout" in refused(f"data.holdout={share}") and "between 0 and 1" in refused(f"data.holdout={share}")


@pytest.mark.parametrize("key", ["every", "last"])
def test_a_checkpoint_is_written_and_kept_at_least_now_and_then(key: str) -> None:
    assert refused(f"checkpoint.{key}=0") == "checkpoint.every and checkpoint.last must be at least 1."
    load(None, [f"checkpoint.{key}=1"])


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["layout.stages=9"], "layout.stages=9 is more than model.layers=8"),
        (["train.lost_stage=spare"], "train.lost_stage=spare needs layout.spares=1 or more"),
        (["train.lost_stage=rollback"], "train.lost_stage=rollback needs checkpoints: set checkpoint.url"),
        (["train.microbatch_size=6", "layout.devices=4"], "train.microbatch_size=6 cannot be split over"),
        (["faults=[nonsense]"], "faults: "),
        (["churn=[nonsense]"], "churn: "),
        (["model.heads=3"], "model.heads = 3 does not divide"),
        # Two stages of four layers each: half of eight blocks and an end are more than a half by the head's norm.
        (["layout.stages=2"], "With layout.stages=2 one participant would hold 50% of the model"),
    ],
)
def test_combinations_that_cannot_work_say_what_to_change(overrides: list[str], says: str) -> None:
    assert says in refused(*overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["layout.stages=8"],
        ["layout.stages=1"],  # one participant that holds all is a choice
        ["train.lost_stage=spare", "layout.spares=1"],
        ["train.lost_stage=spare", "mesh.bundle=/x"],  # who stands by is said in the bundle
        ["train.lost_stage=rollback", "checkpoint.url=/x"],
        ["train.lost_stage=rollback", "checkpoint.resume=/x"],
        ["train.microbatch_size=8", "layout.devices=4"],
        ["layout.stages=2", "layout.max_model_share=0.51"],
    ],
)
def test_those_that_just_work_are_taken(overrides: list[str]) -> None:
    load(None, overrides)


def test_a_later_layer_wins_and_the_preset_of_the_last_one_fills_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("model:\n  preset: small-6m\n  ffn: 100\n")
    assert load(str(path)).model.width == 256 and load(str(path)).model.ffn == 100
    chosen = load(str(path), ["model.preset=tiny-1.5m"]).model
    assert (chosen.preset, chosen.width, chosen.ffn) == ("tiny-1.5m", 128, 100)
    assert load().model.width == 128


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.presett=x", "model.presett is no setting: did you mean model.preset?"),
        ("zzzz=1", "zzzz is no setting: use one of run_id, model, optimizer"),
        ("train.zzzz=1", "train.zzzz is no setting: use one of steps, microbatches"),
        ("model.preset=huge", "model.preset=huge is unknown: use one of tiny-1.5m"),
        ("model.preset=small-6", "model.preset=small-6 is unknown: did you mean small-6m?"),
        ("train.steps=[1]", "train.steps: "),
    ],
)
def test_a_key_that_is_none_is_named_with_one_that_is(override: str, says: str) -> None:
    assert refused(override).startswith(says)


BASE = load(None, ["run_id=a"])
AGREED_ON = [
    "model.ffn=64", "optimizer.lr=0.5", "optimizer.clip=2.0", "train.steps=7", "train.seed=3", "train.keep_every=3",
    "layout.replicas=3", "layout.zero=2", "layout.devices=2", "data.source=x", "data.holdout=0.2", "checkpoint.every=7",
    "checkpoint.resume_history=1", "checkpoint.resume_commit=4",
]  # fmt: skip
OWN = [
    "run_id=b", "layout.device=cpu", "layout.threads=2", "data.cache=/x", "data.fingerprint=f", "mesh.host=10.0.0.1",
    "emulate.delay_ms=9", "telemetry.output=x", "checkpoint.url=/x", "checkpoint.last=9", "checkpoint.history=3",
    "ray.dashboard=true", "faults=['kill leader at step 5 averaging']",
]  # fmt: skip


@pytest.mark.parametrize("setting", AGREED_ON)
def test_what_decides_the_parameters_is_agreed_on(setting: str) -> None:
    assert config_hash(load(None, [setting])) != config_hash(BASE)


@pytest.mark.parametrize("setting", OWN)
def test_what_is_each_participant_s_own_is_not(setting: str) -> None:
    assert config_hash(load(None, [setting])) == config_hash(BASE)
    assert len(config_hash(BASE)) == 32


def test_the_sections_that_are_agreed_on() -> None:
    assert AGREED == ("model", "optimizer", "train", "layout", "data")


def test_a_config_can_be_written_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    config = load(None, ["train.steps=7", "emulate.overrides=[{who: stage-1, up_mbps: 3.0}]"])
    path.write_text(as_yaml(config))
    assert load(str(path)) == config
    assert as_dict(config)["emulate"]["overrides"][0]["who"] == "stage-1"
    assert as_dict(config)["train"] == dataclasses.asdict(config.train)


def test_the_shipped_configs_are_sorted_yaml_files() -> None:
    found = shipped_configs(ROOT)
    assert found == sorted(found) and ROOT / "cluster_configs/runs/quickstart.yaml" in found
    assert {path.suffix for path in found} == {".yaml"}
