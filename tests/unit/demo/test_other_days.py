"""The same market on other days of the year: tape, record, engine and the independent calculation
agree at month ends, leap days, new year, and on the far side of a change of the clocks."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from counterfoil import exposure_codec
from counterfoil.exposure import Exposure, InstitutionKind, SubjectKind
from counterfoil_gateway.risk import policy as risk_policy
from counterfoil_gateway.risk.assess import assess
from counterfoil_gateway.risk.profile import LenderRecord, PastInquiry, Profile
from counterfoil_node.summarise import Holding, Subject, summarise
from counterfoil_node.tape import open_tape
from counterfoil_node.tape_columns import TapeRow
from demo.independent import Calculation
from demo.market import LENDERS, deal
from demo.tapes import write_tape
from demo.truth import Borrower
from support.profiles import DEFAULT

DAYS = (
    "2026-01-01T00:30:00+08:00",
    "2026-02-28T12:00:00+08:00",
    "2026-03-31T23:59:00+08:00",
    "2026-10-25T09:00:00+08:00",
    "2028-02-29T15:00:00+08:00",
    "2028-03-01T00:05:00+08:00",
)
ZONES = ("Asia/Shanghai", "Europe/Berlin", "America/New_York")
BORROWERS = 250
BOOK_AGE = timedelta(hours=3)


def records_of(
    people: list[Borrower], as_of: datetime, folder: Path
) -> dict[str, list[LenderRecord]]:
    """What the lenders' nodes would publish of their tapes, by borrower."""
    labels = {who.identity.normal_form: who.label for who in people}
    found: defaultdict[str, list[LenderRecord]] = defaultdict(list)
    seconds = int(as_of.timestamp())
    for lender in LENDERS:
        path = folder / f"{lender.name}.csv"
        write_tape(path, lender, people, as_of, Random(1))
        books: defaultdict[str, list[Holding]] = defaultdict(list)
        for line in open_tape(path, seconds, lender.time_zone).lines:
            row = line.row
            assert isinstance(row, TapeRow), row
            _, _, normal = row.identifier.oprf_input().decode().partition("\0")
            loan = row.loan
            act = f"{lender.name}/{loan.application_id or loan.loan_id}"
            books[labels[normal]].append(Holding(loan, hashlib.md5(act.encode()).digest()))
        for label, holdings in books.items():
            token = hashlib.sha256(label.encode()).digest()
            subject = Subject(token, 1, SubjectKind.PERSON, InstitutionKind[lender.kind.upper()])
            exposure: Exposure = exposure_codec.decode(
                exposure_codec.encode(summarise(subject, holdings, seconds))
            )
            found[label].append(LenderRecord(lender.name, exposure))
    return found


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("day", DAYS)
def test_the_engine_agrees_with_the_independent_calculation(
    day: str, zone: str, tmp_path: Path
) -> None:
    now = datetime.fromisoformat(day)
    as_of = (now - BOOK_AGE).astimezone(UTC)
    people = deal(len(day + zone), as_of, BORROWERS, 10)
    text = DEFAULT.replace(b'"Asia/Shanghai"', f'"{zone}"'.encode())
    policy, calculation = risk_policy.load(text), Calculation(text)
    records = records_of(people, as_of, tmp_path)
    flagged = 0
    for place, borrower in enumerate(people):
        asker = LENDERS[place % len(LENDERS)].name
        present = PastInquiry(asker, b"\x01" * 16, int(now.timestamp()), False)
        profile = Profile(
            asker=asker,
            records=tuple(records.get(borrower.label, ())),
            inquiries=(),
            present=present,
            left_out={},
            member_count=len(LENDERS),
            fresh_count=len(LENDERS),
            counted_lender_count=len(LENDERS),
            oldest_complete_as_of=None,
        )
        told = assess(profile, policy, now)
        expected = calculation.expect(borrower, asker, now, [], None)
        bands = [(b.low_minor, b.high_minor) for b in told.joint_outstanding] or [(0, 1)]
        flags = {
            flag.code: (
                flag.severity.name.lower(),
                frozenset((r.code, r.severity.name.lower()) for r in flag.reasons),
            )
            for flag in told.flags
        }
        assert told.status.name == expected.status
        assert told.active_lenders == expected.active_lenders
        assert bands == [expected.band]
        assert flags == expected.flags, borrower.label
        flagged += len(flags)
    assert flagged > 50
