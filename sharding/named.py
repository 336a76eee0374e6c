"""One shard's state as named tensors: the same names and values in every cut, ZeRO stage, type and number of ranks.

`model.<parameter>` is the fp32 value (the master where the model is bf16), `optimizer.<kind>.<parameter>` what the
optimizer keeps for every element, and `optimizer.step.<parameter>` AdamW's count of steps, a scalar. A parameter's
tensors follow each other, in the order of the layers, so that what another cut needs lies together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from sharding.config import OptimizerConfig
from sharding.fragments import Fragment, find_fragments
from sharding.state import state_kinds

MODEL = "model"
STEP = "step"


@dataclass(frozen=True)
class StateSlice:
    """A box of a tensor of the whole model. Without tensor parallelism it is the whole tensor."""

    name: str
    dtype: str
    """torch's name for the type: `float32`."""
    shape: tuple[int, ...]
    """Of the whole tensor."""
    offsets: tuple[int, ...]
    """First element of the box, in every dimension."""
    sizes: tuple[int, ...]
    """Of the box."""


class Box(Protocol):
    """What `load` looks at: a StateSlice, or whatever else describes the same."""

    @property
    def name(self) -> str: ...
    @property
    def offsets(self) -> tuple[int, ...]: ...


def tensor_name(kind: str, parameter: str) -> str:
    """Return the global name of one kind of state (`model`, `exp_avg`, `step`, ...) of a parameter."""
    return f"{MODEL}.{parameter}" if kind == MODEL else f"optimizer.{kind}.{parameter}"


