"""One local device of a participant: a Ray actor around the stage engine.

torch is imported in the actor's process only, so that a MeshActor can hold handles without it.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import ray

from checkpoint.errors import STORE_FAILS, StoreError
from checkpoint.shelf import Shelf, ShelfError, rank_folder
from checkpoint.slices import part_of

if TYPE_CHECKING:
    import numpy as np

    from actors.spec import ParticipantSpec

# Shares of the work of a microbatch: a backward pass costs two forward passes.
WORK = {"forward": 1 / 3, "evaluate": 1 / 3, "backward": 2 / 3, "loss": 1.0}


@ray.remote(num_cpus=0, max_restarts=0, concurrency_groups={"watch": 1, "aside": 1, "save": 4})
class ShardActor:
    """Holds one shard of a stage."""

    def __init__(self, spec: ParticipantSpec, rank: int, rendezvous: str) -> None:
        self._spec = spec
        self._rank = rank
        self._rendezvous = rendezvous
        self._engine: Any = None
        self._lock = threading.Lock()
        """Held by whoever uses the engine."""
        self._saver: Any = None
        self._kept: dict[tuple[int, int], tuple[np.ndarray, str]] = {}
        """(Era, commit) -> state and hash, on their way to the disk."""
        self._slow, self._slow_until = 1.0, 0.0

    def build(self) -> tuple[str, int, int, int]:
        """Build the stage; return (parameter hash, parameters, elements of this rank's flat gradient, and state)."""
        gc.disable()  # importing torch and DeepSpeed makes a million objects that stay: a fifth of the time
        try:
            return self._build()
        finally:
            gc.freeze()
            gc.enable()

    def _build(self) -> tuple[str, int, int, int]:
        from actors.shard_checkpoint import PartSaver
        from sharding.engine import EngineSpec, StageEngine

        spec = self._spec
        self._engine = StageEngine(
            EngineSpec(
                model=spec.model,
                stage=spec.stage,
                optimizer=spec.optimizer,
                zero=spec.layout.zero,
                seed=spec.train.seed,
                total_steps=spec.train.steps,
                device=spec.layout.device,
                threads=spec.layout.threads,
                rank=self._rank,
                world=spec.layout.devices,
                rendezvous=self._rendezvous,
            )
        )
        engine = self._engine
        self._saver = PartSaver(engine, self._lock)
        return engine.parameter_hash(), engine.parameters_count, len(engine.export_gradient()), engine.state_length

    def run(
        self, kind: str, key: tuple[int, int], tensors: tuple[np.ndarray, ...], labels: np.ndarray | None
    ) -> tuple[tuple[np.ndarray, ...], float, float]:
        """Run a job on this rank's slice; return (tensors, loss, seconds)."""
        began = time.perf_counter()
        engine, loss, out = self._engine, 0.0, ()
        x = tensors[0] if self._spec.stage.embedding and kind != "backward" else tensors
        with self._lock:
            if kind == "forward":
                # Validation keys have negative indices: nothing is kept for a backward pass.
                out = engine.forward(key, x, keep=key[1] >= 0)
            elif kind == "loss":
                weight = 1.0 / (self._spec.train.microbatches * self._spec.layout.devices)
                result = engine.loss(key, x, labels, weight)
                loss, out = result.loss, result.gradient or ()
            elif kind == "backward":
                out = engine.backward(key, tensors) or ()
            else:
                loss = engine.evaluate(x, labels)
        self._pace(kind, began)
        return out, loss, time.perf_counter() - began

    def _pace(self, kind: str, began: float) -> None:
        pace = self._spec.emulate.tokens_per_s
        if pace > 0:
            train = self._spec.train
            wanted = train.microbatch_size * train.sequence * WORK[kind] / pace
            time.sleep(max(0.0, wanted - (time.perf_counter() - began)))
        if time.monotonic() < self._slow_until:
            time.sleep((self._slow - 1) * (time.perf_counter() - began))

    def export_gradient(self) -> tuple[np.ndarray, frozenset[int]]:
        """Return this rank's partition of the accumulated flat gradient, and which microbatches are in it."""
        with self._lock:
            return self._engine.export_gradient(), frozenset(index for _, index in self._engine.counted)

    def discard(self) -> None:
        """Forget stashes and accumulated gradients; the parameters stay."""
        with self._lock:
            self._engine.discard()

    def export_state(self) -> tuple[np.ndarray, str]:
        """Return this rank's flat state, and the hash of the parameters."""
        with self._lock:
            return self._engine.export_state(), str(self._engine.parameter_hash())

    def keep(self, era: int, commit: int) -> None:
        """Set this rank's state aside, for `kept` to write."""
        with self._lock:
            self._kept[era, commit] = (self._engine.export_state(), str(self._engine.parameter_hash()))

    @ray.method(concurrency_group="save")
    def kept(self, folder: str, era: int, commit: int) -> str:
        """Write what was set aside to this machine's disk, beside the work; return what went wrong."""
        values, parameter_hash = self._kept.pop((era, commit))
        try:
            Shelf(rank_folder(folder, self._rank), self._spec.stage.index).put(era, commit, values, parameter_hash)
        except OSError as error:
            return str(error)
        return ""

    def restore(self, folder: str, era: int, commit: int) -> tuple[str, str]:
        """Take over this rank's state from this machine's disk; return (hash of the parameters, what went wrong)."""
        try:
            values, wanted = Shelf(rank_folder(folder, self._rank), self._spec.stage.index).get(era, commit)
            found = self.load_state(values)
        except (ShelfError, ValueError) as error:
            return "", str(error)
        return found, "" if found == wanted else f"commit {commit} has other parameters than were written"

    def load_state(self, state: np.ndarray) -> str:
        """Take over a state of this rank; return the hash of the parameters."""
        with self._lock:
            self._saver.detach()
            self._engine.load_state(state)
            return str(self._engine.parameter_hash())

    def apply(self, average: np.ndarray, clip_factor: float, step: int) -> str:
        """Update the parameters; return their hash."""
        with self._lock:
            self._saver.detach()
            self._engine.apply(average, clip_factor, step)
            return str(self._engine.parameter_hash())

    def save(self, place: tuple[str, int, int], part: int, parts: int) -> None:
        """Begin to write a part of a checkpoint (URL, history, commit) beside the work.

        Several ranks put tensors together in step, so they do it at once; rank 0 writes what comes of it.
        """
        several = self._spec.layout.devices > 1
        with self._lock:
            if self._rank == 0:
                self._saver.begin(place, self._spec.stage.index, part, parts, self._spec.name, copy=several)
            elif several:
                names = {piece.name for piece in part_of(self._engine.state_inventory(), part, parts)}
                for _ in self._engine.named_state(names):
                    pass

    @ray.method(concurrency_group="save")
    def saved(self, history: int, commit: int, part: int) -> bytes | str:
        """The receipt of a part, when it is written; or what went wrong."""
        receipt: bytes | str = self._saver.wait(history, commit, part)
        return receipt

    @ray.method(concurrency_group="save")
    def seal(self, place: tuple[str, int, int], receipts: list[bytes]) -> bytes | str:
        """The receipt of the whole stage; or what is wrong with it."""
        from actors.shard_checkpoint import seal

        try:
            return seal(self._engine, place, self._spec.stage.index, receipts)
        except Exception as error:  # whatever a store's library raises costs the checkpoint, and nothing else
            return str(error) or type(error).__name__

    def fetch(self, place: tuple[str, int, int]) -> tuple[str, str]:
        """Take over the stage's state from a checkpoint; return (hash of the parameters, what went wrong)."""
        from actors.shard_checkpoint import fetch

        spec = self._spec
        try:
            with self._lock:
                self._saver.detach()
                fetch(self._engine, place, spec.stage.index, spec.layout.stages, reads=self._rank == 0)
                return str(self._engine.parameter_hash()), ""
        except StoreError as error:
            return "", f"{STORE_FAILS}: {error}"
        except Exception as error:  # whatever it is, this checkpoint cannot be used here
            return "", str(error) or type(error).__name__

    def inventory(self) -> dict[str, Any]:
        """Return what was ever constructed in this process, for the audit."""
        from sharding import audit

        return {"held": self._engine.inventory(), "constructed": audit.constructed_elements()}

    @ray.method(concurrency_group="aside")
    def process(self) -> int:
        """Return the process id."""
        return os.getpid()

    @ray.method(concurrency_group="aside")
    def slow_down(self, factor: float, seconds: float) -> None:
        """Fault injection: jobs take so many times their time, for so long."""
        self._slow, self._slow_until = factor, time.monotonic() + seconds

    @ray.method(concurrency_group="watch")
    def watch(self) -> None:
        """Never return: the caller learns from the broken call that this process died."""
        threading.Event().wait()
