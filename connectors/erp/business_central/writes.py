"""What all writing to Business Central shares: values as the API writes them and back, answers, one after another.

A refusal (400, 404, 409, 412, 429) means that nothing was carried out; silence and 5xx leave it open. A write is sent
once; whoever has lost an answer asks `find`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from connectors.erp.business_central.records import NO_DATE
from connectors.shapes import Shape
from connectors.sinks import Accepted, Refused, Write
from connectors.transport.http import Answer
from connectors.transport.odata import BatchAnswer
from crm_core.errors import (
    AuthenticationFailed,
    ConnectorError,
    DuplicateRecord,
    OutcomeUnknown,
    StaleVersion,
    Transient,
    ValidationRejected,
)
from crm_core.ids import ExternalId
from crm_core.typed_json import decode_as

SETTLE_TIME = timedelta(minutes=16)
"""A request waits up to 8 minutes for its turn and may then run for 8 minutes more ("Operational limits")."""

CODES = frozenset(
    {
        *("number", "externalDocumentNumber", "currencyCode", "paymentTermsCode", "unitOfMeasureCode", "taxCode"),
        *("country", "postalCode", "sellToCountry", "sellToPostCode", "shipToCountry", "shipToPostCode"),
        *("salespersonCode", "salesperson"),
    }
)
"""Texts of AL's type Code: kept there in capitals, without spaces at their ends."""

_LONGEST_ADDRESS_LINES = (100, 50)

Row = Mapping[str, Any]


def wire(value: Any, word: Any) -> Any:
    """A payload's value as the API takes it. Null is its blank: an empty text, the first day of the calendar."""
    if value is None:
        return NO_DATE if word == "date" else ""
    return value


def told(name: str, there: Any, wanted: Any) -> Any:
    """A value of theirs as the payload would have it: blanks are null, a code that is the same is spelled as ours."""
    if there in ("", NO_DATE):
        return None
    if name in CODES and isinstance(wanted, str) and wanted.strip().upper() == there:
        return wanted
    return there


def in_order(payload: Row, shape: Shape, *, without: frozenset[str]) -> dict[str, Any]:
    """The payload's members in the order of the shape, the integrator's own behind them.

    The order counts: each is validated when it is set, and an item or a quantity sets the price.
    """
    names = [name for name in shape if name in payload] + [name for name in payload if name not in shape]
    return {name: wire(payload[name], shape.get(name)) for name in names if name not in without}


def address_lines(prefix: str, text: str | None, label: str) -> dict[str, str]:
    """A street of any number of lines as their two. Raises ValidationRejected for a line that is too long."""
    first, *others = (text or "").splitlines() or [""]
    found = {f"{prefix}Line1": first, f"{prefix}Line2": ", ".join(line for line in others if line)}
    for (name, line), most in zip(found.items(), _LONGEST_ADDRESS_LINES, strict=True):
        if len(line) > most:
            raise ValidationRejected(
                f"{name} takes {most} characters, {line!r} has {len(line)}: break the street into two lines",
                fields=(label,),
            )
    return found


def told_address(prefix: str, there: Row, wanted: Any) -> str | None:
    """Their two lines as one text; spelled as ours when it is the same."""
    lines = [str(there.get(f"{prefix}Line{number}") or "") for number in (1, 2)]
    if isinstance(wanted, str) and list(address_lines(prefix, wanted, "").values()) == lines:
        return wanted
    return "\n".join(line for line in lines if line) or None


def differing(values: Row, there: Row) -> dict[str, Any]:
    """Of values for the API, those that are otherwise over there; what is not told there counts as otherwise."""
    return {name: value for name, value in values.items() if name not in there or not _is_same(name, value, there)}


def _is_same(name: str, value: Any, there: Row) -> bool:
    said = there[name]
    if name in CODES and isinstance(value, str):
        return bool(value.strip().upper() == said)
    return bool(value == said)


# -- answers ----------------------------------------------------------------------------------------------------------


class _Made(msgspec.Struct):
    id: str
    etag: str = msgspec.field(name="@odata.etag")


def accepted(answer: Answer | BatchAnswer, *, operation: str, carries: bytes = b"") -> Accepted:
    """The record that a write made or changed. carries: what must stand in the answer, so that it is that of our write.

    Raises OutcomeUnknown for an answer that is none: something has come between, and what became of it nobody knows.
    """
    try:
        made = decode_as(answer.body, _Made)
    except (ValueError, RecursionError):
        made = None
    if made is None or carries not in answer.body:
        raise OutcomeUnknown("the answer is not the record that was written", operation=operation)
    return Accepted(ExternalId(made.id), made.etag)


def one_after_the_other(
    writes: Sequence[Write], push: Callable[[Write], Accepted | Refused]
) -> list[Accepted | Refused]:
    """The answer to each write. Behind one that says that nothing will go through for now, no other is sent."""
    answers: list[Accepted | Refused] = []
    stopped: ConnectorError | None = None
    for write in writes:
        if stopped is not None:
            answers.append(Refused(stopped))
            continue
        try:
            answers.append(push(write))
        except ConnectorError as error:
            answers.append(Refused(error))
            stopped = error if isinstance(error, Transient | AuthenticationFailed) else None
    return answers


def check_version(write: Write, current: str) -> None:
    """Raises StaleVersion when the record was changed since the version that the write is based on."""
    if write.version is not None and write.version != current:
        raise StaleVersion(f"changed to {current}, based on {write.version}", operation=f"{write.action}")


def only_one(rows: Sequence[Row], reference: str, what: str) -> Row | None:
    """The one record that carries our reference, or None. Raises DuplicateRecord for more: a person has to look."""
    if len(rows) > 1:
        numbers = ", ".join(str(row.get("number")) for row in rows)
        raise DuplicateRecord(f"{len(rows)} {what} carry our reference {reference}: {numbers}")
    return rows[0] if rows else None


def id_of_terms(code: str, terms: Mapping[str, str]) -> str:
    """The id of payment terms. terms: the codes by id. Raises ValidationRejected that lists the known codes."""
    for row_id, known in terms.items():
        if known == code.strip().upper():
            return row_id
    raise ValidationRejected(
        f"{code!r} are no payment terms of Business Central; known: {', '.join(sorted(terms.values()))}",
        fields=("paymentTermsCode",),
    )
