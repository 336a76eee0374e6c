"""The training loss.

Legend: B batch, T tokens, V vocabulary.
"""

from __future__ import annotations

import torch.nn.functional as functional
from torch import Tensor


def mean_cross_entropy(logits_BTV: Tensor, labels_BT: Tensor) -> Tensor:
    """Return the mean cross-entropy over all B x T tokens in nats, an fp32 scalar; labels are int64 token ids."""
    return functional.cross_entropy(logits_BTV.float().flatten(0, 1), labels_BT.flatten())
