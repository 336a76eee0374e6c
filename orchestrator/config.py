"""The run config: sections beside their owners, composed here; defaults < preset < YAML < `a.b=c`.

`load` returns frozen dataclasses. Every mistake is a ConfigError: one sentence that says what to change.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from actors.config import MeshConfig
from actors.faults.schedule import parse
from actors.spot import CLOUDS
from actors.steps.config import TrainConfig
from actors.steps.context import LostStage
from actors.transport.config import EmulateConfig
from checkpoint.config import CheckpointConfig
from orchestrator.churn import parse as parse_change
from orchestrator.data.config import DataConfig
from orchestrator.telemetry.config import TelemetryConfig
from sharding.config import LayoutConfig, ModelConfig, OptimizerConfig
from sharding.partition import partition, share
from sharding.presets import PRESETS, check_model


class ConfigError(ValueError):
    """The config cannot be used; the message says what to change."""


@dataclass(frozen=True)
class RayConfig:
    """Which Ray cluster is used, or how a local one is started."""

    address: str = ""
    """Address of a running cluster, or `auto`. Empty: `simulate` starts a local one, `train` uses `auto`."""
    dashboard: bool = False
    """Start the Ray dashboard with a local cluster (about 300 MB more)."""
    object_store_mb: int = 256
    """Shared memory of a local cluster."""


@dataclass(frozen=True)
class RunConfig:
    """Everything about a run."""

    run_id: str = ""
    """Empty: made from the time."""
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    layout: LayoutConfig = field(default_factory=LayoutConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    emulate: EmulateConfig = field(default_factory=EmulateConfig)
    ray: RayConfig = field(default_factory=RayConfig)
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    faults: list[str] = field(default_factory=list)
    """`simulate` only: faults on purpose, one sentence each, as `kill leader at step 5 averaging`."""
    churn: list[str] = field(default_factory=list)
    """`simulate` only: who comes and goes, as `join x2 at step 5` or `leave stage-0/1 at second 8`."""


def load(path: str | None = None, overrides: Sequence[str] = ()) -> RunConfig:
    """Compose and check a run config. Raises ConfigError."""
    layers: list[Any] = [_read(path)] if path else []
    if overrides:
        for override in overrides:
            if "=" not in override:
                raise ConfigError(f"{override!r} is no setting: write it as section.key=value.")
        layers.append(OmegaConf.from_dotlist(list(overrides)))
    try:
        given: Any = OmegaConf.select(OmegaConf.merge(*layers), "model.preset") if layers else None
        preset = ModelConfig.preset if given is None else str(given)
        if preset not in PRESETS:
            raise ConfigError(f"model.preset={preset} is unknown{_suggest(preset, PRESETS)}")
        base = OmegaConf.structured(RunConfig)
        merged = OmegaConf.merge(base, {"model": {"preset": preset, **PRESETS[preset]}}, *layers)
        config = cast(RunConfig, OmegaConf.to_object(merged))
    except ConfigKeyError as error:
        raise ConfigError(_typo(error)) from None
    except OmegaConfBaseException as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"{getattr(error, 'full_key', '') or 'the config'}: {first}") from None
    check(config)
    return config


def _read(path: str) -> Any:
    try:
        loaded = OmegaConf.load(path)
    except FileNotFoundError:
        raise ConfigError(f"The config file {path} does not exist: give the path of a YAML file.") from None
    except Exception as error:  # yaml has no common exception that omegaconf keeps
        raise ConfigError(f"The config file {path} cannot be read as YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(loaded, DictConfig):
        raise ConfigError(f"The config file {path} must hold sections (model:, train:, ...) at its top.")
    return loaded


def _typo(error: ConfigKeyError) -> str:
    full = str(error.full_key)
    parent: Any = RunConfig
    for part in full.split(".")[:-1]:
        fields = {entry.name: entry for entry in dataclasses.fields(parent)}
        factory: Any = fields[part].default_factory if part in fields else None
        if not dataclasses.is_dataclass(factory):
            break
        parent = factory
    key = full.rsplit(".", 1)[-1]
    names = [entry.name for entry in dataclasses.fields(parent)]
    where = full[: -len(key)]
    return f"{full} is no setting{_suggest(key, names, where)}"


def _suggest(word: str, names: Any, prefix: str = "") -> str:
    near = difflib.get_close_matches(word, list(names), n=1, cutoff=0.5)
    return f": did you mean {prefix}{near[0]}?" if near else f": use one of {', '.join(names)}."


def check(config: RunConfig) -> None:
    """Raise ConfigError for a combination that cannot work."""
    model, layout, train = config.model, config.layout, config.train
    try:
        check_model(dataclasses.replace(model, vocab_size=model.vocab_size or 256))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    _check_ranges(config)
    for text in config.faults:
        try:
            parse(text)
        except ValueError as error:
            raise ConfigError(f"faults: {error}") from None
    for text in config.churn:
        try:
            parse_change(text)
        except ValueError as error:
            raise ConfigError(f"churn: {error}") from None
    if layout.stages > model.layers:
        raise ConfigError(
            f"layout.stages={layout.stages} is more than model.layers={model.layers}: "
            "every stage needs a layer, so use fewer stages or more layers."
        )
    if train.lost_stage == LostStage.SPARE and layout.spares < 1 and not config.mesh.bundle:
        raise ConfigError("train.lost_stage=spare needs layout.spares=1 or more: somebody has to stand by.")
    if train.microbatch_size % layout.devices:
        raise ConfigError(
            f"train.microbatch_size={train.microbatch_size} cannot be split over layout.devices={layout.devices}: "
            "make it a multiple."
        )
    if layout.stages > 1:
        sized = dataclasses.replace(model, vocab_size=model.vocab_size or 256)
        largest = max(share(sized, stage) for stage in partition(sized, layout.stages))
        if largest > layout.max_model_share:
            raise ConfigError(
                f"With layout.stages={layout.stages} one participant would hold {largest:.0%} of the model, more than "
                f"layout.max_model_share={layout.max_model_share}: use more stages or raise it."
            )


def _check_ranges(config: RunConfig) -> None:
    positive = {
        "train": ("microbatches", "microbatch_size", "sequence"),
        "layout": ("stages", "replicas", "devices", "threads"),
    }
    for section, keys in positive.items():
        for key in keys:
            value = getattr(getattr(config, section), key)
            if value < 1:
                raise ConfigError(f"{section}.{key}={value} must be at least 1.")
    for section, key, choices in (
        ("optimizer", "name", ("adamw", "sgd")),
        ("optimizer", "schedule", ("cosine", "constant")),
        ("layout", "zero", (0, 1, 2, 3)),
        ("layout", "device", ("auto", "cpu", "cuda")),
        ("mesh", "profile", ("local", "lan", "wan")),
        ("mesh", "spot", ("none", *CLOUDS)),
        ("train", "lost_stage", tuple(policy.value for policy in LostStage)),
        ("telemetry", "progress", ("auto", "live", "lines")),
        ("telemetry", "wandb", ("offline", "online", "disabled")),
    ):
        value = getattr(getattr(config, section), key)
        if value not in choices:
            raise ConfigError(f"{section}.{key}={value} must be one of {', '.join(map(str, choices))}.")
    for key in ("steps", "in_flight", "validate_every", "validation_microbatches", "keep_every"):
        if getattr(config.train, key) < 0:
            raise ConfigError(f"train.{key}={getattr(config.train, key)} must not be negative.")
    if config.checkpoint.every < 1 or config.checkpoint.last < 1:
        raise ConfigError("checkpoint.every and checkpoint.last must be at least 1.")
    if config.train.lost_stage == LostStage.ROLLBACK and not (config.checkpoint.url or config.checkpoint.resume):
        raise ConfigError("train.lost_stage=rollback needs checkpoints: set checkpoint.url.")
    if config.layout.spares < 0:
        raise ConfigError(f"layout.spares={config.layout.spares} must not be negative.")
    for key in ("up_mbps", "down_mbps", "delay_ms", "jitter_ms", "tokens_per_s"):
        if getattr(config.emulate, key) < 0:
            raise ConfigError(f"emulate.{key}={getattr(config.emulate, key)} must not be negative.")
    if not 0 < config.data.holdout < 1:
        raise ConfigError(f"data.holdout={config.data.holdout} must lie between 0 and 1.")


def as_dict(config: RunConfig) -> dict[str, Any]:
    """Return the config as nested plain values."""
    return dataclasses.asdict(config)


def as_yaml(config: RunConfig) -> str:
    """Return the config as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(as_dict(config)))


AGREED = ("model", "optimizer", "train", "layout", "data")


def config_hash(config: RunConfig) -> str:
    """Return the hash of what all participants of a run must agree on."""
    agreed = {section: dataclasses.asdict(getattr(config, section)) for section in AGREED}
    agreed["checkpoint"] = {
        key: getattr(config.checkpoint, key) for key in ("every", "resume_history", "resume_commit")
    }
    for key in ("device", "threads"):
        agreed["layout"].pop(key)
    for key in ("cache", "fingerprint"):
        agreed["data"].pop(key)
    return hashlib.blake2b(json.dumps(agreed, sort_keys=True).encode(), digest_size=16).hexdigest()


def shipped_configs(root: Path) -> list[Path]:
    """Return the run configs that come with the project."""
    return sorted((root / "cluster_configs" / "runs").glob("*.yaml"))
