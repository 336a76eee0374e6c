"""What members say about themselves and about others: signed records and signed accusations.

A statement is kept with the very bytes that were signed, and is passed on as it came. Only its subject can make a
record; an accusation names its accuser. `Notary` turns bytes from anybody into statements, or refuses them.
"""

from __future__ import annotations

import enum
import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgpack

MAX_STATEMENT = 4096
"""Bytes of one statement on the wire."""
MAX_CREDENTIAL = 2048
MAX_NAME = 64
MAX_VERSION = 32
MAX_ADDRESSES = 8
MAX_ADDRESS = 256
_NUMBER = 1 << 62
_CACHE = 4096
_RECORD, _ACCUSATION = 1, 2


class RefusedError(ValueError):
    """A statement or message from a peer that changes nothing.

    Attributes:
        reason: a short word, the key under which it is counted.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class State(enum.IntEnum):
    """What a member says about itself. Suspect and dead are said by others."""

    JOINING = 0
    ACTIVE = 1
    DRAINING = 2
    LEFT = 3


class Verdict(enum.IntEnum):
    """What one member says about another."""

    SUSPECT = 0
    DEAD = 1


class Evidence(enum.IntEnum):
    """Why."""

    SILENT = 0
    """No answer, neither directly nor through others."""
    REFUSED = 1
    """Its machine refused the connection: the process is not there."""


@dataclass(frozen=True, slots=True)
class Record:
    """A member about itself. `wire` is the signed form; all else is what it says."""

    peer_id: str
    """Hex of the raw Ed25519 public key."""
    name: str
    stage: int
    """The stage that it serves; -1 for none."""
    addresses: tuple[str, ...]
    """Where it can be reached, best first, each `kind:rest`; known kinds: `tcp:host:port`."""
    capacity: int
    """Bytes of memory that it offers to shards."""
    throughput: float
    """Measured tokens/s of its shards."""
    life: int
    """The incarnation with which its process began: (peer_id, life) names one process."""
    incarnation: int
    """Raised by every new record: of two records of one member the higher one holds."""
    state: State
    version: str
    """Of its software."""
    wire: bytes = field(repr=False)
    """With the signature and the credential, the certificate that the run's owner issued."""
    digest: int = field(repr=False)
    """64 bits of the signed body; the view hash is made of them."""


@dataclass(frozen=True, slots=True)
class Accusation:
    """One member about another: it does not answer, or is gone."""

    subject: str
    incarnation: int
    """Of the subject, as the accuser knew it; a higher one refutes."""
    verdict: Verdict
    evidence: Evidence
    accuser: str
    wire: bytes = field(repr=False)


Statement = Record | Accusation


class Crypto(Protocol):
    """Signatures and certificates, handed in so that worlds of thousands can do without arithmetic."""

    def sign(self, body: bytes) -> bytes:
        """The own signature of `body`, at most 64 bytes."""

    def verify(self, peer_id: str, body: bytes, signature: bytes) -> bool:
        """Whether that peer signed `body`."""

    def certified(self, peer_id: str, credential: bytes) -> bool:
        """Whether `credential` is a valid certificate of the run's owner for that peer's key."""


@dataclass(frozen=True)
class Card:
    """What a member says about itself apart from numbers that only count up."""

    peer_id: str
    name: str
    stage: int = -1
    addresses: tuple[str, ...] = ()
    capacity: int = 0
    throughput: float = 0.0
    state: State = State.JOINING
    version: str = ""


