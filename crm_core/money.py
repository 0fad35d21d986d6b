"""Money: an exact amount with its currency; and the one place of the house where a number is rounded.

Amounts are never floats. Arithmetic is exact (a decimal context that traps any loss of digits), so an amount of
20 digits and 8 decimals stays what it is until somebody asks for a rounding by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache

from crm_core.errors import RuleFault

MAXIMUM_DIGITS = 64
"""Digits that a number may have on either side of the point; `1E+999999999` would fill the memory as an integer."""

DEFAULT_MINOR_UNITS = 2

# ISO 4217, list one (SIX Financial Information, maintenance agency): every currency whose exponent is not 2.
_CODES_BY_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_MINOR_UNITS = {code: decimals for decimals, codes in _CODES_BY_DECIMALS.items() for code in codes.split()}
# "N.A." in the same list: metals, bond market units, accounting units, test and no currency.
_WITHOUT_MINOR_UNITS = frozenset("XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA XXX".split())  # noqa: SIM905
_CURRENCY = re.compile(r"[A-Z]{3}")
_EXACT = Context(prec=6 * MAXIMUM_DIGITS, traps=[Inexact, InvalidOperation, Overflow])


class Rounding(StrEnum):
    """How a number is brought to a multiple. UP is away from zero, DOWN towards it; halves by name."""

    HALF_UP = "half_up"
    HALF_EVEN = "half_even"
    UP = "up"
    DOWN = "down"


def exact(value: Decimal | Fraction | int) -> Fraction:
    """The same number as a fraction.

    Raises TypeError for a float (its cents are lost already) or anything else that is not an exact number,
    RuleFault for NaN, infinity and numbers of more than MAXIMUM_DIGITS on a side of the point.
    """
    _refuse_inexact(value)
    if isinstance(value, Decimal):
        _refuse_unbounded(value)
    return Fraction(value)


def find_decimal(value: Fraction) -> Decimal | None:
    """The same number as a decimal without needless zeros; None when it has no end (1/3) or is too long."""
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    places = max(twos, fives)
    if rest != 1 or places > MAXIMUM_DIGITS:
        return None
    return _decimal(value.numerator * 10**places // value.denominator, places)


def round_to_multiple(value: Fraction, increment: Fraction, rounding: Rounding) -> Fraction:
    """The multiple of `increment` (above 0) nearest to `value` in the sense of `rounding`.

    Raises RuleFault for an increment of 0 or below.
    """
    if increment <= 0:
        raise RuleFault(f"a rounding increment must be above 0, is {increment}")
    steps = value / increment
    whole, rest = divmod(abs(steps.numerator), steps.denominator)
    match rounding:
        case Rounding.UP:
            goes_up = rest > 0
        case Rounding.DOWN:
            goes_up = False
        case Rounding.HALF_UP:
            goes_up = 2 * rest >= steps.denominator
        case Rounding.HALF_EVEN:
            goes_up = 2 * rest > steps.denominator or (2 * rest == steps.denominator and whole % 2 == 1)
    multiple = (whole + int(goes_up)) * increment
    return multiple if value >= 0 else -multiple


def round_to_places(value: Fraction, places: int, rounding: Rounding) -> Decimal:
    """`value` with exactly `places` decimals, e.g. 12.50 for 2. Raises RuleFault when it is too long to be kept."""
    rounded = round_to_multiple(value, Fraction(1, 10**places), rounding)
    return _decimal(rounded.numerator * 10**places // rounded.denominator, places)


def minor_units(currency: str) -> int:
    """Decimals of the currency by ISO 4217: 0 for JPY, 3 for KWD, 4 for CLF, 2 for all that the table does not name.

    Raises RuleFault for what has none (gold, XXX) and for what is no currency code.
    """
    _refuse_no_currency(currency)
    if currency in _WITHOUT_MINOR_UNITS:
        raise RuleFault(f"{currency} has no minor unit that an amount could be rounded to")
    return _MINOR_UNITS.get(currency, DEFAULT_MINOR_UNITS)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in a currency; may be finer than the minor unit until it is rounded.

    Raises TypeError unless the amount is a Decimal; RuleFault for NaN, infinity, more than MAXIMUM_DIGITS on a side
    of the point, and a currency that is not three capital letters.
    """

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not isinstance(self.amount, Decimal):
            raise TypeError(f"an amount of money is a Decimal, not {type(self.amount).__name__}")
        _refuse_unbounded(self.amount)
        _refuse_no_currency(self.currency)

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"

    def __add__(self, other: Money) -> Money:
        self._check_currency(other, "add")
        return Money(_EXACT.add(self.amount, other.amount), self.currency)

    def __sub__(self, other: Money) -> Money:
        self._check_currency(other, "subtract")
        return Money(_EXACT.subtract(self.amount, other.amount), self.currency)

    def __neg__(self) -> Money:
        return Money(_EXACT.minus(self.amount), self.currency)

    def __mul__(self, factor: Decimal | int) -> Money:
        _refuse_inexact(factor)
        if not isinstance(factor, Decimal | int):
            raise TypeError(f"money is multiplied by a Decimal, not by {type(factor).__name__}")
        factor = Decimal(factor)
        _refuse_unbounded(factor)
        return Money(_EXACT.multiply(self.amount, factor), self.currency)

    __rmul__ = __mul__

    def __lt__(self, other: Money) -> bool:
        self._check_currency(other, "compare")
        return self.amount < other.amount

    def __le__(self, other: Money) -> bool:
        self._check_currency(other, "compare")
        return self.amount <= other.amount

    def rounded(self, rounding: Rounding = Rounding.HALF_UP) -> Money:
        """In whole minor units of the currency: 1235 JPY, 12.35 EUR, 1.235 KWD."""
        return Money(round_to_places(exact(self.amount), minor_units(self.currency), rounding), self.currency)

    def allocate(self, weights: Iterable[Decimal | int]) -> tuple[Money, ...]:
        """Shares in proportion to the weights, in whole minor units, whose sum is this amount to the cent.

        The cents that are left over go to the largest remainders, the earlier share first. Raises RuleFault when the
        amount is finer than the minor unit (round it first), a weight is negative or all are 0.
        """
        places = minor_units(self.currency)
        units = exact(self.amount) * 10**places
        if units.denominator != 1:
            raise RuleFault(f"{self} has more than the {places} decimals of {self.currency}: round it first")
        parts = [exact(weight) for weight in weights]
        total = sum(parts, Fraction(0))
        if total <= 0 or min(parts) < 0:
            raise RuleFault("shares need weights of 0 or more, and one above 0")
        ideal = [abs(units) * part / total for part in parts]
        shares = [share.numerator // share.denominator for share in ideal]
        left_over = int(abs(units)) - sum(shares)
        by_remainder = sorted(range(len(parts)), key=lambda index: shares[index] - ideal[index])
        for index in by_remainder[:left_over]:
            shares[index] += 1
        sign = -1 if units < 0 else 1
        return tuple(Money(_decimal(sign * share, places), self.currency) for share in shares)

    def _check_currency(self, other: Money, verb: str) -> None:
        if not isinstance(other, Money):
            raise TypeError(f"cannot {verb} Money and {type(other).__name__}")
        if self.currency != other.currency:
            raise RuleFault(f"cannot {verb} {self.currency} and {other.currency} without an exchange rate")


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """Of amounts of one currency that were looked at before, with all their digits; 0 of no amounts."""
    total = Decimal(0)
    for amount in amounts:
        total = _EXACT.add(total, amount)
    return total


def exact_difference(one: Decimal, other: Decimal) -> Decimal:
    """`one` less `other`, with all their digits."""
    return _EXACT.subtract(one, other)


def sum_of(amounts: Iterable[Money]) -> Money | None:
    """Of one currency; None of no amounts. Raises RuleFault for two currencies, and as `Money` does."""
    found = list(amounts)
    if not found:
        return None
    for one in found:
        found[0]._check_currency(one, "add")
    return Money(exact_sum(one.amount for one in found), found[0].currency)


def _refuse_inexact(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Decimal | Fraction | int):
        raise TypeError(f"{type(value).__name__} is not an exact number: give a Decimal")


@lru_cache(maxsize=512)  # more than there are; what is refused is not kept
def _refuse_no_currency(code: str) -> None:
    if not _CURRENCY.fullmatch(code):
        raise RuleFault(f"a currency is three capital letters, not {code!r}")


def _refuse_unbounded(value: Decimal) -> None:
    if value.is_finite() and len(text := str(value)) <= MAXIMUM_DIGITS and "E" not in text:
        return  # quicker than looking at its digits, and true of every amount that anybody has seen
    if not value.is_finite():
        raise RuleFault(f"{value} is not a finite number")
    exponent = value.as_tuple().exponent
    if value.adjusted() >= MAXIMUM_DIGITS or not -MAXIMUM_DIGITS <= int(exponent) < MAXIMUM_DIGITS:
        raise RuleFault(f"a number has at most {MAXIMUM_DIGITS} digits on a side of the point, {value:.3E} has more")


def _decimal(units: int, places: int) -> Decimal:
    if abs(units) >= 10 ** (2 * MAXIMUM_DIGITS):
        raise RuleFault(f"a result has more than {2 * MAXIMUM_DIGITS} digits")
    return Decimal(units).scaleb(-places, _EXACT)
