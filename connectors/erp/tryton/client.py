"""Talking to one company of a Tryton server: sign in, call, and turn its errors into ours."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from connectors.erp.tryton.config import TrytonConfig
from connectors.erp.tryton.records import Row, field_names, in_chunks, plain, shaped
from connectors.shapes import Shape
from connectors.transport.errors import shortened
from connectors.transport.http import HttpClient
from connectors.transport.json_rpc import JsonRpc
from connectors.transport.redaction import redact
from crm_core.clock import Clock, system_clock
from crm_core.errors import (
    AuthenticationFailed,
    ConfigurationFault,
    ConnectorError,
    PermissionDenied,
    ProtocolViolation,
    RecordNotFound,
    StaleVersion,
    ValidationRejected,
)

Domain = list[Any]
ALSO_INACTIVE = {"active_test": False}
"""Context that makes Tryton search deactivated records too, also behind relations."""


@dataclass(frozen=True, slots=True)
class Company:
    """The company that a connection reads, as the server gave it back."""

    id: int
    party_id: int
    currency_id: int
    currency: str
    currency_decimals: int


class Session:
    """Signs in when first needed and again when the server has forgotten us (it does so after minutes of silence)."""

    def __init__(self, config: TrytonConfig) -> None:
        self._config = config
        # One try: every failed sign-in counts, and after a few the server refuses us for a while.
        single = config.model_copy(update={"attempts": 1})
        self._http = HttpClient(single, config.url, secrets=[config.password.get_secret_value()])
        self._rpc = JsonRpc(self._http, f"{config.database}/rpc/", error_of)
        self._header: Mapping[str, str] | None = None

    def headers(self) -> Mapping[str, str]:
        """Raises AuthenticationFailed for a wrong password, RateLimited after too many of them."""
        if self._header is None:
            self._sign_in()
        assert self._header is not None
        return self._header

    def renew(self) -> bool:
        """Signs in again."""
        self._sign_in()
        return True

    def close(self) -> None:
        """Closes the connection; the session itself ends by its own time-out."""
        self._http.close()

    def _sign_in(self) -> None:
        config = self._config
        secret = {"password": config.password.get_secret_value()}
        try:
            answer = self._rpc.call(
                "common.db.login", config.user, secret, config.language, is_safe_to_repeat=True, operation="sign in"
            )
        except AuthenticationFailed as error:
            raise AuthenticationFailed(
                "user or password is not accepted", http_status=error.http_status, operation="sign in"
            ) from error
        except RecordNotFound as error:
            raise ConfigurationFault(f"there is no database {config.database!r} at {config.url}") from error
        if not isinstance(answer, list) or len(answer) < 2 or not isinstance(answer[1], str):
            raise ProtocolViolation("no session in the answer", operation="sign in")
        user_id, token = answer[0], answer[1]
        text = base64.b64encode(f"{config.user}:{user_id}:{token}".encode()).decode("ascii")
        redact.add(token, text)
        self._header = {"Authorization": f"Session {text}"}


class TrytonClient:
    """Calls in the context of one company. A context manager; used by one thread at a time."""

    def __init__(self, config: TrytonConfig, clock: Clock = system_clock) -> None:
        self.clock = clock
        self.page_size = config.page_size
        self.language = config.language
        self._config = config
        self._session = Session(config)
        self._http = HttpClient(config, config.url, auth=self._session)
        self._rpc = JsonRpc(self._http, f"{config.database}/rpc/", error_of)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._http.close()
        self._session.close()

    @cached_property
    def company(self) -> Company:
        """The company of the context, proved: the user may work for it and its currency comes back.

        Without a company Tryton answers just the same, with null for credit limits and prices, which would read as
        "no limit". So nothing is read before this. Raises ConfigurationFault without a company and for one that the
        user's company filter hides, PermissionDenied for one that is not the user's.
        """
        preferences = _object(self._call("res.user", "get_preferences", True, context={}), "res.user.get_preferences")
        allowed = preferences.get("companies") or []
        wanted = self._config.company or preferences.get("company")
        if wanted is None:
            raise ConfigurationFault(
                f"user {self._config.user!r} works for no company in Tryton, and `company` is not set: without a "
                f"company credit limits and prices are empty; the user's companies: {allowed or 'none'}"
            )
        if wanted not in allowed:
            raise PermissionDenied(f"company {wanted} is not one of the user's companies {allowed}")
        if wanted != preferences.get("company") and preferences.get("company_filter") != "all":
            # Tryton's access rules follow the user's own setting, not the context: reads could come back empty.
            raise ConfigurationFault(
                f"user {self._config.user!r} sees only its current company {preferences.get('company')}, not {wanted}: "
                "change the user's current company in Tryton, or its company filter to All"
            )
        shape: Shape = {"party": "integer", "currency": {"code": "text", "digits": "integer"}}
        rows = self.search_read("company.company", [["id", "=", wanted]], shape, context={"company": wanted})
        currency = rows[0]["currency"] if rows else None
        if not currency or not currency.get("code"):
            raise ProtocolViolation(f"company {wanted} comes back without its currency")
        return Company(wanted, rows[0]["party"], currency["id"], currency["code"], currency["digits"])

    @cached_property
    def context(self) -> Row:
        """What goes along with every call: the company and the language."""
        return {"company": self.company.id, "language": self.language}

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Languages that names are translated to, the connection's own first."""
        rows = self.search_read("ir.lang", [["translatable", "=", True]], {"code": "text"})
        return (self.language, *sorted(row["code"] for row in rows if row["code"] != self.language))

    def today(self) -> str:
        """The company's date by the server's clock, ISO."""
        return str(plain(self._call("ir.date", "today", context=self.context)))

    def has_module(self, name: str) -> bool:
        """Whether a module of Tryton is activated."""
        domain = [["name", "=", name], ["state", "=", "activated"]]
        return bool(self.search_read("ir.module", domain, {"name": "text"}, limit=1))

    def search_read(
        self,
        model: str,
        domain: Domain,
        shape: Shape,
        *,
        limit: int | None = None,
        order: Sequence[tuple[str, str]] = (("id", "ASC"),),
        context: Mapping[str, Any] | None = None,
    ) -> list[Row]:
        """The records of a domain with the fields of a shape, as plain JSON values.

        Raises ProtocolViolation for an answer that is no list of records with ids.
        """
        context = {**(self.context if not context or "company" not in context else {}), **(context or {})}
        sent = [list(pair) for pair in order]
        rows = self._call(model, "search_read", domain, 0, limit, sent, list(field_names(shape)), context=context)
        return _rows(rows, shape, model)

    def read(self, model: str, ids: Sequence[int], shape: Shape, *, context: Mapping[str, Any]) -> list[Row]:
        """Records by id, in any order; a page size at a time."""
        names = list(field_names(shape))
        found: list[Row] = []
        for chunk in in_chunks(ids, self.page_size):
            answer = self._call(model, "read", chunk, names, context={**self.context, **context})
            found += _rows(answer, shape, model)
        return found

    def search_all(self, model: str, domain: Domain, shape: Shape) -> list[Row]:
        """All records of a domain, a page size at a time. For what is few or bounded by the domain."""
        found: list[Row] = []
        last = 0
        while True:
            page = self.search_read(model, [["id", ">", last], domain], shape, limit=self.page_size)
            found += page
            if len(page) < self.page_size:
                return found
            last = page[-1]["id"]

    def ask(self, model: str, method: str, *params: Any) -> Row:
        """A method that changes nothing and answers an object: `fields_get`, `default_get`, `on_change_party`."""
        return _object(self._call(model, method, *params, context=self.context), f"{model}.{method}")

    def choices(self, model: str, method: str) -> frozenset[str]:
        """The values of a selection, from the method that lists them with their labels."""
        pairs = self._call(model, method, context=self.context)
        if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            raise ProtocolViolation("the answer is no list of choices", operation=f"{model}.{method}")
        return frozenset(str(value) for value, _ in pairs if value)

    def change(self, model: str, method: str, *params: Any, context: Mapping[str, Any] | None = None) -> Any:
        """A method that changes something: sent once. Raises OutcomeUnknown when no answer came."""
        return self._call(model, method, *params, context={**self.context, **(context or {})}, is_safe_to_repeat=False)

    def _call(
        self, model: str, method: str, *params: Any, context: Mapping[str, Any], is_safe_to_repeat: bool = True
    ) -> Any:
        self._session.headers()  # signs in outside of the repeating, so that a refused sign-in is not repeated
        operation = f"{model}.{method}"
        try:
            return self._rpc.call(
                f"model.{operation}", *params, dict(context), is_safe_to_repeat=is_safe_to_repeat, operation=operation
            )
        except PermissionDenied as error:
            if error.http_status == 403:
                raise PermissionDenied(
                    f"this server does not offer {method} of {model}", http_status=403, operation=operation
                ) from error
            raise


