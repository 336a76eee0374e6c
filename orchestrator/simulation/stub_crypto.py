"""Signatures for simulated worlds: keyed hashes, so a forged statement is still refused, at a tenth of the cost."""

from __future__ import annotations

import hashlib

CREDENTIAL = 423
"""Bytes of a real certificate, so that counted bytes are honest."""


class StubCrypto:
    """Implements `statements.Crypto`. Everyone of a world who was registered has a secret and a certificate.

    Args:
        secrets: peer id -> secret, shared by the world.
        me: who signs.
    """

    def __init__(self, secrets: dict[str, bytes], me: str) -> None:
        self._secrets, self._me = secrets, me

    @property
    def credential(self) -> bytes:
        """The own certificate."""
        return credential_of(self._me)

    def owner_signed(self, body: bytes, signature: bytes) -> bool:
        """Whether the owner signed it: a secret of the world, under the empty name."""
        return "" in self._secrets and _tag(self._secrets[""], body) == signature

    def sign(self, body: bytes) -> bytes:
        """64 bytes."""
        return _tag(self._secrets[self._me], body)

    def verify(self, peer_id: str, body: bytes, signature: bytes) -> bool:
        """Whether that peer signed it."""
        secret = self._secrets.get(peer_id)
        return secret is not None and _tag(secret, body) == signature

    def certified(self, peer_id: str, credential: bytes) -> bool:
        """Whether the credential is that peer's."""
        return peer_id in self._secrets and credential == credential_of(peer_id)


def credential_of(peer_id: str) -> bytes:
    """A certificate's stand-in, as long as a real one."""
    return (bytes.fromhex(peer_id) * (CREDENTIAL // 32 + 1))[:CREDENTIAL]


def _tag(secret: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(body, key=secret, digest_size=64).digest()
