"""The network's certificate authority: P-256, leaves for members and for the gateway's own ports.

Of a member's certificate request only the public key is taken: which name the certificate bears
is the operator's admission, never the applicant's wish. Identities are SPIFFE ids in a URI SAN,
`spiffe://<network>/lender/<id>`. No revocation lists: every call judges membership anew.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from counterfoil.errors import CounterfoilError, InvalidInput, Reason

CA_VALIDITY = timedelta(days=3_650)
BACKDATED = timedelta(minutes=5)
"""Leaves are valid from this long before issuance, for clients whose clocks are a little behind."""
MAX_CSR_BYTES = 8_192


@dataclass(frozen=True, slots=True)
class Leaf:
    """An issued certificate. `serial` is lower-case hexadecimal."""

    serial: str
    pem: str
    not_before: datetime
    not_after: datetime


def lender_uri(network: str, lender: str) -> str:
    """The SPIFFE id of a lender in a network."""
    return f"spiffe://{network}/lender/{lender}"


class Authority:
    """Issues leaf certificates under one CA key."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def generate(cls, network: str, now: datetime) -> Authority:
        """A new self-signed CA for a network. It may sign leaves only (path length 0)."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{network} Counterfoil CA")])
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(now + CA_VALIDITY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(certificates=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, certificate_pem: bytes, key_pem: bytes) -> Authority:
        """A CA from its two files. Raises CONFIG_INVALID when they are unusable or differ."""
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem)
            key = serialization.load_pem_private_key(key_pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise CounterfoilError(Reason.CONFIG_INVALID, "the CA's files are damaged") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CounterfoilError(Reason.CONFIG_INVALID, "the CA's key is not an EC key")
        if certificate.public_key() != key.public_key():
            raise CounterfoilError(Reason.CONFIG_INVALID, "the CA's key and certificate differ")
        return cls(certificate, key)

    @property
    def certificate_pem(self) -> str:
        """The CA certificate that every member pins."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")

    @property
    def key_pem(self) -> bytes:
        """The CA's private key, PKCS#8 PEM without a passphrase: for a file of mode 0600."""
        return private_key_pem(self._key)

    def issue_member(
        self, network: str, lender: str, csr_der: bytes, now: datetime, validity: timedelta
    ) -> Leaf:
        """A member's client certificate. Raises CSR_INVALID."""
        uri = x509.UniformResourceIdentifier(lender_uri(network, lender))
        return self._issue(
            public_key_of(csr_der),
            common_name=lender,
            names=[uri],
            usage=ExtendedKeyUsageOID.CLIENT_AUTH,
            now=now,
            validity=validity,
        )

    def issue_server(
        self, gateway: str, hosts: Sequence[str], now: datetime, validity: timedelta
    ) -> tuple[Leaf, bytes]:
        """The gateway's server certificate for DNS names and IP addresses, with its new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self._issue(
            key.public_key(),
            common_name=gateway,
            names=[_general_name(host) for host in hosts],
            usage=ExtendedKeyUsageOID.SERVER_AUTH,
            now=now,
            validity=validity,
        )
        return leaf, private_key_pem(key)

    def _issue(
        self,
        public_key: ec.EllipticCurvePublicKey,
        *,
        common_name: str,
        names: Sequence[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        now: datetime,
        validity: timedelta,
    ) -> Leaf:
        serial = x509.random_serial_number()
        # A leaf never outlives its CA.
        not_after = min(now + validity, self._certificate.not_valid_after_utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
            .issuer_name(self._certificate.subject)
            .public_key(public_key)
            .serial_number(serial)
            .not_valid_before(now - BACKDATED)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return Leaf(
            serial=f"{serial:x}",
            pem=certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )


def public_key_of(csr_der: bytes) -> ec.EllipticCurvePublicKey:
    """The P-256 key of a PKCS#10 request whose own signature holds. Raises CSR_INVALID."""
    if len(csr_der) > MAX_CSR_BYTES:
        raise InvalidInput(Reason.CSR_INVALID, f"a request has at most {MAX_CSR_BYTES} bytes")
    try:
        request = x509.load_der_x509_csr(csr_der)
        signed = request.is_signature_valid
        key = request.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise InvalidInput(Reason.CSR_INVALID, "not a PKCS#10 request in DER") from error
    if not signed:
        raise InvalidInput(Reason.CSR_INVALID, "the request's signature does not hold")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidInput(Reason.CSR_INVALID, "the request's key is not on P-256")
    return key


def not_after(certificate_pem: bytes) -> datetime:
    """When a PEM certificate lapses. Raises CONFIG_INVALID."""
    try:
        return x509.load_pem_x509_certificate(certificate_pem).not_valid_after_utc
    except ValueError as error:
        raise CounterfoilError(Reason.CONFIG_INVALID, "not a PEM certificate") from error


def private_key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PKCS#8 PEM without a passphrase."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
