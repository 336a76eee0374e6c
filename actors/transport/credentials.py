"""Signatures and certificates of the membership's statements: Ed25519, against the run's authority."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import NameOID

from actors.transport.errors import IdentityError
from actors.transport.identity import Identity

_REMEMBERED = 4096


class RunCrypto:
    """Implements `membership.statements.Crypto` for one identity of one run.

    Raises IdentityError when the identity has no certificate yet.
    """

    def __init__(self, identity: Identity, run_id: str) -> None:
        if not identity.has_certificate:
            raise IdentityError(f"{identity.folder} has no certificate yet; install the owner's invitation first")
        own = x509.load_pem_x509_certificate(identity.cert_path.read_bytes())
        self.credential = own.public_bytes(serialization.Encoding.DER)
        """The own certificate, as it travels in the own record."""
        self._identity = identity
        self._run_id = run_id
        self._authority = x509.load_pem_x509_certificate(identity.ca_path.read_bytes())
        self._known: OrderedDict[bytes, tuple[str, datetime, datetime]] = OrderedDict()
        """certificate -> whose key it certifies, and from when to when; checked once"""

    def sign(self, body: bytes) -> bytes:
        """The own signature."""
        return self._identity.sign(body)

    def verify(self, peer_id: str, body: bytes, signature: bytes) -> bool:
        """Whether that peer signed `body`."""
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(peer_id)).verify(signature, body)
        except (InvalidSignature, ValueError):
            return False
        return True

    def owner_signed(self, body: bytes, signature: bytes) -> bool:
        """Whether the run's owner signed `body`."""
        key = self._authority.public_key()
        if not isinstance(key, Ed25519PublicKey):
            return False
        try:
            key.verify(signature, body)
        except InvalidSignature:
            return False
        return True

    def certified(self, peer_id: str, credential: bytes) -> bool:
        """Whether `credential` certifies that peer's key for this run, now."""
        known = self._known.get(credential)
        if known is None:
            known = self._read(credential)
            if known is None:
                return False
            self._known[credential] = known
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        owner, begin, end = known
        return owner == peer_id and begin <= datetime.now(UTC) <= end

    def _read(self, credential: bytes) -> tuple[str, datetime, datetime] | None:
        try:
            certificate = x509.load_der_x509_certificate(credential)
            certificate.verify_directly_issued_by(self._authority)
            key = certificate.public_key()
            runs = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        except (ValueError, TypeError, InvalidSignature, x509.InvalidVersion):
            return None
        if not isinstance(key, Ed25519PublicKey) or [run.value for run in runs] != [self._run_id]:
            return None
        raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return raw.hex(), certificate.not_valid_before_utc, certificate.not_valid_after_utc
