"""TLS 1.3 with mutual authentication against the run's authority, and nothing else.

Host names are not checked: a peer is its public key, and the certificate that carries it was signed by the owner.
"""

from __future__ import annotations

import ssl

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from actors.transport.errors import IdentityError
from actors.transport.identity import Identity, check_private

GOSSIP = "tessera-gossip/1"
"""The ALPN name of gossip connections: one port serves data and gossip. Data connections name no protocol."""


def server_context(identity: Identity) -> ssl.SSLContext:
    """For the side that accepts. Raises IdentityError without an installed certificate."""
    context = _context(identity, ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    context.set_alpn_protocols([GOSSIP])
    return context


def client_context(identity: Identity, *, gossip: bool = False) -> ssl.SSLContext:
    """For the side that dials, for data or for gossip. Raises IdentityError without an installed certificate."""
    context = _context(identity, ssl.PROTOCOL_TLS_CLIENT)
    if gossip:
        context.set_alpn_protocols([GOSSIP])
    return context


def _context(identity: Identity, side: int) -> ssl.SSLContext:
    if not identity.has_certificate:
        raise IdentityError(f"{identity.folder} has no certificate yet; install the owner's invitation first")
    check_private(identity.key_path)
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cafile=str(identity.ca_path))
    context.load_cert_chain(str(identity.cert_path), str(identity.key_path))
    return context


def peer_id_of(connection: ssl.SSLObject | ssl.SSLSocket) -> str:
    """Hex of the verified public key at the other end. Raises IdentityError when it is no Ed25519 key."""
    der = connection.getpeercert(binary_form=True)
    if der is None:
        raise IdentityError("the peer showed no certificate")
    key = x509.load_der_x509_certificate(der).public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise IdentityError("the peer's certificate is not for an Ed25519 key")
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()
