"""One shard: a stage whose state and update belong to a DeepSpeed engine, and whose accumulation is ours.

DeepSpeed's own accumulation assumes forward, backward, forward, backward; in a pipeline several microbatches are in
flight and it breaks, partly in silence. So forwards run through `engine.module`, gradients come from
`torch.autograd.grad` into our accumulator, and at commit one zero-gradient backward opens the boundary, the averaged
gradients are put in with `safe_set_full_grad`, and `engine.step()` updates. The engine owns parameters, optimizer
state, their partition (ZeRO, Rajbhandari et al. 2020) and offload.

Legend: B batch, T tokens, D width.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sharding import audit
from sharding.accumulate import Accumulator
from sharding.codecs.base import Array, Arrays
from sharding.codecs.raw import share_memory
from sharding.codecs.registry import build_codec
from sharding.config import ModelConfig, OptimizerConfig
from sharding.loss import mean_cross_entropy
from sharding.named import Box, NamedState, StateSlice
from sharding.optimizer import build_optimizer, set_learning_rate
from sharding.partition import StageSpec, stage_parameters
from sharding.process_group import import_deepspeed, join_group
from sharding.schedule import learning_rate
from sharding.spread import from_first_rank
from sharding.stage import build_stage
from sharding.state import FlatState

Key = tuple[int, int]
"""(step, index) of a microbatch."""


@dataclass(frozen=True)
class EngineSpec:
    """What a shard is built from."""

    model: ModelConfig
    stage: StageSpec
    optimizer: OptimizerConfig
    zero: int
    seed: int
    total_steps: int
    device: str = "auto"
    threads: int = 1
    rank: int = 0
    world: int = 1
    rendezvous: str = ""
    """Path of a file where the ranks meet, for world > 1."""


@dataclass(frozen=True)
class LossResult:
    """What the last stage gets from a training microbatch."""

    loss: float
    """Mean over the tokens, in nats."""
    gradient: Arrays | None
    """Of the stage's input, in wire form; None where the input is token ids."""


