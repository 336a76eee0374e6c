"""What can go wrong with a checkpoint. Every message is one sentence for a person.

CheckpointError (a ValueError)
 ├── StoreError           the store cannot be reached, refuses, or is full, also after repeats
 ├── DamagedError         what is there is not what was written: names the file, and its stage and part
 ├── IncompatibleError    the checkpoint is whole, and does not have the tensor that is asked for
 ├── IncompleteError      a commit or a seal was asked for before everything was written
 └── NoCheckpointError    there is none that could be used
"""

from __future__ import annotations

STORE_FAILS = "the store fails"
"""How the reason begins when nothing is known to be wrong with a checkpoint."""


class CheckpointError(ValueError):
    """Any of those below."""


class StoreError(CheckpointError):
    """The store cannot be reached, refuses, or is full, also after repeats."""


class DamagedError(CheckpointError):
    """What is there is not what was written."""

    def __init__(self, file: str, what: str) -> None:
        super().__init__(f"{file} {what}.")
        self.file, self.what = file, what
        """Path below the store's root (it names stage and part), and what is wrong with it."""


class IncompatibleError(CheckpointError):
    """The checkpoint is whole, and does not have the tensor that is asked for."""


class IncompleteError(CheckpointError):
    """A commit or a seal was asked for before everything was written."""


class NoCheckpointError(CheckpointError):
    """There is none that could be used."""
