"""The node's own TLS key and certificate: P-256, since gRPC takes no Ed25519 certificates."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from counterfoil.errors import CounterfoilError, Reason
from counterfoil_daemon.files import read_secret

RENEW_AT_SHARE_LEFT = 1 / 3
"""A certificate is renewed when less than this share of its life is left."""


def new_key_pem() -> bytes:
    """A new P-256 key, PKCS#8 PEM without a passphrase: for a file of mode 0600."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def certificate_request(key_file: Path, lender: str) -> bytes:
    """A PKCS#10 request (DER) for the key in a file. The CA decides on every name in the result."""
    try:
        key = serialization.load_pem_private_key(read_secret(key_file), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CounterfoilError(Reason.CONFIG_INVALID, "not an EC key in PEM", field=key_file.name)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, lender)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def life_of(certificate_file: Path) -> tuple[datetime, datetime]:
    """From when to when a certificate (PEM) is valid."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    except (OSError, ValueError):
        raise CounterfoilError(
            Reason.CONFIG_INVALID, "not a PEM certificate", field=certificate_file.name
        ) from None
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def renewal_due(certificate_file: Path, now: datetime) -> bool:
    """Whether it is time for a new certificate."""
    begin, end = life_of(certificate_file)
    return now >= end - timedelta(seconds=(end - begin).total_seconds() * RENEW_AT_SHARE_LEFT)
