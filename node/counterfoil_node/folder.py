"""The node's folder: where its files are, and the keys and pins in them.

`keys/` and `tls/client.key` are secrets (0600). Nothing here is made but by `init` and `enrol`: a
file that is missing later stops the start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from counterfoil.errors import CounterfoilError, InvalidInput, Reason
from counterfoil.keys import PrivateKey
from counterfoil.membership import Network
from counterfoil_daemon.files import durable_write, read_secret, require_file
from counterfoil_daemon.server import TlsFiles

from .vault import BOOK_KEY_BYTES, Vault

SEED_BYTES = 32
SCALAR_BYTES = 32


@dataclass(frozen=True, slots=True)
class Pinned:
    """What was pinned at enrolment: the network, and where its gateway is."""

    network: Network
    gateway_address: str
    """host:port of the mTLS port."""

    def to_json(self) -> str:
        """As the text of `network.json`."""
        data = json.loads(self.network.to_json())
        data["gateway_address"] = self.gateway_address
        return json.dumps(data, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Pinned:
        """From the text of `network.json`; CONFIG_INVALID."""
        network = Network.from_json(text)
        address = json.loads(text).get("gateway_address")
        if not isinstance(address, str):
            raise InvalidInput(
                Reason.CONFIG_INVALID, "names no gateway address", field="network.json"
            )
        return cls(network, address)


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """Paths below one folder."""

    path: Path

    @property
    def settings(self) -> Path:
        """node.toml"""
        return self.path / "node.toml"

    @property
    def database(self) -> Path:
        """node.db"""
        return self.path / "node.db"

    @property
    def record_key_file(self) -> Path:
        """keys/record.key: the seed of the Ed25519 key that signs batches and inquiries."""
        return self.path / "keys" / "record.key"

    @property
    def next_record_key_file(self) -> Path:
        """keys/record.key.next: a new key while the gateway is asked to take it."""
        return self.path / "keys" / "record.key.next"

    @property
    def book_key_file(self) -> Path:
        """keys/book.key"""
        return self.path / "keys" / "book.key"

    @property
    def evaluator_key_file(self) -> Path:
        """keys/evaluator.key: the pseudonym key, a ristretto255 scalar."""
        return self.path / "keys" / "evaluator.key"

    @property
    def tls(self) -> TlsFiles:
        """tls/"""
        folder = self.path / "tls"
        return TlsFiles(folder / "client.pem", folder / "client.key", folder / "ca.pem")

    @property
    def request_file(self) -> Path:
        """tls/client.csr: the certificate request of the enrolment."""
        return self.path / "tls" / "client.csr"

    @property
    def network_file(self) -> Path:
        """network.json"""
        return self.path / "network.json"

    @property
    def desk_socket(self) -> Path:
        """desk.sock"""
        return self.path / "desk.sock"

    @property
    def desk_target(self) -> str:
        """The socket as a gRPC target: absolute or relative, whichever is shorter, because the
        kernel takes some 107 characters."""
        absolute = str(self.desk_socket.resolve())
        return "unix:" + min(absolute, os.path.relpath(absolute), key=len)

    def record_key(self) -> PrivateKey:
        """The key that signs batches and inquiries."""
        return PrivateKey.load(read_secret(self.record_key_file, SEED_BYTES))

    def evaluator_secret(self) -> bytes:
        """The pseudonym key."""
        return read_secret(self.evaluator_key_file, SCALAR_BYTES)

    def vault(self, random_bytes: Callable[[int], bytes]) -> Vault:
        """What opens the book."""
        return Vault(read_secret(self.book_key_file, BOOK_KEY_BYTES), random_bytes)

    def pinned(self) -> Pinned:
        """What was pinned at enrolment; FILE_MISSING before it."""
        if not self.network_file.is_file():
            raise CounterfoilError(
                Reason.FILE_MISSING,
                "network.json is missing: is the node enrolled?",
                field="network.json",
            )
        return Pinned.from_json(self.network_file.read_text(encoding="utf-8"))

    def pin(self, pinned: Pinned) -> None:
        """Writes `network.json` anew."""
        durable_write(self.network_file, pinned.to_json().encode(), mode=0o644, replace=True)

    def require_all(self, *, evaluator: bool) -> None:
        """FILE_MISSING for the first file that a running node needs and is not there."""
        tls = self.tls
        files = [
            self.settings,
            self.database,
            self.record_key_file,
            self.book_key_file,
            self.network_file,
            tls.certificate,
            tls.key,
            tls.ca,
        ]
        if evaluator:
            files.append(self.evaluator_key_file)
        for path in files:
            require_file(path)
