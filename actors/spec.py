"""Everything that one participant is started with. Plain values: no keys, no tensors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from actors.chronicle import SinkOpener
from actors.faults.schedule import Fault
from actors.steps.config import TrainConfig
from actors.steps.context import LostStage, StepSetup
from actors.tokens import TokenSourceOpener
from actors.transport.config import EmulateConfig, EmulateOverride
from checkpoint.config import CheckpointConfig
from sharding.config import LayoutConfig, ModelConfig, OptimizerConfig
from sharding.partition import StageSpec, partition, share, stage_parameters
from sharding.schedule import learning_rate

NAMESPACE = "tessera"
"""Ray namespace of all actors."""
FLOORS = {"local": 20.0, "lan": 20.0, "wan": 40.0}
"""Shortest patience of the step protocol in seconds, by network profile."""

BYTES_A_PARAMETER = 20
"""Memory that a stage takes: weights, gradient, two moments and the accumulator, fp32; activations come on top."""


@dataclass(frozen=True)
class ParticipantSpec:
    """One participant of a run."""

    run_id: str
    name: str
    replica: int
    """Number among the replicas of its stage, for a person's eye and for emulation."""
    stage: StageSpec
    """`no_stage` for somebody who joins and is given one by the mesh."""
    model: ModelConfig
    optimizer: OptimizerConfig
    layout: LayoutConfig
    train: TrainConfig
    emulate: EmulateConfig
    """With the overrides for this participant already in it."""
    profile: str
    host: str
    port: int
    folder: str
    """Where its key and certificate are kept (on its own machine)."""
    config_hash: str
    fingerprint: str
    """Hash of the run's corpus and tokenizer."""
    tokens: TokenSourceOpener
    sink: SinkOpener | None = None
    """Opens the run's report, for a participant that has to write it because no driver does."""
    spot: str = "none"
    """The cloud that this machine is a spot instance of: aws, gcp, azure or none."""
    spot_url: str = ""
    spare: bool = False
    """It follows a stage without working, as long as others work."""
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    config_text: str = ""
    """The run's config as YAML, for checkpoints."""
    gpus: int = 0
    """GPUs that Ray reserves for each shard."""
    faults: tuple[Fault, ...] = ()
    """The simulation's whole fault schedule."""
    faults_folder: str = ""
    """Where it is written down which of them have happened."""
    places: tuple[tuple[str, int, int], ...] = ()
    """(name, stage, replica) of all participants, for faults that name others."""

    @property
    def actor_name(self) -> str:
        """Name in the Ray dashboard."""
        place = f"stage-{self.stage.index}" if self.stage.index >= 0 else "joins"
        return f"tessera/{self.run_id}/{place}/{self.name}"

    def serving(self, stage: int) -> ParticipantSpec:
        """The same participant with another stage."""
        return replace(self, stage=partition(self.model, self.layout.stages)[stage])


def step_setup(spec: ParticipantSpec) -> StepSetup:
    """Return what the step protocol needs to know."""
    train, optimizer = spec.train, spec.optimizer
    stages = partition(spec.model, spec.layout.stages)
    return StepSetup(
        stages=spec.layout.stages,
        steps=train.steps,
        microbatches=train.microbatches,
        tokens_per_microbatch=train.microbatch_size * train.sequence,
        in_flight=train.in_flight or 2 * spec.layout.stages,
        validate_every=train.validate_every,
        validation_microbatches=train.validation_microbatches,
        clip=optimizer.clip,
        learning_rate=lambda step: learning_rate(optimizer, step, train.steps),
        config_hash=spec.config_hash,
        floor_s=FLOORS[spec.profile],
        shares=tuple(share(spec.model, stage) for stage in stages),
        max_share=spec.layout.max_model_share,
        stage_bytes=tuple(BYTES_A_PARAMETER * stage_parameters(spec.model, stage) for stage in stages),
        moves=spec.layout.rebalance,
        keep_every=train.keep_every,
        lost_stage=LostStage(train.lost_stage),
        save_every=spec.checkpoint.every if spec.checkpoint.url else 0,
        first=max(0, spec.checkpoint.resume_commit),
        history=spec.checkpoint.history,
        resumed=spec.checkpoint.resume_history if spec.checkpoint.resume else -1,
    )


def emulation_for(emulate: EmulateConfig, name: str, stage: int, replica: int) -> EmulateConfig:
    """Return the emulation of one participant; later overrides win."""
    values = {key: getattr(emulate, key) for key in EmulateConfig.__dataclass_fields__ if key != "overrides"}
    for override in emulate.overrides:
        if override.who in (name, f"stage-{stage}", f"stage-{stage}/{replica}"):
            given = {key: getattr(override, key) for key in EmulateOverride.__dataclass_fields__ if key != "who"}
            values.update({key: value for key, value in given.items() if value is not None})
    return EmulateConfig(**values)