def _object(answer: Any, operation: str) -> Row:
    if not isinstance(answer, dict):
        raise ProtocolViolation("the answer is no object", operation=operation)
    return answer


def _rows(answer: Any, shape: Shape, model: str) -> list[Row]:
    if not isinstance(answer, list) or not all(isinstance(row, dict) and type(row.get("id")) is int for row in answer):
        raise ProtocolViolation("the answer is no list of records with ids", operation=f"{model}.read")
    return [shaped(plain(row), shape) for row in answer]


_QUOTED = re.compile(r"'([\w.]+)'")
_NOT_ALLOWED = re.compile(r"\bnot allowed to (access|read)\b", re.IGNORECASE)
_NOT_THERE = re.compile(r"that don't exist|does not exist", re.IGNORECASE)


def error_of(error: Any, operation: str) -> ConnectorError:
    """The error that Tryton's `error` member stands for; it comes with HTTP 200. Not raised here.

    `["UserError", [message, description, domain]]`, `["UserWarning", [name, message, description]]`,
    `["ConcurrencyException", message]`, and for whatever else went wrong in the server the text of the exception and
    of its traceback: an unknown field or model is a KeyError, `["'nosuch'", ""]`.
    """
    said = error if isinstance(error, list) else [error]
    kind = said[0] if said and isinstance(said[0], str) else ""
    details = said[1] if len(said) > 1 else ""
    parts = details if isinstance(details, list) else [details]
    texts = [shortened(redact(part)) for part in parts if isinstance(part, str)]
    facts: dict[str, Any] = {"vendor_code": kind, "http_status": 200, "operation": operation}
    if kind == "UserError":
        message = texts[0] if texts else "refused without a word"
        if _NOT_ALLOWED.search(message):
            return PermissionDenied(message, **facts)
        if _NOT_THERE.search(message):
            return RecordNotFound(message, **facts)
        return ValidationRejected(message, **facts)
    if kind == "UserWarning":
        return ValidationRejected(texts[1] if len(texts) > 1 else "a warning waits for an answer", **facts)
    if kind == "ConcurrencyException":
        return StaleVersion(texts[0] if texts else "changed in the meanwhile", **facts)
    if kind == "LoginException":
        return AuthenticationFailed("the server asks to sign in again", **facts)
    facts["vendor_code"] = None
    if unknown := _QUOTED.fullmatch(kind):
        return ProtocolViolation(
            f"this server has no field or model {unknown[1]!r}: activate the Tryton module that adds it, or take it "
            "out of `extra_fields`",
            **facts,
        )
    return ProtocolViolation(f"the server failed: {shortened(redact(kind)) or 'without a word'}", **facts)
