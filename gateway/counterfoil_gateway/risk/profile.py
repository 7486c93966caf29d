"""What is known about one borrower when an inquiry is answered: the input of `assess`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from counterfoil.answer import ExclusionReason
from counterfoil.exposure import Exposure


@dataclass(frozen=True, slots=True)
class LenderRecord:
    """One lender's counted record. `marks` says why it counts with reserve."""

    lender: str
    exposure: Exposure
    marks: frozenset[ExclusionReason] = frozenset()


@dataclass(frozen=True, slots=True)
class PastInquiry:
    """An inquiry. `time` is in seconds."""

    lender: str
    application_reference: bytes
    time: int
    credit_seeking: bool


@dataclass(frozen=True, slots=True)
class Profile:
    """One borrower, over all members, as seen for one asker.

    `inquiries` does not hold the present one. `left_out`: lenders with records about this borrower
    that do not count, by reason. The other figures are about the network: active members, fresh
    ones among them, lenders whose records may be counted, and the oldest complete-as-of (seconds)
    among the lenders of `records`.
    """

    asker: str
    records: tuple[LenderRecord, ...]
    inquiries: tuple[PastInquiry, ...]
    present: PastInquiry
    left_out: Mapping[ExclusionReason, int]
    member_count: int
    fresh_count: int
    counted_lender_count: int
    oldest_complete_as_of: int | None
