"""Every error that crosses a room of this house.

    CounterfoilError
    ├── ConfigurationFault            the integrator mends the configuration
    │   └── MappingDocumentFault      ... in a mapping document, with file and line
    ├── ConnectorError                something happened while talking to a back office
    │   ├── Transient                 try again later; the checkpoint is kept
    │   │   ├── RateLimited  ├── ServiceUnavailable  └── RequestTimeout
    │   ├── ConnectionBlocked         nothing on this connection will work until somebody acts
    │   │   ├── AuthenticationFailed  └── PermissionDenied
    │   ├── RecordRejected            this one record; the others go on
    │   │   ├── ValidationRejected  ├── DuplicateRecord  ├── PeriodClosed
    │   │   └── RecordNotFound      └── StaleVersion
    │   ├── OutcomeUnknown            a write without an answer: find out, never repeat blindly
    │   └── ProtocolViolation         the answer makes no sense (not JSON, page loop, wrong type)
    ├── MappingFault                  this record cannot be mapped
    │   ├── UnresolvedReference  ├── UnmappedCode  └── InvalidValue
    ├── RuleFault                     a rule of the CRM core has no answer (no conversion, no price)
    │   ├── EntityRefused             a change of the CRM breaks rules; nothing of it was written
    │   └── IdempotencyKeyReused      the key of one order came with another one
    ├── StoreFault                    the database: locked, full, out of reach
    │   ├── NewerSchema               a newer release has taken the database over: this one must end
    │   ├── RowTaken                  somebody else has just written that row: look again
    │   ├── RowMissing                there is no such row
    │   │   └── EntityAbsent          the CRM has no such entity
    │   └── StepRefused               the row is there, but not in a state that allows this step
    └── RunStopped                    a decision, not a failure: the run ends, its checkpoint kept
        ├── ErrorBudgetExceeded  ├── MassChangeHeld  ├── LeaseUnavailable
        └── Cancelled            └── TimeLimitReached

`str(error)` is one line and never holds a secret. The class says what happens next; the fields say who must act.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be, or None when nothing is close."""
    names = list(known)
    lowered = {candidate.lower(): candidate for candidate in names}
    if name.lower() in lowered:
        return lowered[name.lower()]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A clause for an error text: the nearest known name, or the list of all when there are few."""
    names = sorted(known)
    best = nearest(name, names)
    if best is not None:
        return f"; did you mean {best!r}?"
    return f"; known: {', '.join(names)}" if 0 < len(names) <= 12 else ""


class CounterfoilError(Exception):
    """The root of every error that this project raises on purpose."""

    exit_code = 1

    @property
    def cause(self) -> str:
        """A stable snake_case word for grouping, e.g. `unresolved_reference`."""
        name = type(self).__name__
        return "".join("_" + c.lower() if c.isupper() and i else c.lower() for i, c in enumerate(name))


class ConfigurationFault(CounterfoilError):
    """The configuration names something that does not exist or does not fit."""

    exit_code = 2


class MappingDocumentFault(ConfigurationFault):
    """A mapping document is wrong; `file` and `line` (1-based) say where."""

    def __init__(self, message: str, *, file: str = "", line: int = 0) -> None:
        self.file, self.line = file, line
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(place + message)


class ConnectorError(CounterfoilError):
    """A back office did not do what was asked.

    vendor_code: their error code; http_status: as answered; request_id: theirs, for their support;
    operation: what we were doing, e.g. `GET items`.
    """

    def __init__(
        self,
        message: str,
        *,
        vendor_code: str | None = None,
        http_status: int | None = None,
        request_id: str | None = None,
        operation: str | None = None,
    ) -> None:
        self.message = " ".join(message.split())
        self.vendor_code, self.http_status = vendor_code, http_status
        self.request_id, self.operation = request_id, operation
        super().__init__(self.message)

    def __str__(self) -> str:
        facts = [
            f"{name} {value}"
            for name, value in (
                ("HTTP", self.http_status),
                ("code", self.vendor_code),
                ("request", self.request_id),
            )
            if value is not None
        ]
        head = f"{self.operation}: {self.message}" if self.operation else self.message
        return f"{head} ({', '.join(facts)})" if facts else head


class Transient(ConnectorError):
    """May well succeed later."""

    exit_code = 75

    def __init__(self, message: str, *, retry_after_seconds: float | None = None, **facts: object) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message, **facts)  # type: ignore[arg-type]


class RateLimited(Transient):
    """The back office asks us to slow down."""


class ServiceUnavailable(Transient):
    """The back office is down, or the network to it."""


class RequestTimeout(Transient):
    """A read was not answered in time."""


class ConnectionBlocked(ConnectorError):
    """Nothing on this connection will work until somebody acts."""

    exit_code = 77


class AuthenticationFailed(ConnectionBlocked):
    """The credentials are not accepted."""


class PermissionDenied(ConnectionBlocked):
    """The user may not do this."""


class RecordRejected(ConnectorError):
    """The back office refuses this record; `fields` names what it refuses of it, where it says so."""

    def __init__(self, message: str, *, fields: tuple[str, ...] = (), **facts: object) -> None:
        self.fields = fields
        super().__init__(message, **facts)  # type: ignore[arg-type]


class ValidationRejected(RecordRejected):
    """A field of the record is refused."""


class DuplicateRecord(RecordRejected):
    """The record is there already."""


class PeriodClosed(RecordRejected):
    """The fiscal period is closed."""


class RecordNotFound(RecordRejected):
    """There is no such record."""


class StaleVersion(RecordRejected):
    """Somebody changed the record since we read it."""


class OutcomeUnknown(ConnectorError):
    """A write without an answer: it may have happened."""

    exit_code = 75


class ProtocolViolation(ConnectorError):
    """The answer makes no sense: not JSON, truncated, a page loop, a field of the wrong type."""

    exit_code = 76


class MappingFault(CounterfoilError):
    """A record cannot be mapped; `field` is ours, `source` is theirs."""

    def __init__(self, message: str, *, field: str = "", source: str = "") -> None:
        self.field, self.source = field, source
        super().__init__(f"{field}: {message}" if field else message)


class UnresolvedReference(MappingFault):
    """The record refers to one that is not here yet."""

    def __init__(self, entity: str, external_id: str, *, field: str = "") -> None:
        self.entity, self.external_id = entity, external_id
        super().__init__(f"refers to {entity} {external_id!r}, which is not here yet", field=field)


class UnmappedCode(MappingFault):
    """A value map has no line for this code; an unknown code is never guessed."""

    def __init__(self, code: object, known: Iterable[str], *, field: str = "", source: str = "") -> None:
        super().__init__(f"no line for code {code!r}{did_you_mean(str(code), known)}", field=field, source=source)


class InvalidValue(MappingFault):
    """The value is there, but is not what the field can hold."""


class RuleFault(CounterfoilError):
    """A rule of the CRM core has no answer: no conversion, no price, another currency."""


class EntityRefused(RuleFault):
    """A change of the CRM breaks rules, and nothing of it was written. `faults`: (field, what is wrong) each."""

    def __init__(self, faults: Iterable[tuple[str, str]]) -> None:
        self.faults = tuple(faults)
        self.field = self.faults[0][0] if self.faults else ""
        super().__init__("; ".join(f"{field}: {text}" for field, text in self.faults))


class IdempotencyKeyReused(RuleFault):
    """An idempotency key stands for one order; it came again with another one. Nothing was written."""


class StoreFault(CounterfoilError):
    """The database: locked, full, out of reach, or of a version that this release does not know."""

    exit_code = 74


class NewerSchema(StoreFault):
    """A newer release has changed the tables; whoever works with the older one must not write into them any more."""


class StoreBusy(StoreFault):
    """Others held the lock for longer than was waited; nothing was stored, and the session is as good as before."""


class RowTaken(StoreFault):
    """Somebody else has just written the row that was to be written; nothing was stored. Look again, then decide."""


class RowMissing(StoreFault):
    """The store has no such row: no letter, intent or key of that id."""


class EntityAbsent(RowMissing):
    """The CRM has no entity of that kind with that id."""


class StepRefused(StoreFault):
    """The row is not in a state that allows this step: a letter that is resolved cannot be edited."""


class RunStopped(CounterfoilError):
    """A run ends by decision; its checkpoint is kept."""

    exit_code = 3


class ErrorBudgetExceeded(RunStopped):
    """Too many records of this run could not be taken in."""


class MassChangeHeld(RunStopped):
    """More would change than the guard allows; a person approves it or finds out why."""

    exit_code = 4


class LeaseUnavailable(RunStopped):
    """Another process uses this connection: its jobs, whichever they are, run one at a time."""

    exit_code = 5


class Cancelled(RunStopped):
    """Somebody asked for the run to stop."""

    exit_code = 130


class TimeLimitReached(RunStopped):
    """A job has had the time that it may take; the next run goes on behind its last page."""

    exit_code = 75
