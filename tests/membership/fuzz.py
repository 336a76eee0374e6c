"""Hostile bytes for the membership core: real messages of a small mesh, mutated by a seed.

python -m tests.membership.fuzz --messages 1000000 --seed 1

Looked for: an exception, growth of memory, and any belief that no member ever signed.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
from pathlib import Path
from typing import Any

import msgpack

from actors.membership.events import Leave, Received, Send, Tick, Update
from actors.membership.messages import Message, decode, encode
from actors.membership.probe import MOST_RELAYS
from actors.membership.statements import Evidence, Notary, RefusedError, Verdict
from tests.membership.helpers import RUN, Table

MEMBERS = 8
KEPT = 400
"""Real messages that mutations begin from."""
_NUMBERS = (0, 1, -1, 2, 31, 127, 128, 255, 1 << 31, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, (1 << 64) - 1)


class Fuzz:
    """One core, called `target`, that gets bytes from peers that the links have authenticated."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.accepted = self.refused = self.changes = 0
        self.table = Table(MEMBERS, seed=seed)
        self.pool = self._real_messages()
        self.target = self.table.cores[0]
        self.peers = [*self.table.numbers, self.rng.randbytes(32).hex()]
        self.now = self.table.now

    def _real_messages(self) -> list[bytes]:
        """What members say while one is silent, comes back, changes its record, and one leaves."""
        seen: list[bytes] = []

        def keep(message: Message) -> bool:
            seen.append(encode(message))
            return True

        table = self.table
        table.run(2, keep)
        table.silent.add(3)
        table.run(12, keep)
        table.silent.clear()
        table.give(2, Update({"throughput": 5.0}))
        table.run(8, keep)
        table.give(7, Leave())
        table.run(3, keep)
        self.rng.shuffle(seen)
        kinds: dict[int, list[bytes]] = {}
        for data in seen:
            kinds.setdefault(data[1], []).append(data)
        share = max(1, KEPT // len(kinds))
        return [data for group in kinds.values() for data in group[:share]]

    # --- mutations -----------------------------------------------------------------------------------------------

    def bytes_of(self) -> bytes:
        """The next message."""
        rng = self.rng
        data = rng.choice(self.pool)
        kind = rng.randrange(10)
        if kind == 0:
            return rng.randbytes(rng.randrange(200))
        if kind < 4:
            return self._flip(data)
        if kind < 8:
            return self._rewrite(data)
        if kind == 8:
            other = rng.choice(self.pool)
            return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]
        return data

    def _flip(self, data: bytes) -> bytes:
        rng, changed = self.rng, bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 8))):
            place = rng.randrange(len(changed))
            action = rng.randrange(4)
            if action == 0:
                changed[place] ^= 1 << rng.randrange(8)
            elif action == 1:
                changed[place] = rng.randrange(256)
            elif action == 2 and len(changed) > 1:
                del changed[place]
            else:
                changed.insert(place, rng.randrange(256))
        return bytes(changed)

    def _rewrite(self, data: bytes) -> bytes:
        """Well-formed, with other values: numbers, identities, statements."""
        values: list[Any] = msgpack.unpackb(data)
        place = self.rng.randrange(len(values))
        values[place] = self._other(values[place])
        packed: bytes = msgpack.packb(values)
        return packed

    def _other(self, value: Any) -> Any:
        rng = self.rng
        if rng.random() < 0.1:
            return rng.choice((None, "x", 1.5, [], [[]], True, b""))
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return rng.choice((*_NUMBERS, value + 1, max(0, value - 1)))
        if isinstance(value, bytes):
            return self._flip(value) if value and rng.random() < 0.7 else value * rng.randrange(3)
        if isinstance(value, list):
            return self._statements(value)
        return value

    def _statements(self, wires: list[bytes]) -> list[bytes]:
        """Statements of others, forged, cut, repeated."""
        rng = self.rng
        makers = (self._true, self._forged, self._spliced, self._nonsense)
        made = [rng.choice(makers)() for _ in range(rng.randrange(1, 4))]
        return [*wires, *made] * rng.choice((1, 1, 1, 2, 30))

    def _true(self) -> bytes:
        """What a member may well say: a newer record, an accusation, a verdict."""
        rng, table = self.rng, self.table
        about, signer = rng.sample(range(MEMBERS), 2)
        subject = self.target.records[table.peer(about)]
        incarnation = subject.incarnation + rng.choice((-1, 0, 0, 1, 1))
        if rng.random() < 0.5 and incarnation >= 0:
            return table.notary(about).record(table.cores[about]._card, 1, incarnation).wire
        verdict, evidence = rng.choice(list(Verdict)), rng.choice(list(Evidence))
        incarnation = max(0, incarnation)
        return table.notary(signer).accusation(subject.peer_id, incarnation, verdict, evidence, table.peer(signer)).wire

    def _forged(self) -> bytes:
        """A member signs something in somebody else's name."""
        rng, table = self.rng, self.table
        signer, victim = rng.sample(range(MEMBERS), 2)
        notary: Notary = table.notary(signer)
        incarnation = rng.choice(_NUMBERS[3:9])
        if rng.random() < 0.5:
            return notary.record(table.cores[victim]._card, 1, incarnation).wire
        about, verdict = table.peer(rng.randrange(MEMBERS)), rng.choice(list(Verdict))
        return notary.accusation(about, incarnation, verdict, Evidence.SILENT, table.peer(victim)).wire

    def _spliced(self) -> bytes:
        """The signature of one statement under the body of another."""
        parts = [msgpack.unpackb(self.rng.choice(self.table.cores).record.wire) for _ in range(2)]
        parts[0][2] = parts[1][2]
        packed: bytes = msgpack.packb(parts[0])
        return packed

    def _nonsense(self) -> bytes:
        return self.rng.randbytes(self.rng.choice((0, 5, 100, 4096, 4097)))

    # --- running -------------------------------------------------------------------------------------------------

    def one(self) -> None:
        """Give one message, and look at what it changed."""
        data, before = self.bytes_of(), self._beliefs()
        self.now += self.rng.random() * 0.01
        try:
            message = decode(data)
        except RefusedError:
            self.refused += 1
        else:
            self.accepted += 1
            self._handle(Received(self.rng.choice(self.peers), message))
            if self._beliefs() != before:
                self.changes += 1
                self.check(data)
        if self.target.next_deadline() <= self.now:
            self._handle(Tick())

    def _handle(self, event: Any) -> None:
        for effect in self.target.handle(self.now, event):
            if isinstance(effect, Send) and self.rng.random() < 0.01:
                encode(effect.message)

    def _beliefs(self) -> tuple[object, ...]:
        core = self.target
        return core.view_hash, len(core.records), len(core.gone), len(core.suspicions), core.record.incarnation

    def check(self, data: bytes = b"") -> None:
        """All that the target believes was signed by whom it is attributed to."""
        core = self.target
        wires = [record.wire for record in core.records.values()]
        wires += [gone.accusation.wire for gone in core.gone.values() if gone.accusation is not None]
        wires += [suspicion.accusation.wire for suspicion in core.suspicions.values()]
        for wire in wires:
            if not self._signed(wire):
                raise AssertionError(f"the core believes what nobody signed, after {data.hex()}")
        self._bounds()

    def _signed(self, wire: bytes) -> bool:
        """Whether the one in whose name it speaks signed it; worked out without the core's own code."""
        kind, body, signature, *_ = msgpack.unpackb(wire)
        speaker = msgpack.unpackb(body)[0 if kind == 1 else 4].hex()
        domain = hashlib.blake2b(f"tessera {RUN}".encode(), digest_size=16).digest()
        tag = hashlib.blake2b(domain + body, key=self.table.secrets[speaker], digest_size=64).digest()
        return bool(tag == signature)

    def _bounds(self) -> None:
        core: Any = self.target
        context, prober, pushpull = core._context, core._prober, core._pushpull
        sizes = {
            "records": (len(core.records), MEMBERS),
            "broadcasts": (len(context.broadcasts), MEMBERS * (MEMBERS + 1)),
            "relayed": (len(prober._relayed), MOST_RELAYS),
            "probes": (len(prober._probes), MEMBERS + 1),
            "views": (len(pushpull.views), MEMBERS),
            "differs": (len(pushpull._differs), MEMBERS),
            "reasons": (len(context.refused), 10),
            "cache": (len(context.notary.cache), 4096),
            "ring": (len(prober._ring), 4 * MEMBERS),
        }
        over = {name: size for name, (size, most) in sizes.items() if size > most}
        assert not over, f"grown beyond bounds: {over}"


def resident_mib() -> float:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / (1 << 20)


def main() -> int:
    """Fuzz, and say what was seen."""
    parser = argparse.ArgumentParser(description="Mutated messages for the membership core.")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    fuzz, began, early = Fuzz(given.seed), time.monotonic(), 0.0
    for number in range(given.messages):
        fuzz.one()
        if number == given.messages // 10:
            early = resident_mib()
    fuzz.check()
    grown = resident_mib() - early
    sys.stdout.write(
        f"{given.messages} messages in {time.monotonic() - began:.0f} s: {fuzz.refused} refused as a whole, "
        f"{fuzz.accepted} taken, {fuzz.changes} changed a belief, all of them signed; memory grew by {grown:.1f} MiB "
        f"in the last nine tenths; statements refused: {dict(fuzz.target.refused)}\n"
    )
    return 0 if grown < 16 else 1


if __name__ == "__main__":
    sys.exit(main())
