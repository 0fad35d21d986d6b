"""Texts, numbers and times in three languages."""

from __future__ import annotations

import re
import string
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core import errors
from crm_core.credit import Cause
from crm_core.errors import ConfigurationFault, CounterfoilError, RuleFault
from crm_core.ids import EntityType
from crm_core.intents import IntentState
from http_api.desk.speech import LANGUAGES, language_for, speech_of
from sync_jobs.decisions import Decision

ENGLISH = speech_of("en")
FOREIGN = [tag for tag in LANGUAGES if tag != "en"]


def fields_of(text: object) -> set[str]:
    texts = text.values() if isinstance(text, dict) else [text]
    return {name for one in texts for _, name, _, _ in string.Formatter().parse(str(one)) if name}


@pytest.mark.parametrize("tag", FOREIGN)
def test_every_language_says_everything(tag: str) -> None:
    """A text that one language lacks would be an error page to everybody who reads it."""
    spoken = speech_of(tag).texts
    assert sorted(spoken) == sorted(ENGLISH.texts)
    for key, text in spoken.items():
        assert isinstance(text, dict) == isinstance(ENGLISH.texts[key], dict), key
        assert fields_of(text) == fields_of(ENGLISH.texts[key]), key


@pytest.mark.parametrize("tag", FOREIGN)
def test_no_text_was_left_in_english(tag: str) -> None:
    """A half-translated page reads like a broken one."""
    same = [
        key
        for key, text in speech_of(tag).texts.items()
        if text == ENGLISH.texts[key] and key not in ("brand", "comma")
    ]
    assert same == []


def test_every_key_that_a_page_uses_is_there_and_no_other() -> None:
    """A page with a key that is not there cannot be shown; a text that nobody shows is translated for nothing."""
    room = files("http_api.desk")
    pages = [file.read_text(encoding="utf-8") for file in room.joinpath("templates").iterdir()]
    code = [file.read_text(encoding="utf-8") for file in room.iterdir() if file.name.endswith(".py")]
    whole = "\n".join(pages + code)
    literal = set(re.findall(r"\.(?:say|count)\(\s*[\"']([a-z_.0-9]+[a-z_0-9])[\"'](?! *~)", whole))
    assert literal - set(ENGLISH.texts) == set()
    groups = set(re.findall(r"\bword\(\s*[\"']([a-z_.]+)[\"']", whole)) | {
        "order.verdict",
        "credit.parts_of",
        "credit.buckets",
    }
    named = set(re.findall(r"[\"']([a-z_]+\.[a-z_.]+)[\"']", whole))
    by_noun = {f"{noun}.{what}" for noun in ("accounts", "products") for what in ("title", "find", "found")}
    unused = {
        key
        for key in ENGLISH.texts
        if key not in literal | named | by_noun and not any(key.startswith(f"{group}.") for group in groups)
    }
    assert unused == set()


def test_whatever_goes_wrong_has_a_name_in_every_language() -> None:
    """A cause that has no text is shown as `validation_rejected` to people who read Persian."""
    kinds = [errors.ConnectorError, errors.MappingFault, errors.RuleFault]
    for kind in kinds:
        kinds.extend(one for one in kind.__subclasses__() if one.__module__ == errors.__name__)
    # the word of a class is made of its name, without making one
    causes = {CounterfoilError.cause.fget(kind.__new__(kind)) for kind in kinds}
    assert {f"cause.{cause}" for cause in causes} - set(ENGLISH.texts) == set()
    assert {f"reason.{cause.value}" for cause in Cause} - set(ENGLISH.texts) == set()
    assert {f"status.{state.value}" for state in IntentState} - set(ENGLISH.texts) == set()
    assert {f"decision.{decision.value}" for decision in Decision} - set(ENGLISH.texts) == set()
    assert {f"entity.{entity.value}" for entity in EntityType} - set(ENGLISH.texts) == set()


def test_a_count_takes_the_form_of_its_language() -> None:
    """`1 accounts` makes people doubt the number too."""
    assert ENGLISH.count("accounts.found", 1) == "1 account"
    assert ENGLISH.count("accounts.found", 0) == "0 accounts"
    assert ENGLISH.count("accounts.found", 1234) == "1,234 accounts"
    assert speech_of("th").count("accounts.found", 1) == "พบลูกค้า 1 ราย"
    assert speech_of("fa").count("accounts.found", 12) == "۱۲ مشتری"


