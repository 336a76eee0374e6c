"""Where a participant keeps what has to outlive its process: key, certificate, addresses of the mesh."""

from __future__ import annotations

import os
from pathlib import Path

from actors.spec import ParticipantSpec


def state_folder() -> Path:
    """Tessera's folder for this user's state, on this machine."""
    return Path(os.environ.get("XDG_STATE_HOME", "~/.local/state")).expanduser() / "tessera"


def owner_folder(run_id: str) -> Path:
    """Where the key of the owner of a run is kept that was started on this machine."""
    return state_folder() / "owners" / run_id


def folder_of(spec: ParticipantSpec) -> Path:
    """The participant's folder: the one that it was given, or one of its own."""
    if spec.folder:
        return Path(spec.folder)
    folder = state_folder() / "participants" / spec.run_id / spec.name
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
