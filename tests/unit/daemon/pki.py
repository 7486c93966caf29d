"""A small certificate authority for tests of TLS: P-256, valid for an hour."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from counterfoil_daemon.server import TlsFiles


class Authority:
    """Issues certificates; `pem` is its own."""

    def __init__(self, name: str = "test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.pem = self._sign(self._name, self._key.public_key(), None, ca=True)

    def issue(self, *sans: str) -> tuple[bytes, bytes]:
        """Certificate and key as PEM; a SAN is a URI if it has a scheme, else an IP or DNS name."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")])
        names = x509.SubjectAlternativeName([_general_name(san) for san in sans]) if sans else None
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return self._sign(name, key.public_key(), names, ca=False), secret

    def write_server(self, folder: Path, *sans: str) -> TlsFiles:
        """A server's files in `folder`, with this authority as the one that clients need."""
        certificate, key = self.issue(*(sans or ("127.0.0.1", "localhost")))
        files = TlsFiles(folder / "server.pem", folder / "server.key", folder / "ca.pem")
        files.certificate.write_bytes(certificate)
        files.key.write_bytes(key)
        files.ca.write_bytes(self.pem)
        return files

    def _sign(
        self,
        subject: x509.Name,
        public: ec.EllipticCurvePublicKey,
        names: x509.SubjectAlternativeName | None,
        *,
        ca: bool,
    ) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _general_name(san: str) -> x509.GeneralName:
    if "://" in san:
        return x509.UniformResourceIdentifier(san)
    try:
        return x509.IPAddress(ipaddress.ip_address(san))
    except ValueError:
        return x509.DNSName(san)