def test_money_keeps_every_digit_and_its_currencys_decimals() -> None:
    """A rounded unit price would be another price; yen have no cents, dinars have three."""
    assert ENGLISH.money(Decimal("1234.5000"), "EUR") == "€1,234.50"
    assert ENGLISH.money(Decimal("1.23456"), "EUR") == "€1.23456"
    assert ENGLISH.money(Decimal("1235"), "JPY") == "¥1,235"
    assert ENGLISH.money(Decimal("-1.5"), "KWD") == "-KWD1.500"
    assert ENGLISH.money(Decimal("12345678901234567890.12345678"), "EUR") == "€12,345,678,901,234,567,890.12345678"


def test_persian_is_written_with_its_own_digits_and_from_right_to_left() -> None:
    """Latin digits inside Persian text are read in the wrong order by people and by machines."""
    persian = speech_of("fa")
    assert (persian.direction, persian.is_rtl) == ("rtl", True)
    assert persian.number(Decimal("1234.5")) == "۱٬۲۳۴٫۵"
    assert "۱٬۲۳۴٫۵۰" in persian.money(Decimal("1234.5"), "EUR")
    assert persian.day(date(2026, 11, 26)) == "۲۶ نوامبر ۲۰۲۶"
    assert persian.age(130) == "۲ دقیقه پیش"
    assert not re.search("[0-9]", persian.moment(datetime(2026, 11, 26, 5, 57, tzinfo=UTC)))


def test_unknown_is_said_and_never_a_number() -> None:
    """A limit that nobody told must not look like zero."""
    for tag in LANGUAGES:
        speech = speech_of(tag)
        assert speech.money(None, "EUR") == speech.number(None) == speech.percent(None) == speech.say("unknown")
        assert not re.search(r"\d", speech.say("unknown"))


def test_ages_and_durations_are_short() -> None:
    """How old a figure is decides whether somebody asks again."""
    assert ENGLISH.age(0.2) == "just now"
    assert ENGLISH.age(180) == "3 minutes ago"
    assert ENGLISH.duration(0.26) == "0.3 s"
    assert ENGLISH.duration(42.4) == "42 s"
    assert ENGLISH.duration(300) == "5 min"


def test_an_axis_names_hours_within_a_day_and_days_beyond() -> None:
    """Hours on an axis of a month would say nothing."""
    at = datetime(2026, 11, 26, 5, 57, tzinfo=UTC)
    assert ENGLISH.tick(at, timedelta(hours=3)).replace("\u202f", " ") == "5:57 AM"
    assert ENGLISH.tick(at, timedelta(days=9)) == "Nov 26"


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12))
def test_what_a_page_writes_can_be_typed_in_again(value: Decimal) -> None:
    """Who copies a price from one page into the form of another must not order at a different one."""
    for tag in LANGUAGES:
        speech = speech_of(tag)
        plain = speech.number(value).replace("\u2212", "-").replace("\u200e", "").replace("\u200f", "")
        assert speech.read_number(plain) == value


@pytest.mark.parametrize("text", ["1,5", "1e5", "ten", "1.2.3", "--1", "9" * 41, "NaN", "½"])
def test_what_is_no_number_is_refused_with_an_example(text: str) -> None:
    """1,5 taken for 15 would be ten times the quantity."""
    with pytest.raises(RuleFault):
        ENGLISH.read_number(text)


@pytest.mark.parametrize("text", ["۱۲٫۵", "12.5", "๑๒.๕", " 12.5 "])
def test_digits_of_every_script_are_read(text: str) -> None:
    """A Persian keyboard types Persian digits."""
    assert speech_of("fa").read_number(text) == Decimal("12.5")


@pytest.mark.parametrize(
    ("chosen", "accepted", "expected"),
    [
        ("fa", "th", "fa"),
        (None, "th-TH,th;q=0.9,en;q=0.8", "th"),
        (None, "de, fa;q=0.5, en;q=0.1", "fa"),
        ("xx", None, "en"),
        (None, "fa;q=nonsense, ;;;", "en"),
    ],
)
def test_the_language_is_what_somebody_chose_or_the_browser_asks_for(
    chosen: str | None, accepted: str | None, expected: str
) -> None:
    """A header that makes no sense must not keep anybody out."""
    assert language_for(chosen, accepted) == expected


def test_a_text_that_is_not_there_names_the_nearest() -> None:
    """A typing mistake in a template is found by its name."""
    with pytest.raises(ConfigurationFault, match=r"has no text 'credit\.limmit'; did you mean 'credit\.limit'"):
        ENGLISH.say("credit.limmit")
    with pytest.raises(ConfigurationFault, match="use `count`"):
        ENGLISH.say("accounts.found")
    with pytest.raises(ConfigurationFault, match="known: en, fa, th"):
        speech_of("english")
