"""Which tokens make which sample, and which samples are held out.

The stream of tokens is cut into windows of T + 1 tokens with stride T: window i reads tokens iT .. iT + T - 1 and
predicts iT + 1 .. iT + T, so every token is predicted once. Fewer than T tokens at the end stay unused.

Held out are whole blocks of neighbouring windows, scattered over the corpus, so that the validation loss is about the
same kind of text as the training loss. Neighbouring windows share a token (the last target of one is the first input
of the next). To share none with training, a held-out block of W windows is cut anew one token later, which leaves
room for W - 1 windows.

Which blocks are held out depends on the number of tokens, T and the share, not on the run's seed: runs with different
seeds can be compared, and a run that goes on under another seed does not train on what it was validated with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from orchestrator.data.errors import DataError
from orchestrator.data.permutation import Permutation

_MOST_BLOCKS = 1024
_MOST_HELD_OUT = 0.5


@dataclass(frozen=True)
class Windows:
    """Where the windows of one corpus start. Every window is `sequence` + 1 tokens long."""

    sequence: int
    """T."""
    train: int
    """Windows to train on."""
    validation: int
    """Windows held out."""
    block: int
    """Windows of one held-out block, W."""
    held: tuple[int, ...]
    """Numbers of the held-out blocks, ascending; block k covers windows kW .. kW + W - 1."""
    train_before: npt.NDArray[np.int64]
    """For every held-out block, the number of training windows before it."""

    def train_start(self, window: int) -> int:
        """Return the first token of training window `window`, counted from 0 in the order of the corpus."""
        assert 0 <= window < self.train, (window, self.train)
        held_before = int(np.searchsorted(self.train_before, window, side="right"))
        return (window + held_before * self.block) * self.sequence

    def validation_start(self, window: int) -> int:
        """Return the first token of held-out window `window`, counted from 0 in the order of the corpus."""
        assert 0 <= window < self.validation, (window, self.validation)
        number, inside = divmod(window, self.block - 1)
        return (self.held[number] * self.block + inside) * self.sequence + 1


def plan_windows(tokens: int, sequence: int, holdout: float, source: str) -> Windows:
    """Split `tokens` tokens of `source` into windows of T = `sequence`, with a share `holdout` of them held out.

    At least one window is held out unless the share is 0. Raises DataError for a share outside [0, 0.5], for T < 2,
    and for a corpus too short to leave a window on either side.
    """
    _check(sequence, holdout)
    total = (tokens - 1) // sequence
    wanted = max(1, int(total * holdout)) if holdout else 0
    blocks = min(_MOST_BLOCKS, math.isqrt(wanted))
    block = wanted // blocks + 1 if blocks else 0
    train = total - blocks * block
    if train < 1:
        needed = (3 if holdout else 1) * sequence + 1
        raise DataError(
            f"data.source '{source}' has {max(tokens, 0)} tokens, too few for a window of train.sequence + 1 = "
            f"{sequence + 1} tokens to train on{' and one to hold out' if holdout else ''}: use a corpus of at least "
            f"{needed} tokens or a smaller train.sequence."
        )
    held = _held_blocks(total // block, blocks) if blocks else ()
    before = np.array([(number - rank) * block for rank, number in enumerate(held)], dtype=np.int64)
    return Windows(sequence, train, blocks * (block - 1), block, held, before)


def _held_blocks(of: int, blocks: int) -> tuple[int, ...]:
    scattered = Permutation(of, "holdout")
    return tuple(sorted(scattered(position) for position in range(blocks)))


def _check(sequence: int, holdout: float) -> None:
    if not 0 <= holdout <= _MOST_HELD_OUT:
        raise DataError(
            f"data.holdout {holdout} is outside [0, {_MOST_HELD_OUT}]; it is the share of windows to validate on."
        )
    if sequence < 2:
        raise DataError(f"train.sequence {sequence} is too short; a sample needs at least 2 tokens.")
