"""What outlives a mesh process: its incarnation, and where to find others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from actors.membership.profile import MEMBERSHIP_PROFILES
from actors.membership.statements import Card, Notary, State
from actors.mesh import FILE, Mesh, read_saved
from orchestrator.simulation.stub_crypto import StubCrypto, credential_of

PEERS = [f"{number:02x}" * 32 for number in range(3)]
SECRETS = {peer: peer.encode()[:32] for peer in PEERS}


class Bridge:
    """Links of one member to all others of the loop."""

    def __init__(self, peer: str, everybody: dict[str, Mesh]) -> None:
        self._peer, self._everybody = peer, everybody

    def send(self, peer_id: str, addresses: tuple[str, ...], data: bytes) -> None:
        if peer_id in self._everybody:
            asyncio.get_running_loop().call_soon(self._everybody[peer_id].on_gossip, self._peer, data)

    def contact(self, address: str, data: bytes) -> None:
        self.send(PEERS[int(address.rpartition(":")[2])], (), data)


def mesh(number: int, folder: Path, everybody: dict[str, Mesh], changed: Callable[[str, str], None]) -> Mesh:
    peer = PEERS[number]
    folder.mkdir(exist_ok=True)
    everybody[peer] = Mesh(
        Card(peer, f"n{number}", 0, (f"tcp:home:{number}",), state=State.ACTIVE),
        Notary("run", StubCrypto(SECRETS, peer), credential_of(peer)),
        MEMBERSHIP_PROFILES["local"],
        Bridge(peer, everybody),
        folder,
        changed,
        lambda kind, detail: None,
    )
    return everybody[peer]


def test_who_is_killed_as_soon_as_it_has_found_others_finds_them_again(tmp_path: Path) -> None:
    async def run() -> None:
        everybody: dict[str, Mesh] = {}
        found = asyncio.Event()
        first = mesh(0, tmp_path / "a", everybody, lambda peer, what: None)
        second = mesh(1, tmp_path / "b", everybody, lambda peer, what: found.set())
        second.join(("tcp:home:0",))
        await asyncio.wait_for(found.wait(), 10)
        assert read_saved(tmp_path / "b").addresses == ["tcp:home:0"]
        del everybody[PEERS[1]]  # killed: it says and keeps nothing any more
        again = mesh(1, tmp_path / "b", everybody, lambda peer, what: None)
        again.join(())
        async with asyncio.timeout(10):
            while PEERS[0] not in again.core.live:
                again.changed.clear()
                await again.changed.wait()
        assert again.life > second.life
        for one in (first, second, again):
            one.close()

    asyncio.run(run())


def test_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    for text in ("", "{", '{"incarnation": "x", "addresses": []}', '{"incarnation": 3}', "[]", "\x00"):
        (tmp_path / FILE).write_text(text)
        saved = read_saved(tmp_path)
        assert (saved.incarnation, saved.addresses) == (0, [])
