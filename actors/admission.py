"""Which tensors a participant expects from whom, decided before they are allocated."""

from __future__ import annotations

from actors.averaging.reduce import chunk_length
from actors.membership.roster import Roster
from actors.spec import ParticipantSpec
from actors.steps.messages import Backward, Forward, Purpose, Slice
from actors.transport.base import TensorSpec

WIRE_DTYPES = {"fp32": "float32", "bf16": "uint16"}


class Admission:
    """The receiver's policy for tensors."""

    def __init__(self, spec: ParticipantSpec) -> None:
        self._spec = spec
        self._roster = Roster(())
        self.gradient_length = 0
        """Elements of the own stage's flat gradient; known once the shards are built."""

    def open(self, roster: Roster) -> None:
        """Take the members."""
        self._roster = roster

    def check(self, peer_id: str, message: object, specs: tuple[TensorSpec, ...], step: int) -> str | None:
        """Return why a message with these tensors is not expected, None when it is."""
        sender = self._roster.member(peer_id)
        if sender is None:
            return "the sender is no member"
        mine = self._spec.stage.index
        if isinstance(message, Forward | Backward | Slice) and not step <= message.step <= step + 1:
            return f"step {message.step} while step {step} is under way"
        match message:
            case Forward():
                if message.stage != mine or (mine > 0 and sender.stage != mine - 1):
                    return (
                        f"an activation for stage {message.stage} from stage {sender.stage}, and this is stage {mine}"
                    )
                return self._index(message.index, message.purpose) or self._shape(specs, tokens=mine == 0)
            case Backward():
                if message.stage != mine or sender.stage != mine + 1:
                    return f"a gradient for stage {message.stage} from stage {sender.stage}, and this is stage {mine}"
                return self._index(message.index, Purpose.TRAIN) or self._shape(specs, tokens=False)
            case Slice():
                if sender.stage != mine:
                    return f"a slice of the gradient of stage {sender.stage}, and this is stage {mine}"
                replicas = len(self._roster.replicas(mine))
                length = chunk_length(self.gradient_length, replicas, message.chunk)
                fits = length is not None and specs == (TensorSpec("float32", (length,)),)
                return None if fits else f"chunk {message.chunk} of the gradient has another shape"
            case _:
                return None

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
