"""Does the mesh look cut? Many who fall silent together are more likely beyond a broken link than all dead."""

from __future__ import annotations

from collections import deque

from actors.membership.context import Context
from actors.membership.statements import Evidence

_SHARE = 0.2


class PartitionWatch:
    """Collects silent deaths; says when they look like a partition, and when it is over."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._silent: deque[tuple[float, str]] = deque(maxlen=1024)
        self._since = 0.0
        self.beyond: set[str] = set()
        """Members that are probably behind a cut; empty when the mesh looks whole."""

    def dead(self, peer: str, evidence: Evidence) -> None:
        """A member was judged dead."""
        context, profile = self._context, self._context.profile
        if evidence is Evidence.REFUSED:
            return
        self._silent.append((context.now, peer))
        window = profile.probe_s * 2 + profile.suspicion_s * profile.suspicion_max
        together = {one for when, one in self._silent if context.now - when <= window and one in context.table.gone}
        before = context.members + len(together)
        if self.beyond:
            self.beyond.add(peer)
        elif len(together) >= max(2, _SHARE * before):
            self.beyond = together
            self._since = context.now
            context.note(
                "partition",
                "",
                f"{len(together)} of {before} members fell silent together ({self._names()}): the mesh is probably "
                f"cut; {context.members} are on this side, and the others are tried again",
            )

    def back(self, peer: str) -> None:
        """A member is in the view again."""
        if peer in self.beyond:
            self.beyond.discard(peer)
            if not self.beyond:
                seconds = self._context.now - self._since
                self._context.note(
                    "healed", "", f"everyone beyond the cut is back, {seconds:.0f} s after it was noticed"
                )

    def forget(self, peer: str) -> None:
        """It left, or was forgotten."""
        self.beyond.discard(peer)

    def _names(self) -> str:
        names = sorted(self._context.named(peer) for peer in self.beyond)
        return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
