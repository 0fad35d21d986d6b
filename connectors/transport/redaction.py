"""Secrets and personal data are taken out of every text that leaves the transport: errors, logs, causes.

Two nets: the secrets that a connection knows by value are removed wherever they stand and however they are written
(in a URL, in JSON, in XML, in base64 after `Basic`), and what looks like a credential or like personal data is removed
by its form.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from functools import cache
from typing import Any
from urllib.parse import quote, quote_plus

MARK = "***"

_TELLING_WORD = (
    r"(?:[\w.-]{0,40}(?:password|passwd|passphrase|secret|token|api[_-]?key|apikey|access[_-]?key|private[_-]?key|signature"
    r"|session[_-]?id|sessionid|credential)[\w-]{0,40}|pwd|authorization|proxy-authorization|cookie|set-cookie)"
)
_TELLING_NAME = re.compile(_TELLING_WORD, re.IGNORECASE)


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Compiled when the first text is redacted. Every repetition is bounded, so that no text takes long."""
    return (
        # `Authorization: Basic abc`, `"api_key": "abc"`, `password=abc`, `<password>abc</password>`
        (
            re.compile(
                rf"""(?P<name>["']?\b{_TELLING_WORD}["']?\s*[:=]\s*)"""
                r"""(?:"(?:[^"\\]|\\.){0,2000}"|'(?:[^'\\]|\\.){0,2000}'|(?:(?:basic|bearer|session|digest|oauth|token)\s+)?[^\s,;&<>"'}\])]+)""",
                re.IGNORECASE,
            ),
            rf"\g<name>{MARK}",
        ),
        (
            re.compile(rf"(?P<open><(?:\w{{1,40}}:)?{_TELLING_WORD}(?:\s[^>]{{0,500}})?>)[^<]+", re.IGNORECASE),
            rf"\g<open>{MARK}",
        ),
        (re.compile(r"\b(?P<scheme>basic|bearer|session)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\g<scheme> {MARK}"),
        (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"), MARK),
        (re.compile(r"\bcfk_[0-9A-Z]{1,8}_[\w-]{20,}"), MARK),  # keys of our own HTTP face
        (re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]{0,20}://)[^\s/@]{1,300}@", re.IGNORECASE), rf"\g<scheme>{MARK}@"),
        (re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}(?:@|%40)[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"), MARK),
        (re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), MARK),
        (re.compile(r"(?<![\w+])\+\d[\d ()./-]{6,20}\d(?![\w])"), MARK),
        (
            re.compile(
                r"(?<![\w.-])(?:0\d{2,5}[ /-]\d[\d /-]{4,12}\d|0\d(?:[ .]\d\d){4}"
                r"|\(\d{2,5}\) ?\d[\d -]{4,12}\d)(?![\w-])"
            ),
            MARK,
        ),
        (re.compile(r"(?<![\w.-])\d{3}[-. ]\d{3}[-. ]\d{4}(?![\w-])"), MARK),
    )


def _spellings(secret: str) -> set[str]:
    """The secret as it may stand in a URL, in JSON, in XML, in a repr, or with its white space collapsed."""
    return {
        secret,
        secret.strip(),
        " ".join(secret.split()),
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        html.escape(secret),
        html.escape(secret, quote=False),
    }


class Redactor:
    """Knows the secrets of this process by value, and the look of others.

    Secrets are added by the connections when they are opened; adding is idempotent and never undone.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._spellings: frozenset[str] = frozenset()
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Remember secrets. A text of asterisks alone is ignored: it is what the mark looks like."""
        found = {spelling for secret in secrets if secret for spelling in _spellings(secret)}
        found = {spelling for spelling in found if spelling.strip("*")} - self._spellings
        if found:
            with self._lock:
                self._spellings |= found

    def add_credentials(self, headers: Mapping[str, str]) -> None:
        """Remember the values of headers that carry credentials, with and without their scheme word."""
        for value in headers.values():
            if value in self._spellings:
                continue
            _, _, bare = value.partition(" ")
            self.add(value, *([bare] if len(bare) >= 4 else []))
            if value.lower().startswith("basic "):
                try:
                    user_and_password = base64.b64decode(bare).decode()
                except ValueError:
                    continue
                self.add(user_and_password, user_and_password.partition(":")[2])

    def __call__(self, text: str) -> str:
        """The text without secrets and personal data."""
        text = self._without_known(text)
        for pattern, replacement in _patterns():
            text = pattern.sub(replacement, text)
        return self._without_known(text)

    def _without_known(self, text: str) -> str:
        # Again until nothing is found: a mark and its neighbours could spell a secret. Every pass takes away at least
        # one character that is no asterisk, so it ends. Each secret is sought by itself: one pattern of all of them
        # would have to be made anew for every token, and tokens come every few minutes for months.
        while found := [spelling for spelling in self._spellings if spelling in text]:
            found.sort(key=lambda spelling: (-len(spelling), spelling))
            text = re.sub("|".join(map(re.escape, found)), MARK, text)
        return text

    def value(self, value: Any) -> Any:
        """The same for any value of a log event: texts inside mappings and lists, values under a telling name."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, bytes):
            return self(value.decode("utf-8", "replace"))
        if isinstance(value, Mapping):
            return {
                self.value(key): MARK if _TELLING_NAME.fullmatch(str(key)) else self.value(item)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item) for item in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self(str(value))


redact = Redactor()
"""The redactor of this process: connections add to it, errors and logs go through it."""


def redact_event(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor; put it last before the renderer, behind `format_exc_info`."""
    for key, value in list(event.items()):
        event[key] = MARK if _TELLING_NAME.fullmatch(key) else redact.value(value)
    return event


class RedactingFilter(logging.Filter):
    """The same for the standard library's logging (urllib3 logs addresses with their query)."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrites the record; always lets it through."""
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True
