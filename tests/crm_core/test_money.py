"""Money: no cent is lost, no currency is mixed, nothing is rounded that nobody asked to round."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.errors import RuleFault
from crm_core.money import (
    MAXIMUM_DIGITS,
    Money,
    Rounding,
    exact,
    find_decimal,
    minor_units,
    round_to_multiple,
    round_to_places,
)

D = Decimal
CURRENCIES = st.sampled_from(["EUR", "JPY", "KWD", "CLF"])
AMOUNTS = st.decimals(min_value=D("-1E20"), max_value=D("1E20"), places=8, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("currency", "places"),
    [("JPY", 0), ("KRW", 0), ("UYI", 0), ("EUR", 2), ("MGA", 2), ("KWD", 3), ("BHD", 3), ("TND", 3), ("CLF", 4)],
)
def test_a_currency_has_the_decimals_of_iso_4217(currency: str, places: int) -> None:
    assert minor_units(currency) == places


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("1234.5", "JPY", "1235 JPY"),
        ("1.2345", "KWD", "1.235 KWD"),
        ("12.345", "EUR", "12.35 EUR"),
        ("-12.345", "EUR", "-12.35 EUR"),
        ("7", "EUR", "7.00 EUR"),
        ("0.00005", "CLF", "0.0001 CLF"),
        ("1E+3", "JPY", "1000 JPY"),
    ],
)
def test_an_invoice_total_has_the_decimals_of_its_currency(amount: str, currency: str, shown: str) -> None:
    assert str(Money(D(amount), currency).rounded()) == shown


@pytest.mark.parametrize(
    ("rounding", "results"),
    [
        (Rounding.HALF_UP, ["1.01", "1.02", "1.00", "-1.01"]),
        (Rounding.HALF_EVEN, ["1.00", "1.02", "1.00", "-1.00"]),
        (Rounding.UP, ["1.01", "1.02", "1.01", "-1.01"]),
        (Rounding.DOWN, ["1.00", "1.01", "1.00", "-1.00"]),
    ],
)
def test_each_rounding_does_what_its_name_says(rounding: Rounding, results: list[str]) -> None:
    amounts = ["1.005", "1.015", "1.004", "-1.005"]
    assert [str(Money(D(a), "EUR").rounded(rounding).amount) for a in amounts] == results


def test_gold_has_no_cent_to_round_to() -> None:
    with pytest.raises(RuleFault, match="XAU has no minor unit"):
        Money(D("1.5"), "XAU").rounded()


@pytest.mark.parametrize("currency", ["eur", "EURO", "", "E R", "EUR\n"])
def test_a_name_that_is_no_currency_is_refused(currency: str) -> None:
    with pytest.raises(RuleFault, match="three capital letters"):
        Money(D(1), currency)


@pytest.mark.parametrize("amount", [1.1, 1, "1", None, True])
def test_an_amount_that_is_no_decimal_is_a_programming_error(amount: object) -> None:
    with pytest.raises(TypeError, match="is a Decimal"):
        Money(amount, "EUR")  # type: ignore[arg-type]


@pytest.mark.parametrize("factor", [1.1, True, "2", Fraction(1, 3)])
def test_money_is_not_multiplied_by_a_float(factor: object) -> None:
    with pytest.raises(TypeError):
        Money(D(1), "EUR") * factor  # type: ignore[operator]


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_not_a_number_is_refused(amount: str) -> None:
    with pytest.raises(RuleFault, match="not a finite number"):
        Money(D(amount), "EUR")
    with pytest.raises(RuleFault, match="not a finite number"):
        exact(D(amount))


@pytest.mark.parametrize("amount", ["1E+999999", "1E-999999", "0E+999999", "1E+64", "1E-65", "-9E+999999"])
def test_an_exponent_that_would_fill_the_memory_is_refused(amount: str) -> None:
    with pytest.raises(RuleFault, match="at most 64 digits"):
        Money(D(amount), "EUR")
    with pytest.raises(RuleFault, match="at most 64 digits"):
        exact(D(amount))


def test_twenty_digits_and_eight_decimals_are_exact_whatever_the_decimal_context() -> None:
    with localcontext() as context:
        context.prec = 6
        large = Money(D("12345678901234567890.12345678"), "EUR")
        assert (large + Money(D("0.00000001"), "EUR")).amount == D("12345678901234567890.12345679")
        assert (large - large).amount == D(0)
        assert (large * D("3")).amount == D("37037036703703703670.37037034")
        assert (-large).amount == D("-12345678901234567890.12345678")
        assert str(large.rounded()) == "12345678901234567890.12 EUR"


def test_two_currencies_are_never_added_and_both_are_named() -> None:
    euro, yen = Money(D(1), "EUR"), Money(D(1), "JPY")
    with pytest.raises(RuleFault, match="cannot add EUR and JPY"):
        euro + yen
    with pytest.raises(RuleFault, match="cannot subtract JPY and EUR"):
        yen - euro
    with pytest.raises(RuleFault, match="cannot compare EUR and JPY"):
        _ = euro < yen
    assert euro != yen


def test_money_and_a_bare_number_are_never_added() -> None:
    with pytest.raises(TypeError, match="cannot add Money and Decimal"):
        Money(D(1), "EUR") + D(1)  # type: ignore[operator]


def test_equal_amounts_are_equal_however_they_are_written() -> None:
    assert Money(D("1.0"), "EUR") == Money(D("1.00"), "EUR")
    assert len({Money(D("1.0"), "EUR"), Money(D("1.00"), "EUR")}) == 1
    assert Money(D(2), "EUR") >= Money(D("2.0"), "EUR") > Money(D("1.99"), "EUR")


@pytest.mark.parametrize(
    ("amount", "currency", "weights", "shares"),
    [
        ("100", "EUR", [1, 1, 1], ["33.34", "33.33", "33.33"]),
        ("100", "JPY", [1, 1, 1], ["34", "33", "33"]),
        ("0.005", "KWD", [1, 2], ["0.002", "0.003"]),
        ("-0.05", "EUR", [1, 1], ["-0.03", "-0.02"]),
        ("10", "EUR", [D("0.7"), 0, D("0.3")], ["7.00", "0.00", "3.00"]),
    ],
)
def test_shares_are_fair_to_the_cent(
    amount: str, currency: str, weights: list[Decimal | int], shares: list[str]
) -> None:
    assert [str(share.amount) for share in Money(D(amount), currency).allocate(weights)] == shares


@given(
    st.integers(-(10**22), 10**22),
    CURRENCIES,
    st.lists(st.integers(0, 10**6), min_size=1, max_size=20).filter(any),
)
def test_shares_add_up_to_the_amount_whatever_the_weights(cents: int, currency: str, weights: list[int]) -> None:
    money = Money(D(cents).scaleb(-minor_units(currency)), currency)
    shares = money.allocate(weights)
    assert sum((exact(share.amount) for share in shares), Fraction(0)) == exact(money.amount)
    cent = Fraction(1, 10 ** minor_units(currency))
    for share, weight in zip(shares, weights, strict=True):
        assert abs(exact(share.amount) - exact(money.amount) * weight / sum(weights)) < cent


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1], [2, -1]])
def test_shares_without_sensible_weights_are_refused(weights: list[int]) -> None:
    with pytest.raises(RuleFault, match="weights"):
        Money(D(1), "EUR").allocate(weights)


def test_half_a_yen_is_not_shared() -> None:
    with pytest.raises(RuleFault, match="round it first"):
        Money(D("0.5"), "JPY").allocate([1, 1])


@given(AMOUNTS, AMOUNTS, CURRENCIES)
def test_what_is_added_and_taken_away_is_what_was_there(first: Decimal, second: Decimal, currency: str) -> None:
    a, b = Money(first, currency), Money(second, currency)
    assert a + b - b == a
    assert exact((a + b).amount) == exact(first) + exact(second)
    assert exact((a * second).amount) == exact(first) * exact(second)


@given(
    st.fractions(min_value=-(10**9), max_value=10**9, max_denominator=10**6),
    st.fractions(min_value=Fraction(1, 1000), max_value=100, max_denominator=1000),
    st.sampled_from(Rounding),
)
def test_a_rounded_number_is_a_multiple_and_never_further_than_one_step(
    value: Fraction, increment: Fraction, rounding: Rounding
) -> None:
    rounded = round_to_multiple(value, increment, rounding)
    assert (rounded / increment).denominator == 1
    assert round_to_multiple(rounded, increment, rounding) == rounded
    assert round_to_multiple(-value, increment, rounding) == -rounded
    distance = abs(rounded - value)
    if rounding in (Rounding.HALF_UP, Rounding.HALF_EVEN):
        assert distance * 2 <= increment
    else:
        assert distance < increment
        assert (abs(rounded) >= abs(value)) if rounding is Rounding.UP else (abs(rounded) <= abs(value))


@given(AMOUNTS, st.integers(0, 8), st.sampled_from(Rounding))
def test_our_roundings_are_those_of_the_decimal_module(value: Decimal, places: int, rounding: Rounding) -> None:
    with localcontext() as context:
        context.prec = 60
        theirs = value.quantize(D(1).scaleb(-places), rounding=f"ROUND_{rounding.value.upper()}")
    ours = round_to_places(exact(value), places, rounding)
    assert ours == theirs
    assert ours.as_tuple().exponent == -places


@given(AMOUNTS)
def test_a_decimal_comes_back_from_a_fraction_unchanged(value: Decimal) -> None:
    assert find_decimal(exact(value)) == value


def test_a_number_without_an_end_has_no_decimal() -> None:
    assert find_decimal(Fraction(1, 3)) is None
    assert find_decimal(Fraction(1, 10**MAXIMUM_DIGITS)) == D("1E-64")
    assert find_decimal(Fraction(1, 2 ** (MAXIMUM_DIGITS + 1))) is None
    assert find_decimal(Fraction(-1, 8)) == D("-0.125")


def test_a_rounding_increment_of_zero_is_refused() -> None:
    with pytest.raises(RuleFault, match="must be above 0"):
        round_to_multiple(Fraction(1), Fraction(0), Rounding.UP)
