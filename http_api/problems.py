"""Errors as application/problem+json (RFC 9457): one table from our classes to statuses, and nothing that tells more.

A problem's `type` is `urn:counterfoil:problem:` and the cause that `counterfoil dead-letters list` shows as well. What
may succeed later, and whatever a back office does wrong, is 503 with `Retry-After`; a fault of ours is 500 without its
text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec

from connectors.transport.redaction import redact
from crm_core import errors
from crm_core.errors import CounterfoilError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
"""When the error does not say when to come back."""

STATUSES: dict[type[CounterfoilError], int] = {
    errors.CounterfoilError: 500,
    errors.ConfigurationFault: 400,  # the call names what the configuration does not have
    errors.MappingDocumentFault: 500,
    errors.ConnectorError: 503,
    errors.Transient: 503,
    errors.ConnectionBlocked: 503,
    errors.RecordRejected: 422,
    errors.DuplicateRecord: 409,
    errors.RecordNotFound: 404,
    errors.StaleVersion: 409,
    errors.OutcomeUnknown: 503,
    errors.ProtocolViolation: 503,
    errors.MappingFault: 422,
    errors.RuleFault: 422,
    errors.IdempotencyKeyReused: 409,
    errors.StoreFault: 503,
    errors.RowMissing: 404,
    errors.StepRefused: 409,
    errors.RunStopped: 409,
    errors.LeaseUnavailable: 503,
    errors.Cancelled: 503,
}
"""Each class, or the nearest one above it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One answer that is no success.

    errors: (field, what is wrong) each, where fields are at fault. more: members of this kind of problem.
    """

    status: int
    cause: str
    detail: str
    errors: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def body(self, request_id: str) -> bytes:
        """The JSON text."""
        told: dict[str, Any] = {
            "type": f"urn:counterfoil:problem:{self.cause}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
            **self.more,
        }
        if self.errors:
            told["errors"] = [{"field": name, "text": text} for name, text in self.errors]
        return msgspec.json.encode(told)


class Refused(Exception):
    """A route or the door itself answers with this problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.detail)


def refusal(status: int, cause: str, detail: str, **headers: str) -> Refused:
    """A problem to be raised. headers: `retry_after="5"` for `Retry-After`."""
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return Refused(Problem(status, cause, detail, headers=named))


def not_found(what: str, asked: object) -> Refused:
    """404 for something that was asked for by its id."""
    return refusal(404, "not_found", f"there is no {what} {asked}")


def problem_of(error: BaseException) -> Problem:
    """What an error means to the one who asked. Never a traceback, never a secret."""
    if isinstance(error, Refused):
        return error.problem
    if not isinstance(error, CounterfoilError):
        return Problem(500, "unexpected", "a fault of Counterfoil; its log has it under this request's id")
    status = status_of(type(error))
    if isinstance(error, errors.StoreFault) and status == 503:  # its text is for whoever runs the hub: it names places
        later = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return Problem(503, error.cause, "the database is busy or cannot be reached", headers=later)
    headers = {}
    if status == 503:
        seconds = getattr(error, "retry_after_seconds", None)
        headers["Retry-After"] = str(max(1, math.ceil(seconds)) if seconds else RETRY_AFTER_SECONDS)
    faults: tuple[tuple[str, str], ...] = ()
    if isinstance(error, errors.EntityRefused):
        faults = tuple((name, redact(text)) for name, text in error.faults)
    elif isinstance(error, errors.ValidationRejected) and error.fields:
        faults = tuple((name, redact(error.message)) for name in error.fields)
    elif isinstance(error, errors.MappingFault) and error.field:
        faults = ((error.field, redact(str(error))),)
    return Problem(status, error.cause, redact(str(error)), faults, headers)


def status_of(kind: type[CounterfoilError]) -> int:
    """The status of a class of errors."""
    return next(STATUSES[one] for one in kind.__mro__ if one in STATUSES)
