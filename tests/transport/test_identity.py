"""Keys, certificates and what TLS makes of them."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from actors.transport.errors import IdentityError
from actors.transport.identity import Identity, Owner
from actors.transport.tls import client_context, peer_id_of, server_context
from tests.transport.helpers import invite


def test_key_is_made_once_and_private(tmp_path: Path) -> None:
    identity = Identity.load_or_create(tmp_path / "me")
    again = Identity.load_or_create(tmp_path / "me")
    assert identity.peer_id == again.peer_id == identity.public_key.hex()
    assert len(identity.public_key) == 32
    assert stat.S_IMODE(identity.key_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(identity.folder.stat().st_mode) == 0o700
    assert sorted(path.name for path in identity.folder.iterdir()) == ["identity.key"]
    assert not identity.has_certificate


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_key_open_to_others_is_refused_with_advice(tmp_path: Path, mode: int) -> None:
    identity = invite(Owner.create(tmp_path / "owner"), tmp_path, "me")
    identity.key_path.chmod(mode)
    with pytest.raises(IdentityError, match=f"{mode:04o}.*chmod 600"):
        Identity.load_or_create(tmp_path / "me")
    with pytest.raises(IdentityError, match="chmod 600"):
        server_context(identity)


def test_owner_is_loaded_and_never_replaced(tmp_path: Path) -> None:
    owner = Owner.load_or_create(tmp_path)
    assert Owner.load_or_create(tmp_path).ca_pem == owner.ca_pem
    assert stat.S_IMODE((tmp_path / "owner.key").stat().st_mode) == 0o600
    with pytest.raises(IdentityError, match="exists"):
        Owner.create(tmp_path)
    with pytest.raises(IdentityError, match=r"no ca\.pem"):
        Owner.load(tmp_path / "elsewhere")


def test_certificate_names_participant_and_run(tmp_path: Path) -> None:
    identity = invite(Owner.create(tmp_path / "owner"), tmp_path, "ann", "run-7")
    cert = x509.load_pem_x509_certificate(identity.cert_path.read_bytes())
    assert cert.subject.rfc4514_string() == "O=run-7,CN=ann"
    assert identity.name == "ann"


def test_install_refuses_what_does_not_fit(tmp_path: Path) -> None:
    owner, other = Owner.create(tmp_path / "owner"), Owner.create(tmp_path / "other")
    ann, bob = (Identity.load_or_create(tmp_path / name) for name in ("ann", "bob"))
    with pytest.raises(IdentityError, match="another key"):
        ann.install(owner.issue(bob.public_key, "bob", "r"), owner.ca_pem)
    with pytest.raises(IdentityError, match="not signed"):
        ann.install(owner.issue(ann.public_key, "ann", "r"), other.ca_pem)
    with pytest.raises(IdentityError, match="PEM"):
        ann.install(b"nonsense", owner.ca_pem)
    with pytest.raises(IdentityError, match="invite"):
        owner.issue(b"short", "ann", "r")
    with pytest.raises(IdentityError, match="no certificate"):
        client_context(ann)


def shake_hands(server: Identity, client: Identity) -> tuple[str, str]:
    """A whole TLS handshake in memory; what each side says that the other is."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    at_server = server_context(server).wrap_bio(to_server, to_client, server_side=True)
    at_client = client_context(client).wrap_bio(to_client, to_server)
    done: set[ssl.SSLObject] = set()
    for _ in range(10):
        for side in (at_client, at_server):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
    assert len(done) == 2
    assert at_server.version() == "TLSv1.3"
    return peer_id_of(at_server), peer_id_of(at_client)


def test_tls_proves_both_identities(tmp_path: Path) -> None:
    owner = Owner.create(tmp_path / "owner")
    ann, bob = invite(owner, tmp_path, "ann"), invite(owner, tmp_path, "bob")
    assert shake_hands(ann, bob) == (bob.peer_id, ann.peer_id)


def test_tls_refuses_another_authority(tmp_path: Path) -> None:
    ann = invite(Owner.create(tmp_path / "owner"), tmp_path, "ann")
    eve = invite(Owner.create(tmp_path / "other"), tmp_path, "eve")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(ann, eve)
