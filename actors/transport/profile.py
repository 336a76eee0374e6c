"""Named network profiles: all timing of links in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Profile:
    """Timing of links. Seconds throughout."""

    name: str

    ping_s: float
    """A ping goes over the control lane of every link in use this often. Lower: round trips and loss are known sooner;
    higher: less traffic (about 150 bytes a ping and link)."""

    idle_ping_s: float
    """The same for links over which nothing else has passed lately: it keeps routers from forgetting them. A third of
    `silence_s` at most."""

    silence_s: float
    """A peer that sent no byte for this long is lost, though its connections look whole (a stopped process, a pulled
    cable). At least 5 * ping_s; lower convicts a busy machine, higher leaves work waiting on a dead one."""

    redial_s: float
    """A broken link has this long to form again before its peer is lost. At least 3 round trips for TCP, TLS and
    hello; lower turns a router's hiccup into a loss, higher delays repair after a crash."""

    connect_s: float
    """A member whose links never came up within this is lost. Covers the slowest start of a process."""

    handshake_s: float
    """TLS, and then hello, must each be done within this. Higher lets idle strangers hold a slot for longer."""

    dial_s: float = 2.0
    """A gossip connection must form within this, or its message is given up. Four round trips and a busy machine."""


_LAN = Profile(name="lan", ping_s=1.0, idle_ping_s=5.0, silence_s=15.0, redial_s=3.0, connect_s=60.0, handshake_s=10.0)

PROFILES: dict[str, Profile] = {
    "lan": _LAN,
    # One machine with more processes than cores is no faster than a LAN: processes start late and answer late.
    "local": replace(_LAN, name="local"),
    # Homes: round trips up to 300 ms, routers that drop for seconds, starts that wait for a download.
    "wan": replace(
        _LAN,
        name="wan",
        ping_s=2.0,
        idle_ping_s=8.0,
        silence_s=25.0,
        redial_s=8.0,
        connect_s=90.0,
        handshake_s=20.0,
        dial_s=5.0,
    ),
}
