"""The node's settings: what they are, what they default to, what they may be.

By rank from below: these defaults, `node.toml`, the environment (`COUNTERFOIL_NODE_SECTION_NAME`),
flags.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from counterfoil.errors import InvalidInput, Reason
from counterfoil.exposure import InstitutionKind
from counterfoil.fields import check_name, check_zone
from counterfoil_daemon import logs
from counterfoil_daemon.settings import Loaded, check_range, load, split_address

PREFIX = "COUNTERFOIL_NODE"
FILE_NAME = "node.toml"


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Who the lender is."""

    lender: str
    kind: str
    """Institution kind, lower case, for example `bank`."""
    time_zone: str = "Asia/Shanghai"
    """IANA zone of the lender's counter."""
    evaluator: bool = False

    def __post_init__(self) -> None:
        try:
            check_name(self.lender, "node.lender")
            check_zone(self.time_zone, "node.time_zone")
        except InvalidInput as error:
            raise InvalidInput(Reason.CONFIG_INVALID, error.message, field=error.field) from None
        institution_kind(self.kind)


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """How the gateway is reached."""

    address: str = ""
    """host:port of its mTLS port; empty: the one of the invitation."""
    timeout_seconds: float = 30.0
    """The longest wait for one call."""

    def __post_init__(self) -> None:
        if self.address:
            split_address(self.address, "gateway.address")
        check_range(self.timeout_seconds, 0.1, 600, "gateway.timeout_seconds")


@dataclass(frozen=True, slots=True)
class DeskSettings:
    """The local API."""

    listen: str = ""
    """Empty: the Unix socket `desk.sock` in the folder; else a loopback host:port."""
    margin_ms: int = 100
    """How long before the caller's deadline an answer leaves at the latest, milliseconds."""
    max_in_flight: int = 200
    reflection: bool = False

    def __post_init__(self) -> None:
        if self.listen:
            host, _ = split_address(self.listen, "desk.listen")
            if host not in ("127.0.0.1", "[::1]", "localhost"):
                raise InvalidInput(
                    Reason.CONFIG_INVALID,
                    "the desk takes raw identifiers: loopback only",
                    field="desk.listen",
                )
        check_range(self.margin_ms, 1, 10_000, "desk.margin_ms")
        check_range(self.max_in_flight, 1, 10_000, "desk.max_in_flight")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The operator's HTTP port."""

    listen: str = "127.0.0.1:7580"

    def __post_init__(self) -> None:
        split_address(self.listen, "web.listen")


@dataclass(frozen=True, slots=True)
class PublishingSettings:
    """How changes get to the gateway."""

    poll_seconds: float = 0.5
    """How often the book is looked at for changes."""
    retry_seconds: float = 1.0
    """The first wait after a failure; doubled at each further one."""
    max_retry_seconds: float = 60.0

    def __post_init__(self) -> None:
        check_range(self.poll_seconds, 0.01, 3600, "publishing.poll_seconds")
        check_range(self.retry_seconds, 0.01, 3600, "publishing.retry_seconds")
        check_range(self.max_retry_seconds, 0.01, 86_400, "publishing.max_retry_seconds")


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """What a tape may do without a person's word."""

    max_closing_percent: float = 5.0
    """The share of the open loans that a full tape may close unconfirmed."""

    def __post_init__(self) -> None:
        check_range(self.max_closing_percent, 0, 100, "tapes.max_closing_percent")


@dataclass(frozen=True, slots=True)
class EvaluatorSettings:
    """What this node evaluates for others in one UTC day, in elements (padding included)."""

    lender_daily_elements: int = 200_000
    network_daily_elements: int = 5_000_000
    max_in_flight: int = 16
    members_seconds: float = 10.0
    """How often the member list is fetched anew."""

    def __post_init__(self) -> None:
        check_range(self.lender_daily_elements, 1, 10**12, "evaluator.lender_daily_elements")
        check_range(self.network_daily_elements, 1, 10**12, "evaluator.network_daily_elements")
        check_range(self.max_in_flight, 1, 1_000, "evaluator.max_in_flight")
        check_range(self.members_seconds, 0.1, 86_400, "evaluator.members_seconds")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged."""

    level: str = "info"

    def __post_init__(self) -> None:
        if self.level not in logs.LEVELS:
            raise InvalidInput(
                Reason.CONFIG_INVALID, f"one of {', '.join(logs.LEVELS)}", field="log.level"
            )


@dataclass(frozen=True, slots=True)
class Settings:
    """All of them."""

    node: NodeSettings
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    desk: DeskSettings = field(default_factory=DeskSettings)
    web: WebSettings = field(default_factory=WebSettings)
    publishing: PublishingSettings = field(default_factory=PublishingSettings)
    tapes: ImportSettings = field(default_factory=ImportSettings)
    evaluator: EvaluatorSettings = field(default_factory=EvaluatorSettings)
    log: LogSettings = field(default_factory=LogSettings)


def institution_kind(text: str) -> InstitutionKind:
    """An institution kind by its lower-case name."""
    found = InstitutionKind.__members__.get(text.upper())
    if found is None or text != text.lower():
        raise InvalidInput(
            Reason.CONFIG_INVALID,
            f"one of {', '.join(name.lower() for name in InstitutionKind.__members__)}",
            field="node.kind",
        )
    return found


def load_settings(
    file: Path, flags: dict[str, object] | None = None, environment: dict[str, str] | None = None
) -> Loaded[Settings]:
    """Settings of a node folder; CONFIG_INVALID names the setting, FILE_MISSING the file."""
    return load(Settings, file=file, environment=environment, prefix=PREFIX, flags=flags)


def new_file(*, lender: str, kind: str, time_zone: str, evaluator: bool, web_listen: str) -> str:
    """The text of a new node's `node.toml`."""
    return f"""\
# Settings of a Counterfoil node. Environment (COUNTERFOIL_NODE_SECTION_NAME) and flags outrank
# this file; `counterfoil-node config show` tells every setting and where its value came from.

[node]
lender = "{lender}"
kind = "{kind}"
# IANA zone of the lender's counter: dates without a time in loan tapes are days there.
time_zone = "{time_zone}"
# Whether this node evaluates blinded identifiers for the network (keys/evaluator.key).
evaluator = {str(evaluator).lower()}

[gateway]
# host:port of the gateway's mTLS port; empty: the one of the invitation.
address = ""
timeout_seconds = 30.0

[desk]
# Empty: the Unix socket desk.sock in this folder; else a loopback host:port.
listen = ""
# How long before a caller's deadline the desk answers at the latest.
margin_ms = 100

[web]
# /healthz, /readyz, /metrics; loopback only.
listen = "{web_listen}"

[tapes]
# A full tape that would close more than this share of the open loans needs --confirm-closures.
max_closing_percent = 5.0

[log]
level = "info"
"""
