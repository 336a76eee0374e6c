"""The seam through which a participant gets its tokens.

`actors` does not know corpora: the launcher hands every participant an opener, and the participant calls it in its own
process (reading and tokenising happen there, once, from a shared cache).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]


class TokenSource(Protocol):
    """Microbatch index -> samples, as a pure function of the run config."""

    @property
    def fingerprint(self) -> str:
        """Hash of corpus and tokenizer."""

    def microbatch(self, step: int, index: int) -> Int32:
        """Return token ids of shape [B, T + 1] for training microbatch `index` of `step`."""

    def validation(self, index: int) -> Int32:
        """Return token ids of shape [B, T + 1] for held-out microbatch `index`."""


class TokenSourceOpener(Protocol):
    """Opens the run's corpus in the calling process. Must be picklable by reference."""

    def __call__(self) -> TokenSource:
        """Raise ValueError with one clear sentence when the source cannot be used."""
