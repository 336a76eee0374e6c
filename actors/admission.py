"""Which tensors a participant expects from whom, decided before they are allocated."""

from __future__ import annotations

from collections.abc import Callable

from actors.averaging.reduce import CHUNK
from actors.spec import ParticipantSpec
from actors.steps.chunks import Cutting
from actors.steps.eras import follows
from actors.steps.messages import Backward, Chunk, Forward, Part, Purpose, Slice
from actors.transport.base import TensorSpec

WIRE_DTYPES = {"fp32": "float32", "bf16": "uint16"}


class Admission:
    """The receiver's policy for tensors.

    Args:
        spec: the own participant.
        stage_of: peer id -> stage that it serves, None for somebody unknown.
    """

    def __init__(self, spec: ParticipantSpec, stage_of: Callable[[str], int | None]) -> None:
        self._spec, self._stage_of = spec, stage_of
        self.gradient_length = 0
        """Elements of the own stage's flat gradient; known once the shards are built."""
        self.state_length = 0
        """Elements of its flat state."""

    def serve(self, spec: ParticipantSpec) -> None:
        """The own stage is another one: its lengths are not known yet."""
        self._spec = spec
        self.gradient_length = self.state_length = 0

    def check(self, peer_id: str, message: object, specs: tuple[TensorSpec, ...], stamp: int) -> str | None:
        """Return why a message with these tensors is not expected, None when it is."""
        stage = self._stage_of(peer_id)
        if stage is None:
            return "the sender serves no stage"
        mine = self._spec.stage.index
        if isinstance(message, Forward | Backward | Slice) and not (
            stamp <= message.stamp <= stamp + 1 or follows(stamp, message.stamp)
        ):
            return "it belongs to a step that is not under way"
        match message:
            case Forward():
                if message.stage != mine or (mine > 0 and stage != mine - 1):
                    return f"an activation for stage {message.stage} from stage {stage}, and this is stage {mine}"
                return self._index(message.index, message.purpose) or self._shape(specs, tokens=mine == 0)
            case Backward():
                if message.stage != mine or stage != mine + 1:
                    return f"a gradient for stage {message.stage} from stage {stage}, and this is stage {mine}"
                return self._index(message.index, Purpose.TRAIN) or self._shape(specs, tokens=False)
            case Slice() | Chunk():
                if stage != mine:
                    return f"values of stage {stage}, and this is stage {mine}"
                return self._part(message, specs)
            case _:
                return None

    def _part(self, message: Slice | Chunk, specs: tuple[TensorSpec, ...]) -> str | None:
        state = isinstance(message, Chunk) and message.part is Part.STATE
        length = self.state_length if state else self.gradient_length
        if len(specs) != 1 or specs[0].dtype != "float32" or len(specs[0].shape) != 1:
            return "a part of a vector has to be one vector of float32"
        size = specs[0].shape[0]
        if isinstance(message, Slice):
            fits = 0 < size <= min(CHUNK, length) and 0 <= message.chunk < max(1, length)
        else:
            fits = size > 0 and size == Cutting(length).elements(message.chunk)
        return None if fits else f"chunk {message.chunk} with {size} elements does not fit a vector of {length}"

    def _index(self, index: int, purpose: Purpose) -> str | None:
        train = self._spec.train
        count = train.microbatches if purpose is Purpose.TRAIN else train.validation_microbatches
        return None if 0 <= index < count else f"there is no {purpose} microbatch {index}"

    def _shape(self, specs: tuple[TensorSpec, ...], *, tokens: bool) -> str | None:
        train, model = self._spec.train, self._spec.model
        batch = (train.microbatch_size, train.sequence)
        expected = TensorSpec("int32", batch) if tokens else TensorSpec(WIRE_DTYPES[model.dtype], (*batch, model.width))
        if specs == (expected,):
            return None
        got = ", ".join(f"{spec.dtype}{list(spec.shape)}" for spec in specs) or "nothing"
        return f"expected {expected.dtype}{list(expected.shape)}, got {got}"
