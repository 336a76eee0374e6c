"""For all tests: what must be so before anything is imported."""

from __future__ import annotations

from orchestrator.ray_keeper import use_token

use_token()  # Ray reads its token when it is imported, and some test modules import it
