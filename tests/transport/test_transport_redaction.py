"""Whatever secret is configured, it never shows; what a person needs to read stays readable."""

from __future__ import annotations

import json
import logging
import time
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.transport.errors import Refusal, error_for
from connectors.transport.redaction import RedactingFilter, Redactor, redact, redact_event

SECRETS = st.text(min_size=1, max_size=30).filter(lambda text: text.strip("*").strip())


@given(secret=SECRETS, before=st.text(max_size=20), after=st.text(max_size=20))
def test_a_secret_is_gone_however_it_is_written(secret: str, before: str, after: str) -> None:
    redactor = Redactor([secret])
    spellings = (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], escape(secret))
    for spelling in spellings:
        text = redactor(before + spelling + after)
        assert secret not in text
        if spelling.strip("*"):
            assert spelling not in text


@given(secret=SECRETS)
def test_a_secret_is_gone_from_the_values_of_a_log_event(secret: str) -> None:
    redactor = Redactor([secret])
    shown = repr(redactor.value({"a": [secret, {"b": (secret, b"x")}], "c": ValueError(secret)}))
    structure = "{'a': ['***', {'b': ['***', 'x']}], 'c': '***'}"
    assert secret not in shown or secret in structure


@given(secrets=st.lists(SECRETS, min_size=2, max_size=4))
def test_secrets_inside_each_other_are_all_gone(secrets: list[str]) -> None:
    redactor = Redactor(secrets)
    text = redactor("-".join([*secrets, "".join(secrets)]))
    assert [secret for secret in secrets if secret in text] == []


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Basic c2VjcmV0LXdvcmQ=",
        'header {"authorization": "Bearer secret-word"} refused',
        "Bearer c2VjcmV0LXdvcmQ is wrong",
        "https://hub:secret-word@erp.example/api",
        "GET /x?api_key=secret-word&page=2",
        "GET /x?access_token=secret-word",
        "password='secret-word'",
        '"client_secret":"secret-word"',
        "<ns:password>secret-word</ns:password>",
        "x-api-key: secret-word",
        "token eyJhbGciOiJIUzI1.eyJzdWIiOiIx.secret-word",
        "mail to secret-word@customer.example please",
        "IBAN DE89 3704 0044 0532 0130 00",
        "IBAN DE89370400440532013000",
        "call +49 30 901820 or so",
        "call (030) 901820",
        "call 030 901820",
        "call 555-123-4567",
    ],
)
def test_what_looks_like_a_credential_or_a_person_is_gone(text: str) -> None:
    redacted = Redactor()(text)
    assert "***" in redacted
    for hidden in ("secret-word", "c2VjcmV0", "DE89", "3704", "901820", "123-4567"):
        assert hidden not in redacted


@pytest.mark.parametrize(
    "text",
    [
        "item 1896-S has 3 units at 1000.50 EUR",
        "order 102030405060 of 2026-11-22T03:55:17.047Z",
        "request 3a8a5f52-1111-4222-8333-123456789abc",
        "due 01.12.2026, posted 22/11/2026 and 22-11-2026",
        "Could not find a property named 'prise' on type 'Microsoft.NAV.item'.",
        'the field "token" is unknown',
        "price list 7 of 12: 12345678901234567890.10",
        "externalId SO-000123, internalId 4711",
        "GTIN 4006381333931",
    ],
)
def test_what_a_person_needs_stays(text: str) -> None:
    assert Redactor()(text) == text


def test_a_log_event_loses_its_secrets_by_name_and_by_value() -> None:
    redact.add("tok-4711-0815")
    event: dict[str, Any] = {
        "event": "call",
        "operation": "GET items?key=tok-4711-0815",
        "password": "anything",
        "headers": {"Authorization": "x", "Accept": "y"},
        "records": 5,
        "hold": None,
    }
    assert redact_event(None, "info", event) == {
        "event": "call",
        "operation": "GET items?key=***",
        "password": "***",
        "headers": {"Authorization": "***", "Accept": "y"},
        "records": 5,
        "hold": None,
    }


def test_the_standard_loggers_are_covered_with_their_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    redact.add("tok-4711-0815")
    logger = logging.getLogger("tests.redaction")
    caplog.handler.addFilter(added := RedactingFilter())
    try:
        raise ValueError("broken tok-4711-0815")
    except ValueError:
        logger.exception("failed with %s", "tok-4711-0815")
    finally:
        caplog.handler.removeFilter(added)
    assert "tok-4711" not in caplog.text
    assert "failed with ***" in caplog.text
    assert "ValueError: broken ***" in caplog.text


@pytest.mark.parametrize("unit", ["a.", "a", "+1 ", "0", "token:", 'token:"', "<a ", "a@a.", "AB12 "])
def test_no_text_takes_long(unit: str) -> None:
    """A back office that answers nonsense must not stop the pull with it."""
    began = time.process_time()
    Redactor(["some-secret"])(unit * 4000)
    assert time.process_time() - began < 5


def test_an_error_for_a_refusal_is_redacted_and_short() -> None:
    error = error_for(
        Refusal("no\nsuch jane@customer.example " + "x" * 500, status=400, code="E1"),
        operation="GET items?api_key=abc",
        is_safe_to_repeat=True,
    )
    assert str(error).startswith("GET items?api_key=***: no such *** xxx")
    assert len(error.message) == 300


def test_secrets_that_come_for_months_cost_little_until_a_text_is_redacted() -> None:
    """A token every few minutes: a pattern made anew for each of them would take longer every time."""
    known = Redactor()
    began = time.process_time()
    for number in range(5_000):
        known.add(f"token-{number:05d}")
    assert time.process_time() - began < 5
    assert known("a token-00000, a token-04999") == "a ***, a ***"
    known.add("another-one")
    assert known("another-one and token-00001") == "*** and ***"
