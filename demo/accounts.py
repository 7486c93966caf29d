"""Dealing one borrower's accounts: loans that run, are late, have ended or were never granted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from .months import PastDue, ended_history, history, month_number
from .truth import Account

if TYPE_CHECKING:
    from .market import Lender, Row

MAX_OPEN = 9
MAX_ENDED = 3
MAX_INQUIRIES = 7
BURST_DAYS = 12
"""Applications of those who ask around fall into so many days."""


class Dealer:
    """Deals rows out to lenders as of a time."""

    def __init__(self, lenders: Sequence[Lender], as_of: datetime, rng: Random) -> None:
        self._lenders = tuple(lenders)
        self._as_of = as_of
        self._today = as_of.astimezone(ZoneInfo("Asia/Shanghai")).date()
        self._rng = rng
        self._number = 0

    def deal(self, row: Row, lender_count: int) -> tuple[Account, ...]:
        """One borrower's accounts; open ones at exactly `lender_count` lenders."""
        lenders = self._chosen(lender_count)
        accounts = self._open(row, lenders) if lenders else []
        accounts += self._ended(row, lenders)
        accounts += self._inquiries(row, accounts)
        return tuple(accounts)

    def _chosen(self, count: int) -> list[Lender]:
        left = list(self._lenders)
        chosen: list[Lender] = []
        for _ in range(count):
            lender = self._rng.choices(left, [x.weight for x in left])[0]
            left.remove(lender)
            chosen.append(lender)
        return chosen

    def _open(self, row: Row, lenders: list[Lender]) -> list[Account]:
        rng = self._rng
        count = min(MAX_OPEN, max(len(lenders), row.opened_24m))
        homes = lenders + rng.choices(lenders, k=count - len(lenders))
        ages = [
            rng.uniform(3, 360)
            if i < row.opened_12m
            else rng.uniform(361, 720)
            if i < row.opened_24m
            else rng.uniform(300, 30 * row.term_months - 60)
            for i in range(count)
        ]
        rng.shuffle(ages)
        # A row without instalment debt owes what is left of the loan that the row is about.
        owed = row.owed or row.funded * rng.uniform(0.2, 0.9)
        shares = [rng.uniform(0.4, 1.6) for _ in homes]
        late = self._late_accounts(row, count)
        return [
            self._open_account(row, lender, age, owed * share / sum(shares), i in late)
            for i, (lender, age, share) in enumerate(zip(homes, ages, shares, strict=True))
        ]

    def _late_accounts(self, row: Row, count: int) -> set[int]:
        """Which of a row's accounts are overdue now."""
        rng = self._rng
        number = row.late_now
        if row.bad and rng.random() < 0.7:
            number = max(number, 1 + (rng.random() < 0.3))
        if row.late_2y and rng.random() < 0.08:
            number = max(number, 1)
        return set(rng.sample(range(count), min(number, count)))

    def _open_account(
        self, row: Row, lender: Lender, age_days: float, owed: float, late: bool
    ) -> Account:
        rng, today = self._rng, self._today
        product = rng.choice(lender.products)
        outstanding = max(1_00, round(owed * 100))
        opened = self._moment(age_days, lender)
        opened_day = opened.astimezone(ZoneInfo(lender.time_zone)).date()
        if product == "revolving":
            limit = round(outstanding / max(0.1, min(row.utilisation, 140) / 100))
            final = None
        else:
            limit = round(outstanding * rng.uniform(1.02, 2.2) / 1_000) * 1_000 + 1_000
            final = max(opened_day + timedelta(days=30 * row.term_months), today + timedelta(60))
        yearly = row.rate / 100
        instalment = round(limit / row.term_months * (1 + yearly * row.term_months / 24))
        unpaid = None
        if late:
            longest = int(age_days) - 1
            days = round(rng.triangular(1, 190, 12))
            unpaid = today - timedelta(days=max(1, min(days, longest)))
        due_day = unpaid.day if unpaid else rng.randrange(1, 29)
        months = history(
            opened=opened_day,
            today=today,
            newest=month_number(today) - (not lender.tells_current_month),
            instalment_minor=instalment,
            late=PastDue(unpaid, rng.choice((0, 0, 0.4, 0.85))) if unpaid else None,
            slips=self._slips(row),
            rng=rng,
        )
        applied = self._moment(age_days + rng.uniform(0.1, 6), lender)
        return Account(
            loan_id=self._loan_id(lender),
            application_id=self._application_id(lender),
            lender=lender.name,
            product_kind=product,
            status="open",
            amount_minor=limit,
            # Not every loan system still knows when a loan was applied for.
            applied_time=None if rng.random() < 0.04 else int(applied.timestamp()),
            opened_time=int(opened.timestamp()),
            limit_minor=limit,
            outstanding_minor=outstanding,
            instalment_minor=instalment,
            instalment_cycle="monthly",
            next_due=_next_due(today, due_day),
            final_due=final,
            oldest_unpaid=unpaid,
            history=months,
        )

    def _slips(self, row: Row) -> int:
        """Months, now made good, in which this account was late."""
        return sum(self._rng.random() < 0.5 for _ in range(min(row.late_2y, 6)))

    def _ended(self, row: Row, lenders: list[Lender]) -> list[Account]:
        rng = self._rng
        count = min(MAX_ENDED, max(0, row.accounts_ever - row.opened_24m) // 6)
        accounts = [
            self._ended_account(row, lenders, False) for _ in range(max(count, not lenders))
        ]
        if row.bad and rng.random() < 0.3:
            accounts.append(self._ended_account(row, lenders, True))
        return accounts

    def _ended_account(self, row: Row, lenders: list[Lender], written_off: bool) -> Account:
        rng = self._rng
        stays = bool(lenders) and rng.random() < 0.7
        lender = rng.choice(lenders) if stays else rng.choice(self._lenders)
        end_age = rng.uniform(5, 900)
        age = end_age + rng.uniform(200, 900)
        amount = round(row.funded * rng.uniform(0.2, 1.1)) * 100
        ended = self._moment(end_age, lender)
        zone = ZoneInfo(lender.time_zone)
        kind = "written_off" if written_off else rng.choice(("closed", "closed", "repaid_early"))
        return Account(
            loan_id=self._loan_id(lender),
            application_id=self._application_id(lender),
            lender=lender.name,
            product_kind=rng.choice(lender.products),
            status=kind,
            amount_minor=amount,
            applied_time=int(self._moment(age + 2, lender).timestamp()),
            opened_time=int(self._moment(age, lender).timestamp()),
            ended_time=int(ended.timestamp()),
            history=ended_history(
                ended=ended.astimezone(zone).date(),
                today=self._today,
                instalment_minor=round(amount / row.term_months),
                written_off=written_off,
            ),
        )

    def _inquiries(self, row: Row, accounts: list[Account]) -> list[Account]:
        """Applications that led to nothing, or are not decided yet."""
        rng = self._rng
        recent = self._as_of.timestamp() - 182 * 86_400
        granted = sum((a.applied_time or 0) > recent for a in accounts)
        last_half = max(0, min(row.asked_6m, MAX_INQUIRIES) - granted)
        before = max(0, min(row.asked_12m - row.asked_6m, MAX_INQUIRIES - last_half))
        ages = [rng.uniform(183, 365) for _ in range(before)]
        if row.asked_6m >= 2 and rng.random() < 0.5:
            ages += [rng.uniform(0.05, BURST_DAYS) for _ in range(last_half + 1)]
        else:
            ages += [rng.uniform(1, 182) for _ in range(last_half)]
        return [self._inquiry(row, age) for age in ages]

    def _inquiry(self, row: Row, age_days: float) -> Account:
        rng = self._rng
        lender = rng.choices(self._lenders, [x.weight for x in self._lenders])[0]
        decided = age_days > 8 or rng.random() < 0.5
        applied = self._moment(age_days, lender)
        declined = self._moment(age_days * rng.uniform(0.4, 0.95), lender) if decided else None
        return Account(
            loan_id=self._loan_id(lender),
            application_id=self._application_id(lender),
            lender=lender.name,
            product_kind=rng.choice(lender.products),
            status="declined" if decided else "applied",
            amount_minor=round(row.funded * rng.uniform(0.1, 1)) * 100,
            applied_time=int(applied.timestamp()),
            declined_time=int(declined.timestamp()) if declined else None,
        )

    def _loan_id(self, lender: Lender) -> str:
        self._number += 1
        return f"{lender.name[0].upper()}L{self._number:06d}"

    def _application_id(self, lender: Lender) -> str:
        """Some loans are filed under the number of their application."""
        named = self._rng.random() < 0.8
        return f"{lender.name[0].upper()}A{self._number:06d}" if named else ""

    def _moment(self, age_days: float, lender: Lender) -> datetime:
        """So many days before the as-of; midnight of the day where the lender knows only days."""
        moment = (self._as_of - timedelta(days=age_days)).replace(microsecond=0)
        if lender.writes_times == "date":
            local = moment.astimezone(ZoneInfo(lender.time_zone))
            moment = local.replace(hour=0, minute=0, second=0)
        return moment.astimezone(UTC)


def _next_due(today: date, day: int) -> date:
    following = today.replace(day=1) + timedelta(days=32)
    return following.replace(day=min(day, 28))
