"""How the pages speak: texts, numbers, money, dates and ages in one language.

Texts stand in `translations/<language>.toml`: a key is the dotted path to a text, `{name}` in it is filled in. A text
that depends on a count is a table by CLDR plural category (`one`, `other`); `other` is always there. What is unknown
is said in words, never as zero.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from babel import Locale
from babel.dates import format_date, format_datetime, format_skeleton, format_time, format_timedelta
from babel.numbers import NumberFormatError, format_currency, format_decimal, format_percent, parse_decimal

from crm_core.errors import ConfigurationFault, RuleFault, did_you_mean

LANGUAGES: Mapping[str, str] = {"en": "English", "th": "ไทย", "fa": "فارسی"}
"""The languages of the pages by their tag, each named in itself."""
DEFAULT_LANGUAGE = "en"

_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_LONGEST_NUMBER = 40
_DIGITS = {"arabext": str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")}
"""Digits by CLDR numbering system, where they are not ASCII's. Babel formats with ASCII digits."""


@dataclass(frozen=True)
class Speech:
    """One language. Its methods take exact numbers and aware times and give texts; None is said as `unknown`."""

    tag: str
    locale: Locale
    texts: Mapping[str, str | Mapping[str, str]]

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`, for the page's `dir`."""
        return self.locale.text_direction

    @property
    def is_rtl(self) -> bool:
        """Whether it is written from right to left."""
        return self.direction == "rtl"

    # -- texts --------------------------------------------------------------------------------------------------------

    def say(self, key: str, **values: object) -> str:
        """The text of a key with its values filled in. Raises ConfigurationFault for a key that is not there."""
        text = self._text(key)
        if not isinstance(text, str):
            raise ConfigurationFault(f"text {key!r} depends on a count: use `count`")
        return text.format(**values) if values else text

    def count(self, key: str, number: int, **values: object) -> str:
        """The text of a key for this many; `{count}` in it is the number as this language writes it."""
        text = self._text(key)
        if isinstance(text, str):
            raise ConfigurationFault(f"text {key!r} does not depend on a count: use `say`")
        chosen = text.get(self.locale.plural_form(number), text["other"])
        return chosen.format(count=self.number(Decimal(number)), **values)

    def word(self, group: str, name: str) -> str:
        """The text `group.name`, or the name itself where it is not ours to translate (a vendor's code)."""
        text = self.texts.get(f"{group}.{name.replace(' ', '_')}")
        return text if isinstance(text, str) else name.replace("_", " ")

    def _text(self, key: str) -> str | Mapping[str, str]:
        if key not in self.texts:
            raise ConfigurationFault(f"language {self.tag!r} has no text {key!r}{did_you_mean(key, self.texts)}")
        return self.texts[key]

    # -- numbers ------------------------------------------------------------------------------------------------------

    def number(self, value: Decimal | int | None) -> str:
        """Every digit of it, grouped."""
        if value is None:
            return self.say("unknown")
        plain = _without_trailing_zeros(Decimal(value))
        return self._digits(
            format_decimal(plain, locale=self.locale, decimal_quantization=False, numbering_system="default")
        )

    def money(self, amount: Decimal | None, currency: str) -> str:
        """With the currency's own decimals, and more where the amount is finer."""
        if amount is None:
            return self.say("unknown")
        plain = _without_trailing_zeros(amount)
        return self._digits(
            format_currency(plain, currency, locale=self.locale, decimal_quantization=False, numbering_system="default")
        )

    def read_number(self, text: str) -> Decimal:
        """A number as somebody types it: digits of any script, `1234.5` or as this language writes it.

        Raises RuleFault for anything else; `1,5` is no number where the comma groups thousands.
        """
        plain = "".join(str(unicodedata.decimal(sign, sign)) for sign in text.strip())
        if len(plain) > _LONGEST_NUMBER:
            raise RuleFault(f"{plain[:12]}... is too long for a number")
        if _PLAIN_NUMBER.fullmatch(plain):
            return Decimal(plain)
        try:
            if any(sign.isalpha() for sign in plain):  # Decimal would take `1e5` and `NaN`
                raise NumberFormatError(plain)
            return parse_decimal(plain, locale=self.locale, strict=True, numbering_system="default")
        except NumberFormatError:
            raise RuleFault(
                f"{text.strip()!r} is no number; write for example {self.number(Decimal('1234.5'))}"
            ) from None

    def percent(self, share: Decimal | None) -> str:
        """0.256 as 26 %."""
        return (
            self.say("unknown")
            if share is None
            else self._digits(format_percent(share, locale=self.locale, numbering_system="default"))
        )

    def per_second(self, value: float | None) -> str:
        """A speed, to the whole."""
        return "" if value is None else self.number(Decimal(round(value)))

    # -- times --------------------------------------------------------------------------------------------------------

    def day(self, value: date | None) -> str:
        """A date; nothing for none."""
        return "" if value is None else self._digits(format_date(value, locale=self.locale))

    def moment(self, value: datetime | None) -> str:
        """Date and time in UTC; nothing for none."""
        if value is None:
            return ""
        return self._digits(format_datetime(value, "medium", locale=self.locale)) + " UTC"

    def tick(self, value: datetime, whole: timedelta) -> str:
        """A place on a time axis of that length: the time of the day, or day and month where it is long."""
        if whole <= timedelta(days=1):
            length = "short" if whole >= timedelta(minutes=10) else "medium"
            return self._digits(format_time(value, length, locale=self.locale))
        return self._digits(format_skeleton("MMMd", value, locale=self.locale))

    def age(self, seconds: float) -> str:
        """How long ago: `3 minutes ago`; below a second, `just now`."""
        if seconds < 1:
            return self.say("just_now")
        ago = format_timedelta(-timedelta(seconds=seconds), add_direction=True, locale=self.locale)
        return self._digits(ago)

    def duration(self, seconds: float) -> str:
        """`1.3 s`, `5 min`: short, for tables."""
        if seconds < 60:
            tenths = Decimal(round(seconds, 1 if seconds < 10 else 0)).quantize(Decimal("0.1"))
            return self.say("seconds", count=self.number(tenths))
        spoken = format_timedelta(timedelta(seconds=seconds), threshold=1.2, format="short", locale=self.locale)
        return self._digits(spoken)

    def _digits(self, text: str) -> str:
        table = _DIGITS.get(self.locale.default_numbering_system)
        return text.translate(table) if table else text


@cache
def speech_of(tag: str) -> Speech:
    """The language of a tag. Raises ConfigurationFault for one that the pages do not speak."""
    if tag not in LANGUAGES:
        raise ConfigurationFault(f"the pages do not speak {tag!r}{did_you_mean(tag, LANGUAGES)}")
    text = files("http_api.desk").joinpath("translations", f"{tag}.toml").read_text(encoding="utf-8")
    return Speech(tag, Locale.parse(tag), _flat(tomllib.loads(text)))


def language_for(chosen: str | None, accepted: str | None) -> str:
    """The language that somebody chose, else the best of an Accept-Language header, else English."""
    if chosen in LANGUAGES:
        assert chosen is not None
        return chosen
    wished = [_wish(part) for part in (accepted or "").split(",")]
    for _, tag in sorted(wished, key=lambda wish: -wish[0]):
        if tag in LANGUAGES:
            return tag
    return DEFAULT_LANGUAGE


def _wish(part: str) -> tuple[float, str]:
    """(weight, language) of `fa-IR;q=0.8`; a weight that is none counts as nothing wished."""
    tag, _, weight = part.strip().partition(";q=")
    try:
        return float(weight or 1), tag.partition("-")[0].strip().lower()
    except ValueError:
        return 0.0, ""


def _without_trailing_zeros(value: Decimal) -> Decimal:
    """9.5000 as 9.5: how many zeros a database keeps says nothing. No digit is rounded away."""
    text = f"{value:f}"
    return Decimal(text.rstrip("0").rstrip(".")) if "." in text else value


_PLURALS = {"zero", "one", "two", "few", "many", "other"}


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str | Mapping[str, str]]:
    found: dict[str, str | Mapping[str, str]] = {}
    for name, value in table.items():
        if isinstance(value, str) or _is_plural(value):
            found[prefix + name] = value
        else:
            found.update(_flat(value, f"{prefix}{name}."))
    return found


def _is_plural(value: Iterable[str]) -> bool:
    return "other" in value and set(value) <= _PLURALS