class NamedState:
    """Reads and writes the state of one engine by name. With several ranks all of them make the same calls.

    Args:
        parameters: the engine's, by name, in the order of the module.
        shapes: their full shapes.
        optimizer: what DeepSpeed returned.
        config: which optimizer it is.
        world: local ranks.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        shapes: Mapping[str, torch.Size],
        optimizer: Any,
        config: OptimizerConfig,
        world: int,
    ) -> None:
        self._parameters, self._shapes, self._world = dict(parameters), dict(shapes), world
        self._inner = getattr(optimizer, "optimizer", optimizer)
        self._kinds = state_kinds(config)
        self._counts_steps = "exp_avg" in self._kinds
        self._fragments = find_fragments(parameters, optimizer)
        self._partitioned = any(
            fragment.count < self._shapes[name].numel() for name, fragment in self._fragments.items()
        ) or len(self._fragments) < len(self._parameters)
        if world > 1:
            flag = torch.tensor(int(self._partitioned), device=next(iter(self._parameters.values())).device)
            dist.all_reduce(flag)
            self._partitioned = bool(flag.item())

    def inventory(self) -> tuple[StateSlice, ...]:
        """Return what `export` yields, in its order; without values."""
        slices = []
        for parameter, shape in self._shapes.items():
            for kind in (MODEL, *self._kinds, *((STEP,) if self._counts_steps else ())):
                full = () if kind == STEP else tuple(shape)
                slices.append(StateSlice(tensor_name(kind, parameter), "float32", full, (0,) * len(full), full))
        return tuple(slices)

    def export(self, names: Collection[str] | None = None) -> Iterator[tuple[StateSlice, Tensor]]:
        """Yield tensors one at a time, fp32 on the CPU; on all ranks together. The values may be the engine's own
        memory: they must not be written to, and are those of now only until the next update.

        Args:
            names: which ones; None for all.
        """
        kinds = {tensor_name(kind, name): (kind, name) for kind in (MODEL, *self._kinds) for name in self._shapes}
        for one in self.inventory():
            if names is None or one.name in names:
                kind, name = kinds.get(one.name, (STEP, ""))
                yield one, torch.tensor(self._steps()) if kind == STEP else self.whole(name, kind)

    def whole(self, name: str, kind: str = MODEL) -> Tensor:
        """Return one kind of state of a parameter whole, fp32 on the CPU, maybe the engine's own memory; on all ranks
        together. Parts are added as integers: adding zero would turn -0.0 into 0.0."""
        fragment, shape = self._fragments.get(name), self._shapes[name]
        source = None
        if fragment is not None:
            kept = fragment.master if kind == MODEL else self._inner.state.get(fragment.master, {}).get(kind)
            source = fragment.of(kept) if isinstance(kept, Tensor) else None
        if not self._partitioned and source is not None:
            return source.to("cpu", torch.float32).reshape(shape)
        whole = torch.zeros(shape, dtype=torch.float32, device=self._parameters[name].device)
        if fragment is not None and source is not None:
            fragment.within(whole).copy_(source)
        if self._partitioned:
            dist.all_reduce(whole.view(torch.int32))
        return whole.cpu()

    @torch.no_grad()
    def load(self, tensors: Iterable[tuple[Box, Tensor]]) -> None:
        """Take over tensors in any order; each is released before the next is asked for.

        Raises ValueError when one is unknown, comes twice, has another shape, or is missing at the end; and when the
        counts of steps differ. The state is then partly the old one.
        """
        missing = {one.name: one for one in self.inventory()}
        kinds = {tensor_name(kind, name): (kind, name) for kind in (MODEL, *self._kinds, STEP) for name in self._shapes}
        steps: set[float] = set()
        for given, values in tensors:
            expected = missing.pop(given.name, None)
            if expected is None:
                raise ValueError(f"tensor {given.name!r} is not part of this stage's state, or came twice.")
            if tuple(values.shape) != expected.sizes or given.offsets != expected.offsets:
                raise ValueError(f"tensor {given.name!r} has shape {tuple(values.shape)}, and not {expected.sizes}.")
            kind, name = kinds[given.name]
            if kind == STEP:
                steps.add(float(values))
            else:
                self._put(name, kind, values)
        if missing:
            raise ValueError(f"the state lacks {len(missing)} tensors, the first is {next(iter(missing))!r}.")
        if len(steps) > 1:
            raise ValueError(f"the state mixes counts of steps: {', '.join(map(str, sorted(steps)))}.")
        for count in steps:
            for fragment in self._fragments.values():
                self._kept(fragment)[STEP] = torch.tensor(count)

    def _kept(self, fragment: Fragment) -> dict[str, Any]:
        """The inner optimizer's state of a master, made where it has none yet."""
        kept: dict[str, Any] = self._inner.state[fragment.master]
        for kind in self._kinds:
            if not isinstance(kept.get(kind), Tensor):
                kept[kind] = torch.zeros_like(fragment.master, requires_grad=False)
        if self._counts_steps:
            kept.setdefault(STEP, torch.tensor(0.0))
        return kept

    def _steps(self) -> float:
        """The optimizer's count; the same for all masters."""
        masters = {id(fragment.master): fragment.master for fragment in self._fragments.values()}
        return max((float(self._inner.state.get(m, {}).get(STEP, 0.0)) for m in masters.values()), default=0.0)

    def _put(self, name: str, kind: str, values: Tensor) -> None:
        fragment = self._fragments.get(name)
        if fragment is not None:
            target = fragment.master if kind == MODEL else self._kept(fragment)[kind]
            fragment.of(target).copy_(fragment.within(values))
        if kind == MODEL:
            self._put_parameter(self._parameters[name], fragment, values)

    def _put_parameter(self, parameter: Any, fragment: Fragment | None, values: Tensor) -> None:
        """What the module computes with; rounded where the model is bf16."""
        if hasattr(parameter, "ds_tensor"):  # ZeRO 3 keeps this rank's part of it
            if fragment is not None:
                parameter.ds_tensor.data.reshape(-1)[: fragment.count].copy_(fragment.within(values))
            if parameter.data.numel() != values.numel():
                return
        parameter.data.copy_(values.view(parameter.data.shape))
