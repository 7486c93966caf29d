"""The gateway's folder and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from counterfoil.errors import InvalidInput, Reason
from counterfoil_daemon.files import require_file
from counterfoil_daemon.logs import LEVELS
from counterfoil_daemon.server import TlsFiles
from counterfoil_daemon.settings import Loaded, check_range, load, split_address

PREFIX = "COUNTERFOIL_GATEWAY"


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the gateway listens, `host:port` each; port 0 takes any."""

    grpc: str = "127.0.0.1:7443"
    enrol: str = "127.0.0.1:7444"
    web: str = "127.0.0.1:7480"
    advertise: str = "127.0.0.1"
    """Host by which members reach the gateway: goes into invitations and the certificate."""

    def __post_init__(self) -> None:
        split_address(self.grpc, "listen.grpc")
        split_address(self.enrol, "listen.enrol")
        split_address(self.web, "listen.web")


@dataclass(frozen=True, slots=True)
class Serve:
    """How the gateway serves."""

    max_in_flight: int = 200
    """Unary calls under way at once; beyond it callers are told OVERLOADED."""
    drain_seconds: float = 10.0
    """How long calls under way may take to finish when the gateway stops."""
    reflection: bool = False
    """Whether gRPC reflection is served, for tools."""
    certificate_days: float = 90.0
    """How long issued certificates are valid."""

    def __post_init__(self) -> None:
        check_range(self.max_in_flight, 1, 100_000, "serve.max_in_flight")
        check_range(self.drain_seconds, 0, 600, "serve.drain_seconds")
        check_range(self.certificate_days, 0.001, 825, "serve.certificate_days")


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged."""

    level: str = "info"

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise InvalidInput(
                Reason.CONFIG_INVALID, f"one of {', '.join(LEVELS)}", field="log.level"
            )


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of the gateway."""

    listen: Listen = field(default_factory=Listen)
    serve: Serve = field(default_factory=Serve)
    log: Log = field(default_factory=Log)


@dataclass(frozen=True, slots=True)
class Folder:
    """The gateway's data folder. `init` makes every file of it; `serve` makes none."""

    path: Path

    @property
    def settings(self) -> Path:
        return self.path / "gateway.toml"

    @property
    def store(self) -> Path:
        return self.path / "gateway.db"

    @property
    def policy(self) -> Path:
        return self.path / "policy.toml"

    @property
    def ca_certificate(self) -> Path:
        return self.path / "ca" / "ca.pem"

    @property
    def ca_key(self) -> Path:
        return self.path / "ca" / "ca.key"

    @property
    def answer_key(self) -> Path:
        return self.path / "keys" / "answer.key"

    @property
    def tls(self) -> TlsFiles:
        return TlsFiles(
            self.path / "tls" / "server.pem", self.path / "tls" / "server.key", self.ca_certificate
        )

    def require(self) -> None:
        """FILE_MISSING names the first file that is not there."""
        for file in (
            self.settings,
            self.store,
            self.policy,
            self.ca_certificate,
            self.ca_key,
            self.answer_key,
            self.tls.certificate,
            self.tls.key,
        ):
            require_file(file)


def load_settings(
    folder: Folder,
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Loaded[Settings]:
    """Settings from `file` (by default the folder's), environment and flags."""
    return load(
        Settings,
        file=file or folder.settings,
        environment=environment,
        prefix=PREFIX,
        flags=flags,
    )


def to_toml(settings: Settings) -> str:
    """The settings file that `init` writes."""
    return f"""\
# Counterfoil gateway. Environment ({PREFIX}_LISTEN_GRPC, ...) and flags rank above this file.
# `counterfoil-gateway config show` prints every setting and where it comes from.

[listen]
grpc = "{settings.listen.grpc}"        # members, mTLS
enrol = "{settings.listen.enrol}"       # invited lenders, TLS
web = "{settings.listen.web}"         # /healthz, /readyz, /metrics; loopback only
advertise = "{settings.listen.advertise}"        # host in invitations and in the certificate

[serve]
max_in_flight = {settings.serve.max_in_flight}        # unary calls at once
drain_seconds = {settings.serve.drain_seconds}
reflection = {str(settings.serve.reflection).lower()}
certificate_days = {settings.serve.certificate_days}

[log]
level = "{settings.log.level}"            # {", ".join(LEVELS)}
"""
