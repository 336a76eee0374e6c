"""Who a participant is: an Ed25519 key of its own, and the certificate with which the run's owner invited it.

The private key never leaves its folder; the owner signs the public key alone. Keys are files of mode 0600, created
with that mode, and a key that others could have read is not used.
"""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from actors.transport.errors import IdentityError
from checkpoint.files import replacing

_RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
_CLOCK_SLACK = timedelta(days=1)
"""Certificates begin this much in the past: clocks of home machines differ."""


class Identity:
    """A participant's key, and its certificate once it has one."""

    def __init__(self, folder: Path, key: Ed25519PrivateKey) -> None:
        self.folder = folder
        self._key = key

    @classmethod
    def load_or_create(cls, folder: Path) -> Identity:
        """The identity in a folder, made on first use. Raises IdentityError when the key file is unsafe."""
        path = folder / "identity.key"
        if not path.exists():
            _write_key(path)
        return cls(folder, _read_key(path))

    @property
    def public_key(self) -> bytes:
        """32 raw bytes."""
        return self._key.public_key().public_bytes(*_RAW)

    @property
    def peer_id(self) -> str:
        """Hex of the public key: the name that nobody else can take."""
        return self.public_key.hex()

    def sign(self, body: bytes) -> bytes:
        """64 bytes that only this identity can make."""
        return self._key.sign(body)

    @property
    def key_path(self) -> Path:
        """PKCS8 PEM file of the private key."""
        return self.folder / "identity.key"

    @property
    def cert_path(self) -> Path:
        """PEM file of the certificate."""
        return self.folder / "cert.pem"

    @property
    def ca_path(self) -> Path:
        """PEM file of the run's authority, the only one that is trusted."""
        return self.folder / "ca.pem"

    @property
    def has_certificate(self) -> bool:
        """Whether an invitation was installed."""
        return self.cert_path.exists() and self.ca_path.exists()

    @property
    def name(self) -> str:
        """The name in the installed certificate. Raises IdentityError without one."""
        if not self.has_certificate:
            raise IdentityError(f"{self.folder} has no certificate yet; install the owner's invitation first")
        subject = x509.load_pem_x509_certificate(self.cert_path.read_bytes()).subject
        return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    def install(self, cert_pem: bytes, ca_pem: bytes) -> None:
        """Keep an invitation. Raises IdentityError when it is for another key or not signed by that authority."""
        try:
            cert = x509.load_pem_x509_certificate(cert_pem)
            authority = x509.load_pem_x509_certificate(ca_pem)
        except ValueError as error:
            raise IdentityError(f"the invitation is not a PEM certificate: {error}") from None
        key = cert.public_key()
        if not isinstance(key, Ed25519PublicKey) or key.public_bytes(*_RAW) != self.public_key:
            raise IdentityError("this certificate was issued for another key; ask the owner for one for this key")
        try:
            cert.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise IdentityError("this certificate was not signed by the authority beside it") from error
        _write(self.ca_path, ca_pem, 0o644)
        _write(self.cert_path, cert_pem, 0o644)


class Owner:
    """The run's owner: its key is the certificate authority, a certificate is an invitation."""

    def __init__(self, folder: Path, key: Ed25519PrivateKey, ca_pem: bytes) -> None:
        self.folder = folder
        self.ca_pem = ca_pem
        self._key = key
        self._authority = x509.load_pem_x509_certificate(ca_pem)

    @classmethod
    def create(cls, folder: Path) -> Owner:
        """Make a new owner key and authority. Raises IdentityError when the folder has one."""
        path = folder / "owner.key"
        if path.exists():
            raise IdentityError(f"{path} exists; a second owner key would make all its invitations worthless")
        _write_key(path)
        key = _read_key(path)
        _write(folder / "ca.pem", _self_signed(key), 0o644)
        return cls.load(folder)

    @classmethod
    def load(cls, folder: Path) -> Owner:
        """The owner in a folder. Raises IdentityError when there is none or its key file is unsafe."""
        try:
            ca_pem = (folder / "ca.pem").read_bytes()
        except FileNotFoundError:
            raise IdentityError(f"{folder} has no ca.pem; create an owner there first") from None
        return cls(folder, _read_key(folder / "owner.key"), ca_pem)

    @classmethod
    def load_or_create(cls, folder: Path) -> Owner:
        """The owner in a folder, made on first use."""
        return cls.load(folder) if (folder / "owner.key").exists() else cls.create(folder)

    def sign(self, body: bytes) -> bytes:
        """64 bytes that only the owner can make."""
        return self._key.sign(body)

    def issue(self, public_key: bytes, name: str, run_id: str, days: int = 90) -> bytes:
        """A certificate (PEM) for a participant's 32-byte public key. Raises IdentityError for an unusable one."""
        try:
            subject_key = Ed25519PublicKey.from_public_bytes(public_key)
            subject = _name(name, run_id)
        except ValueError as error:
            raise IdentityError(f"cannot invite {name!r}: {error}") from None
        now = datetime.now(UTC)
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._authority.subject)
            .public_key(subject_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SLACK)
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        return builder.sign(self._key, algorithm=None).public_bytes(serialization.Encoding.PEM)


def _self_signed(key: Ed25519PrivateKey) -> bytes:
    public = key.public_key()
    name = _name("tessera run owner", public.public_bytes(*_RAW).hex()[:16])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SLACK)
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    return builder.sign(key, algorithm=None).public_bytes(serialization.Encoding.PEM)


def _name(common: str, organisation: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
        ]
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write a whole file or none; it has its mode from its first byte on."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacing(path, mode) as file:
        file.write(data)


def _write_key(path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(path, pem, 0o600)


def _read_key(path: Path) -> Ed25519PrivateKey:
    check_private(path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise IdentityError(f"{path} is not a private key in PEM form: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise IdentityError(f"{path} holds a key of another kind; Ed25519 is needed")
    return key


def check_private(path: Path) -> None:
    """Raise IdentityError when a key file is missing or open to others."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        raise IdentityError(f"{path} does not exist") from None
    if mode & 0o077:
        raise IdentityError(
            f"{path} has mode {mode:04o}, so others can read or replace this key; run `chmod 600 {path}`, "
            "and make a new key if others use this machine"
        )