class StageEngine:
    """One shard of a stage. With several ranks all of them make the same calls in the same order."""

    def __init__(self, spec: EngineSpec) -> None:
        audit.install()
        self.spec = spec
        self.device = _device(spec.device)
        torch.set_num_threads(spec.threads)
        deepspeed = import_deepspeed(self.device)
        join_group(spec.rank, spec.world, spec.rendezvous, self.device)
        stage = build_stage(spec.model, spec.stage, spec.seed, self.device)
        self._shapes = {name: parameter.shape for name, parameter in stage.named_parameters()}
        optimizer = build_optimizer(stage.named_parameters(), spec.optimizer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._engine, self._optimizer, _, _ = deepspeed.initialize(
                model=stage, optimizer=optimizer, config=_deepspeed_config(spec), dist_init_required=False
            )
        self._utils: Any = deepspeed.utils
        self._parameters: dict[str, Any] = dict(self._engine.module.named_parameters())
        self._codec = build_codec("raw", spec.model)
        elements = self.parameters_count
        parts = (self._parameters, self._optimizer, spec.optimizer, spec.zero)
        self._state = FlatState(*parts, self.full_parameters, elements)
        self._named = NamedState(self._parameters, self._shapes, self._optimizer, spec.optimizer, spec.world)
        self._accumulator = Accumulator(self._shapes, spec.world, spec.rank, self.device)
        self._stash: dict[Key, tuple[Tensor, Tensor]] = {}
        self._counted: set[Key] = set()

    # One microbatch

    def forward(self, key: Key, x: Array | Arrays, keep: bool) -> Arrays:
        """Return the stage's output [B, T, D] in wire form; `keep` stashes it for `backward`."""
        x_in = self._input(x)
        with torch.set_grad_enabled(keep):
            y_BTD = self._engine.module(x_in)
        if keep:
            self._stash[key] = (x_in, y_BTD)
        return self._codec.encode(y_BTD)

    def backward(self, key: Key, gradient: Arrays) -> Arrays | None:
        """Take the output's gradient; return the input's (None on stage 0). Counts a key once in a step."""
        x_in, y_BTD = self._stash.pop(key)
        g_BTD = self._codec.decode(gradient).to(self.device)
        return self._differentiate(key, x_in, y_BTD, g_BTD)

    def loss(self, key: Key, x: Array | Arrays, labels_BT: Array, weight: float) -> LossResult:
        """Last stage: forward and backward of `weight` times the mean loss over this rank's tokens."""
        x_in = self._input(x)
        loss = mean_cross_entropy(self._engine.module(x_in), self._tokens(labels_BT))
        gradient = self._differentiate(key, x_in, loss, torch.full_like(loss, weight))
        return LossResult(float(loss.detach()), gradient)

    def evaluate(self, x: Array | Arrays, labels_BT: Array) -> float:
        """Last stage: return the mean loss over this rank's tokens; nothing is kept."""
        with torch.no_grad():
            return float(mean_cross_entropy(self._engine.module(self._input(x)), self._tokens(labels_BT)))

    def _input(self, x: Array | Arrays) -> Tensor:
        if self.spec.stage.embedding:
            return self._tokens(x if isinstance(x, np.ndarray) else x[0])
        x_BTD = self._codec.decode(x if isinstance(x, tuple) else (x,)).to(self.device)
        return x_BTD.requires_grad_(True)

    def _tokens(self, tokens_BT: Array) -> Tensor:
        return share_memory((tokens_BT,)).to(self.device, torch.int64)

    def _differentiate(self, key: Key, x_in: Tensor, y: Tensor, g: Tensor) -> Arrays | None:
        inputs = [x_in] if x_in.requires_grad else []
        count = key not in self._counted
        wanted = inputs + (list(self._parameters.values()) if count else [])
        if not wanted:
            return None
        gradients = list(torch.autograd.grad(y, wanted, g))
        if count:
            self._accumulator.add(gradients[len(inputs) :])
            self._counted.add(key)
        return self._codec.encode(gradients[0]) if inputs else None

    # One step

    @property
    def counted(self) -> frozenset[Key]:
        """Microbatches whose gradient is in the accumulator."""
        return frozenset(self._counted)

    def export_gradient(self) -> Array:
        """Return this rank's part of the flat gradient, fp32; a copy."""
        flat: Array = self._accumulator.flat.cpu().numpy().copy()
        return flat

    def apply(self, average: Array, clip_factor: float, step: int) -> None:
        """Update the parameters with this rank's part of the averaged flat gradient; then the step is over."""
        set_learning_rate(self._optimizer, learning_rate(self.spec.optimizer, step, self.spec.total_steps))
        self._open_boundary()
        flat = share_memory((average,)).to(self.device) * clip_factor
        for name, gradient in self._accumulator.spread(flat):
            self._utils.safe_set_full_grad(self._parameters[name], gradient)
        self._engine.step()
        self.discard()

    def _open_boundary(self) -> None:
        """Run one backward of zeros through the engine, so that it makes room for gradients at its boundary."""
        stage = self.spec.stage
        shape = (1, 1) if stage.embedding else (1, 1, self.spec.model.width)
        dtype = torch.int64 if stage.embedding else next(iter(self._parameters.values())).dtype
        y = self._engine(torch.zeros(shape, dtype=dtype, device=self.device))
        self._engine.set_gradient_accumulation_boundary(True)
        self._engine.backward((y * 0.0).sum())

    def discard(self) -> None:
        """Forget stashes and accumulated gradients; the parameters stay."""
        self._stash.clear()
        self._counted.clear()
        self._accumulator.clear()

    # Its whole state, as one flat vector

    @property
    def state_length(self) -> int:
        """Elements of the flat state: parameters, optimizer, and the optimizer's count of steps."""
        return self._state.length

    def export_state(self) -> Array:
        """Return the state, shape [state_length] fp32: master parameters first. On all ranks together."""
        return self._state.export()

    def load_state(self, flat: Array) -> None:
        """Take over a state from elsewhere; what was accumulated and stashed is forgotten. On all ranks together."""
        self.discard()
        self._state.load(flat)

    # Its whole state, by name

    def state_inventory(self) -> tuple[StateSlice, ...]:
        """Return what `named_state` yields, in its order; without values."""
        return self._named.inventory()

    def named_state(self, names: Collection[str] | None = None) -> Iterator[tuple[StateSlice, Tensor]]:
        """Yield the state's tensors, all or those of `names`, one at a time; on all ranks together.

        fp32 on the CPU. They may share the engine's memory: not to be written to, nor kept beyond the next update.
        """
        return self._named.export(names)

    def load_named_state(self, tensors: Iterable[tuple[Box, Tensor]] | None) -> None:
        """Take over a state from any layout; what was accumulated and stashed is forgotten.

        With several ranks all of them call it: rank 0 with the tensors, in the order of `state_inventory`, and the
        others with None. A single rank takes them in any order.

        Raises ValueError when a tensor is missing, unknown, twice there or of another shape, and on the other ranks
        when rank 0 could not read.
        """
        self.discard()
        if self.spec.world > 1:
            tensors = from_first_rank(self.state_inventory(), tensors, self.device)
        self._named.load(tensors or ())

    # What it holds

    @property
    def parameters_count(self) -> int:
        """Parameters of the whole stage."""
        return sum(shape.numel() for shape in self._shapes.values())

    def inventory(self) -> dict[str, tuple[int, ...]]:
        """Return name and full shape of every parameter."""
        return {name: tuple(shape) for name, shape in self._shapes.items()}

    def full_parameters(self) -> Iterable[tuple[str, Tensor]]:
        """Yield every parameter whole, in fp32 (master weights), one at a time; on all ranks together."""
        return ((name, self._named.whole(name)) for name in sorted(self._parameters))

    def parameter_hash(self) -> str:
        """Return the hash of all parameters in fp32, in name order; the same for every ZeRO stage and world."""
        digest = hashlib.blake2b(digest_size=16)
        for name, value in self.full_parameters():
            digest.update(name.encode())
            digest.update(value.numpy().data)
        return digest.hexdigest()


def _device(device: str) -> str:
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


BUCKET = 500_000_000
"""DeepSpeed's own largest bucket for gradients, in elements. It is allocated whole, whatever the size of the stage."""


def _deepspeed_config(spec: EngineSpec) -> dict[str, Any]:
    bucket = min(BUCKET, stage_parameters(spec.model, spec.stage))
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": 0.0,  # the factor is global over all stages, so it is ours
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 1 << 30,
        "wall_clock_breakdown": False,
        "zero_optimization": {"stage": spec.zero, "reduce_bucket_size": bucket},
    }
    if spec.zero == 3:
        config["zero_optimization"]["stage3_param_persistence_threshold"] = 0
    if spec.model.dtype == "bf16":
        config["bf16"] = {"enabled": True}
    return config
