"""How a participant meets the others."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class MeshConfig:
    """Where participants listen, who they are, and the one timing knob."""

    profile: str = "local"
    """Network profile that sets all timing: local, lan or wan."""
    host: str = "127.0.0.1"
    """Address that participants bind; `auto` takes the address of the Ray node."""
    bundle: str = ""
    """Folder made by `orchestrator invite`: roster, certificates and keys. Empty: the launcher makes them."""
    participants: list[str] = field(default_factory=list)
    """With a bundle: names of the participants that this site hosts. Empty: all of them."""
    spot: str = "none"
    """Whether this machine is a spot instance of aws, gcp or azure: its participants leave when the cloud says that it
    takes it back."""
    spot_url: str = ""
    """Address of the metadata service, where it is not the usual one."""
