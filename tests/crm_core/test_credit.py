"""Credit: nobody orders on credit that is not there, and nobody is told a number that nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.credit import (
    Available,
    Cause,
    CreditVerdict,
    ExchangeRate,
    Exposure,
    Outcome,
    Policy,
    available,
    exposure,
    find_overdue,
    judge_order,
)
from crm_core.errors import RuleFault
from crm_core.ids import CrmId
from crm_core.model.account import Credit
from crm_core.money import Money

D = Decimal
NOW = datetime(2026, 3, 15, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def eur(amount: str) -> Money:
    return Money(D(amount), "EUR")


def credit(limit: str | None = "1000", **fields: Any) -> Credit:
    known: dict[str, Any] = {
        "account_id": CrmId(1), "currency": "EUR", "as_of": NOW, "open_receivables": D(300), "open_orders": D(200),
        "undelivered": D(100), "overdue": D(0),
    }  # fmt: skip
    return Credit(limit=D(limit) if limit is not None else None, **(known | fields))


NOTHING_TOLD: dict[str, Any] = {"open_receivables": None, "open_orders": None, "undelivered": None}


def judge(of: Credit | None, total: str = "100", *, unknown: Policy = Policy.BLOCK, **fields: Any) -> CreditVerdict:
    given_fields: dict[str, Any] = {"now": NOW, "maximum_age": HOUR, "unknown_policy": unknown}
    return judge_order(of, eur(total), **(given_fields | fields))


def causes(verdict: CreditVerdict) -> list[tuple[Cause, Outcome]]:
    return [(reason.cause, reason.outcome) for reason in verdict.reasons]


# --- exposure and available credit ---


def test_exposure_is_the_sum_of_its_parts() -> None:
    parts = {"open_receivables": eur("300"), "open_orders": eur("200"), "undelivered": eur("100")}
    assert exposure(credit()) == Exposure(eur("600"), parts, ())
    assert exposure(credit()).is_complete


def test_a_part_that_is_not_told_is_named_and_is_not_zero() -> None:
    told = exposure(credit(open_orders=None))
    assert (told.known, told.unknown, told.is_complete) == (eur("400"), ("open_orders",), False)
    nothing = exposure(credit(**NOTHING_TOLD))
    assert (nothing.known, nothing.unknown) == (None, ("open_receivables", "open_orders", "undelivered"))
    zero = exposure(credit(open_receivables=D(0), open_orders=D(0), undelivered=D(0)))
    assert (zero.known, zero.unknown) == (eur("0"), ())


@pytest.mark.parametrize(
    ("limit", "amount"), [("1000", "400"), ("600", "0"), ("500", "-100"), ("0", "-600"), ("-50", "-600")]
)
def test_available_credit_is_limit_less_exposure(limit: str, amount: str) -> None:
    assert available(credit(limit)) == Available(eur(amount), False, ())


def test_no_limit_is_unlimited_and_not_zero() -> None:
    told = available(credit(None, open_orders=None))
    assert (told.amount, told.is_unlimited, told.is_certain) == (None, True, True)


def test_available_credit_with_an_unknown_exposure_is_unknown_and_not_the_limit() -> None:
    told = available(credit(**NOTHING_TOLD))
    assert (told.amount, told.is_unlimited, told.is_certain) == (None, False, False)
    at_most = available(credit(open_orders=None))
    assert (at_most.amount, at_most.is_certain) == (eur("600"), False)


def test_yen_and_dinar_credit() -> None:
    assert available(credit("100000", currency="JPY")).amount == Money(D(99400), "JPY")
    assert available(credit("1000.125", currency="KWD")).amount == Money(D("400.125"), "KWD")


def test_overdue_is_told_or_summed_from_all_buckets_or_unknown() -> None:
    buckets: dict[str, Any] = {
        "overdue_1_30": D(1),
        "overdue_31_60": D(2),
        "overdue_61_90": D(3),
        "overdue_over_90": D(4),
    }
    assert find_overdue(credit(overdue=D(7), **buckets)) == eur("7")
    assert find_overdue(credit(overdue=None, **buckets)) == eur("10")
    assert find_overdue(credit(overdue=None, **(buckets | {"overdue_61_90": None}))) is None
    assert find_overdue(credit(overdue=None)) is None


# --- the verdict ---


@pytest.mark.parametrize(("total", "outcome"), [("399.99", "ok"), ("400", "ok"), ("400.01", "block")])
def test_an_order_may_fill_the_limit_to_the_cent(total: str, outcome: str) -> None:
    verdict = judge(credit(), total)
    assert verdict.outcome == outcome
    assert (verdict.before, verdict.after) == (available(credit()), Available(eur("400") - eur(total), False, ()))
    assert verdict.as_of == NOW


def test_an_order_over_the_limit_says_by_how_much() -> None:
    (reason,) = judge(credit(), "500").reasons
    assert (reason.cause, reason.outcome) == (Cause.LIMIT, Outcome.BLOCK)
    assert reason.text == "500 EUR ordered, 400 EUR available of the limit of 1000 EUR"


def test_a_hold_blocks_even_an_unlimited_account() -> None:
    assert causes(judge(credit(None, is_on_hold=True))) == [(Cause.HOLD, Outcome.BLOCK)]
    assert judge(credit(is_on_hold=True), "-5", unknown=Policy.ALLOW).outcome == Outcome.BLOCK


def test_an_account_without_a_limit_may_order_anything() -> None:
    verdict = judge(credit(None, **NOTHING_TOLD), "99999999999999999999.99")
    assert (verdict.outcome, verdict.reasons) == (Outcome.OK, ())
    assert verdict.after == Available(None, True, ("open_receivables", "open_orders", "undelivered"))


@pytest.mark.parametrize("limit", ["0", "-100"])
def test_no_credit_means_no_order_unless_it_is_prepaid(limit: str) -> None:
    none_open: dict[str, Any] = {"open_receivables": D(0), "open_orders": D(0), "undelivered": D(0)}
    verdict = judge(credit(limit, **none_open), "0.01", unknown=Policy.ALLOW)
    assert verdict.outcome == Outcome.BLOCK
    assert verdict.reasons[0].text == "0.01 EUR ordered, 0 EUR available as no credit is agreed"
    assert judge(credit(limit, **(none_open | {"open_receivables": D(-50)})), "50").outcome == Outcome.OK
    assert causes(judge(credit(limit, **NOTHING_TOLD), unknown=Policy.ALLOW)) == [(Cause.LIMIT, Outcome.BLOCK)]


@pytest.mark.parametrize(
    ("policy", "outcome"), [(Policy.BLOCK, Outcome.BLOCK), (Policy.WARN, Outcome.WARN), (Policy.ALLOW, Outcome.OK)]
)
def test_what_is_not_known_follows_the_policy_and_is_always_said(policy: Policy, outcome: Outcome) -> None:
    assert causes(judge(None, unknown=policy)) == [(Cause.UNKNOWN, outcome)]
    verdict = judge(credit(open_orders=None), unknown=policy)
    assert (verdict.outcome, verdict.reasons[0].text) == (outcome, "the back office does not tell open_orders")
    assert causes(judge(credit(**NOTHING_TOLD), unknown=policy)) == [(Cause.UNKNOWN, outcome)]
    assert causes(judge(credit(as_of=NOW - 2 * HOUR), unknown=policy)) == [(Cause.STALE, outcome)]
    assert causes(judge(credit(None, as_of=NOW - 2 * HOUR), unknown=policy)) == [(Cause.STALE, outcome)]


def test_nothing_known_shows_no_number() -> None:
    verdict = judge(None, unknown=Policy.ALLOW)
    assert (verdict.before, verdict.after, verdict.as_of) == (None, None, None)


def test_an_order_beyond_the_whole_limit_is_blocked_although_nothing_is_known_of_what_is_owed() -> None:
    verdict = judge(credit("100", **NOTHING_TOLD), "100.01", unknown=Policy.ALLOW)
    assert causes(verdict) == [(Cause.LIMIT, Outcome.BLOCK)]
    assert verdict.reasons[0].text == "100.01 EUR ordered, at most 100 EUR available of the limit of 100 EUR"
    assert judge(credit("100", **NOTHING_TOLD), "100", unknown=Policy.ALLOW).outcome == Outcome.OK


def test_known_parts_over_the_limit_block_whatever_else_is_unknown() -> None:
    verdict = judge(credit("450", open_orders=None), "100", unknown=Policy.ALLOW)
    assert causes(verdict) == [(Cause.LIMIT, Outcome.BLOCK)]
    assert verdict.reasons[0].text == "100 EUR ordered, at most 50 EUR available of the limit of 450 EUR"


def test_a_return_is_not_held_by_the_limit() -> None:
    for total in ("0", "-100"):
        assert judge(credit("500"), total).outcome == Outcome.OK
    assert judge(credit(**NOTHING_TOLD), "-1").outcome == Outcome.OK


@pytest.mark.parametrize(
    ("age", "is_stale"),
    [(HOUR, False), (HOUR + timedelta(seconds=1), True), (-HOUR, False), (-HOUR - timedelta(seconds=1), True)],
)
def test_an_answer_is_stale_after_its_age_and_when_a_clock_has_run_away(age: timedelta, is_stale: bool) -> None:
    assert (causes(judge(credit(as_of=NOW - age))) == [(Cause.STALE, Outcome.BLOCK)]) is is_stale


def test_a_stale_answer_says_how_old_it_is() -> None:
    assert judge(credit(as_of=NOW - 2 * HOUR)).reasons[0].text == (
        "the credit is as of 2026-03-15T10:00:00+00:00, 2:00:00 old"
    )
    assert judge(credit(as_of=NOW + 2 * HOUR)).reasons[0].text.endswith("2:00:00 in the future")


def test_a_missing_zone_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        judge(credit(), now=datetime(2026, 3, 15))  # noqa: DTZ001


# --- overdue ---


@pytest.mark.parametrize(
    ("overdue", "policy", "expected"),
    [
        ("50", Policy.WARN, []),
        ("50.01", Policy.WARN, [(Cause.OVERDUE, Outcome.WARN)]),
        ("50.01", Policy.BLOCK, [(Cause.OVERDUE, Outcome.BLOCK)]),
        ("50.01", Policy.ALLOW, []),
    ],
)
def test_overdue_beyond_the_tolerance_follows_its_policy(overdue: str, policy: Policy, expected: list[Any]) -> None:
    verdict = judge(credit(overdue=D(overdue)), overdue_tolerance=D(50), overdue_policy=policy)
    assert causes(verdict) == expected


@pytest.mark.parametrize(
    ("overdue_policy", "unknown_policy", "outcome"),
    [
        (Policy.WARN, Policy.BLOCK, Outcome.WARN),
        (Policy.BLOCK, Policy.WARN, Outcome.WARN),
        (Policy.BLOCK, Policy.BLOCK, Outcome.BLOCK),
        (Policy.BLOCK, Policy.ALLOW, Outcome.OK),
    ],
)
def test_an_overdue_that_is_not_told_is_never_graver_than_a_known_one(
    overdue_policy: Policy, unknown_policy: Policy, outcome: Outcome
) -> None:
    verdict = judge(credit(overdue=None), unknown=unknown_policy, overdue_policy=overdue_policy)
    assert causes(verdict) == [(Cause.UNKNOWN, outcome)]


# --- currencies ---


def test_an_order_in_another_currency_is_blocked_without_a_rate() -> None:
    verdict = judge_order(credit(None), Money(D(1), "USD"), now=NOW, maximum_age=HOUR, unknown_policy=Policy.ALLOW)
    assert causes(verdict) == [(Cause.CURRENCY, Outcome.BLOCK)]
    assert verdict.reasons[0].text == "the order is in USD, the credit in EUR, and no rate is given"
    assert (verdict.before, verdict.after) == (available(credit(None)), None)


def test_a_rate_brings_the_order_into_the_currency_of_the_credit() -> None:
    rate = ExchangeRate("JPY", "EUR", D("0.00625"))
    verdict = judge_order(
        credit(), Money(D(64000), "JPY"), now=NOW, maximum_age=HOUR, unknown_policy=Policy.BLOCK, rate=rate
    )
    assert (verdict.outcome, verdict.after) == (Outcome.OK, Available(eur("0"), False, ()))
    assert rate.apply(Money(D(1), "JPY")) == eur("0.01")


def test_a_rate_for_other_currencies_is_refused_not_used() -> None:
    with pytest.raises(RuleFault, match="the rate is from EUR to USD, needed is USD to EUR"):
        judge_order(
            credit(),
            Money(D(1), "USD"),
            now=NOW,
            maximum_age=HOUR,
            unknown_policy=Policy.ALLOW,
            rate=ExchangeRate("EUR", "USD", D("1.1")),
        )
    with pytest.raises(RuleFault, match="cannot convert USD"):
        ExchangeRate("EUR", "USD", D("1.1")).apply(Money(D(1), "USD"))
    for value in ("0", "-1"):
        with pytest.raises(RuleFault, match="an exchange rate is above 0"):
            ExchangeRate("EUR", "USD", D(value))


# --- whatever ---

AMOUNTS = st.none() | st.decimals(-(10**6), 10**6, places=2)


@given(
    limit=AMOUNTS,
    parts=st.tuples(AMOUNTS, AMOUNTS, AMOUNTS),
    total=st.decimals(-(10**6), 10**6, places=2),
    unknown=st.sampled_from(Policy),
    age_minutes=st.integers(-200, 200),
    is_on_hold=st.booleans(),
)
def test_an_order_passes_only_when_everything_that_matters_is_known_and_fits(
    limit: Decimal | None,
    parts: tuple[Decimal | None, ...],
    total: Decimal,
    unknown: Policy,
    age_minutes: int,
    is_on_hold: bool,
) -> None:
    told = credit(
        str(limit) if limit is not None else None,
        open_receivables=parts[0],
        open_orders=parts[1],
        undelivered=parts[2],
        is_on_hold=is_on_hold,
        as_of=NOW - timedelta(minutes=age_minutes),
    )
    verdict = judge(told, str(total), unknown=unknown)
    is_complete = None not in parts
    is_fresh = abs(age_minutes) <= 60
    known = sum(part for part in parts if part is not None)
    fits = limit is None or total <= 0 or known + total <= max(limit, D(0))
    if is_on_hold or not fits:
        assert verdict.outcome is Outcome.BLOCK
    if verdict.outcome is Outcome.OK and not verdict.reasons:
        assert is_fresh
        assert not is_on_hold
        assert limit is None or total <= 0 or (is_complete and fits)
    if unknown is Policy.BLOCK and not is_fresh:
        assert verdict.outcome is Outcome.BLOCK
    assert verdict.before is not None
    assert verdict.before.is_unlimited is (limit is None)
    assert (verdict.before.amount is None) is (limit is None or set(parts) == {None})