class Notary:
    """Makes and opens statements of one run. The cache may be shared by all members of a simulated world."""

    def __init__(self, run_id: str, crypto: Crypto, credential: bytes) -> None:
        self._domain = hashlib.blake2b(f"tessera {run_id}".encode(), digest_size=16).digest()
        self._crypto = crypto
        self._credential = credential
        self.cache: OrderedDict[bytes, Statement] = OrderedDict()

    def record(self, card: Card, life: int, incarnation: int) -> Record:
        """Sign what a member says about itself."""
        values = [
            bytes.fromhex(card.peer_id),
            card.name[:MAX_NAME],
            card.stage,
            list(card.addresses[:MAX_ADDRESSES]),
            card.capacity,
            float(card.throughput),
            life,
            incarnation,
            int(card.state),
            card.version[:MAX_VERSION],
        ]
        body: bytes = msgpack.packb(values)
        signature = self._crypto.sign(self._domain + body)
        return _read_record(body, signature, self._credential)

    def accusation(self, subject: str, incarnation: int, verdict: Verdict, evidence: Evidence, me: str) -> Accusation:
        """Sign what a member says about another one."""
        ids = bytes.fromhex(subject), bytes.fromhex(me)
        body: bytes = msgpack.packb([ids[0], incarnation, int(verdict), int(evidence), ids[1]])
        signature = self._crypto.sign(self._domain + body)
        return Accusation(subject, incarnation, verdict, evidence, me, msgpack.packb([_ACCUSATION, body, signature]))

    def open(self, wire: bytes) -> Statement:
        """Read and verify a statement. Raises RefusedError."""
        known = self.cache.get(wire)
        if known is None:
            known = self._open(wire)
            self.cache[wire] = known
            if len(self.cache) > _CACHE:
                self.cache.popitem(last=False)
        return known

    def _open(self, wire: bytes) -> Statement:
        if len(wire) > MAX_STATEMENT:
            raise RefusedError("oversized", f"a statement of {len(wire)} bytes, at most {MAX_STATEMENT}")
        parts = unpack_list(wire)
        if len(parts) == 4 and parts[0] == _RECORD:
            body, signature, credential = _typed(parts[1:], bytes, bytes, bytes)
            record = _read_record(body, signature, credential)
            if not self._crypto.certified(record.peer_id, credential):
                raise RefusedError("uncertified", f"{record.name!r} has no certificate of this run's owner")
            self._check(record.peer_id, body, signature)
            return record
        if len(parts) == 3 and parts[0] == _ACCUSATION:
            body, signature = _typed(parts[1:], bytes, bytes)
            accusation = _read_accusation(body, wire)
            self._check(accusation.accuser, body, signature)
            return accusation
        raise RefusedError("malformed", "neither a record nor an accusation")

    def _check(self, signer: str, body: bytes, signature: bytes) -> None:
        if not self._crypto.verify(signer, self._domain + body, signature):
            raise RefusedError("bad-signature", f"not signed by {signer[:8]}")


def unpack_list(data: bytes) -> list[Any]:
    """The array in msgpack bytes. Raises RefusedError for anything else."""
    size = len(data)
    try:
        plain = msgpack.unpackb(
            data,
            raw=False,
            max_str_len=min(size, MAX_ADDRESS),
            max_bin_len=size,
            max_array_len=min(size, 65536),
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise RefusedError("malformed", f"{type(error).__name__}: {str(error)[:80]}") from None
    if type(plain) is not list:
        raise RefusedError("malformed", f"expected an array, got {type(plain).__name__}")
    return plain


def _typed(values: list[Any], *types: type) -> list[Any]:
    if len(values) != len(types) or any(type(value) is not kind for value, kind in zip(values, types, strict=True)):
        raise RefusedError("malformed", "a field has the wrong type")
    return values


def _number(value: int, what: str, lowest: int = 0) -> int:
    if not lowest <= value < _NUMBER:
        raise RefusedError("malformed", f"{what} {value} is out of range")
    return value


def _identity(raw: bytes) -> str:
    if len(raw) != 32:
        raise RefusedError("malformed", f"a key of {len(raw)} bytes")
    return raw.hex()


def _read_record(body: bytes, signature: bytes, credential: bytes) -> Record:
    key, name, stage, addresses, capacity, throughput, life, incarnation, state, version = _typed(
        unpack_list(body), bytes, str, int, list, int, float, int, int, int, str
    )
    if len(name) > MAX_NAME or len(version) > MAX_VERSION or len(credential) > MAX_CREDENTIAL:
        raise RefusedError("oversized", "name, version or certificate of a record is too long")
    if len(addresses) > MAX_ADDRESSES or any(type(one) is not str or len(one) > MAX_ADDRESS for one in addresses):
        raise RefusedError("malformed", "the addresses of a record")
    if not 0.0 <= throughput < 1e18 or not 0 <= state <= State.LEFT:
        raise RefusedError("malformed", "throughput or state of a record")
    return Record(
        peer_id=_identity(key),
        name=name,
        stage=_number(stage, "stage", -1),
        addresses=tuple(addresses),
        capacity=_number(capacity, "capacity"),
        throughput=throughput,
        life=_number(life, "life"),
        incarnation=_number(incarnation, "incarnation"),
        state=State(state),
        version=version,
        wire=msgpack.packb([_RECORD, body, signature, credential]),
        digest=int.from_bytes(hashlib.blake2b(body, digest_size=8).digest(), "big"),
    )


def _read_accusation(body: bytes, wire: bytes) -> Accusation:
    subject, incarnation, verdict, evidence, accuser = _typed(unpack_list(body), bytes, int, int, int, bytes)
    if verdict not in (0, 1) or evidence not in (0, 1):
        raise RefusedError("malformed", "verdict or evidence of an accusation")
    return Accusation(
        _identity(subject),
        _number(incarnation, "incarnation"),
        Verdict(verdict),
        Evidence(evidence),
        _identity(accuser),
        wire,
    )
