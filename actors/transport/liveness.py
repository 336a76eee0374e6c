"""When is a peer lost? Pure arithmetic over times that are handed in.

A peer whose connections broke and whose machine refuses new ones is lost at once: its process is not there. Otherwise
three clocks run: since the link was wanted and never formed, since it broke, and since the peer was last heard. A
stall of our own event loop is added to all of them: a process that was not running cannot accuse others of silence.
"""

from __future__ import annotations

import math

from actors.transport.profile import Profile

TOGETHER_S = 1.0
"""A refusal may be noticed by so much earlier than the break that belongs to it."""


class Liveness:
    """What one participant knows about one link's health. Times are seconds of any one clock."""

    def __init__(self, profile: Profile, now: float) -> None:
        self._profile = profile
        self._wanted_at = now
        self._broken_at: float | None = None
        self._heard_at = now
        self._refused_at = -math.inf
        self.up = False
        """Both lanes work."""
        self.lost = False
        """The owner was told so; cleared when the link forms again."""

    def formed(self, now: float) -> None:
        """Both lanes work (again)."""
        self.up, self.lost, self._broken_at, self._heard_at = True, False, None, now

    def broke(self, now: float) -> None:
        """A lane is gone; the clock starts at the first of several breaks."""
        if self.up:
            self.up, self._broken_at = False, now

    def heard(self, now: float) -> None:
        """Bytes came from the peer."""
        self._heard_at = now

    def refused(self, now: float) -> None:
        """Nobody listens at the peer's address."""
        self._refused_at = now

    def declared_lost(self) -> None:
        """The owner was told."""
        self.up, self.lost, self._broken_at = False, True, None

    def excuse(self, stall: float) -> None:
        """We did not run for so long: nobody else is to blame for it."""
        self._wanted_at += stall
        self._heard_at += stall
        if self._broken_at is not None:
            self._broken_at += stall

    def verdict(self, now: float) -> str | None:
        """Why the peer is lost, or None while there is hope (or it was declared lost before)."""
        profile = self._profile
        if self.lost:
            return None
        if self.up:
            silent = now - self._heard_at
            return f"silent for {silent:.1f} s" if silent > profile.silence_s else None
        if self._broken_at is not None:
            if self._refused_at > self._broken_at - TOGETHER_S:
                return "its connections broke, and its machine refuses new ones"
            gone = now - self._broken_at
            return f"connection broke, and did not form again within {gone:.1f} s" if gone > profile.redial_s else None
        waited = now - self._wanted_at
        return f"never connected within {waited:.1f} s" if waited > profile.connect_s else None
