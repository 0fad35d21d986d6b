"""The sinks: accounts become contacts, orders become sales invoices.

What keeps a second record from coming about:

- A contact carries our reference as its ContactNumber, which is unique among all contacts, and is created by PUT, which
  never takes an existing one for it (POST would: by number, and then by name). So many go in one request.
- An invoice carries our reference in its Reference, of which there may be two. So each order is created by a request of
  its own, whose Idempotency-Key is that of the write: whoever sends it again within six minutes gets the first answer.
- Both are looked for by their reference first, whatever anybody believes: a CRM that came back from a backup has
  forgotten what it sent.

Changes name the record by its id; sent twice they say the same twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from connectors.accounting.xero import account_writes, order_writes
from connectors.accounting.xero.client import XeroClient, rows_of
from connectors.accounting.xero.config import XeroConfig
from connectors.accounting.xero.documents import SALES, joined_reference
from connectors.accounting.xero.sending import Outcome, Outgoing, Row, send, version_of
from connectors.accounting.xero.streams import is_guid
from connectors.sinks import Accepted, Action, FindingOut, Found, Refused, Resolution, SinkSpec, Write
from crm_core.errors import (
    ConnectionBlocked,
    ConnectorError,
    DuplicateRecord,
    OutcomeUnknown,
    RateLimited,
    RecordNotFound,
    ServiceUnavailable,
    StaleVersion,
    Transient,
    ValidationRejected,
)
from crm_core.ids import ClientReference, ExternalId, IdempotencyKey
from crm_core.keys import find_client_reference

MOST_IN_A_REQUEST = 50
"""Xero's own advice for one request; more are allowed."""

SETTLE_TIME = timedelta(minutes=5)
"""Xero does not say how long a request that nobody waits for may still be carried out."""

KEY_HONOURED_FOR = timedelta(minutes=3)
"""Half of the six minutes for which Xero keeps a key from its first call: the other half is for what lies between our
stamp and the arrival of the repeated request, such as waiting for a rate limit."""

_LONGEST_WHERE = 1500
_UNQUOTABLE = frozenset('"\\\r\n\t')
_EDITABLE = ("DRAFT", "SUBMITTED", "AUTHORISED")
_GONE = ("DELETED", "VOIDED")

ACCOUNT_SPEC = SinkSpec(
    account_writes.SHAPE,
    actions=frozenset({Action.CREATE, Action.UPDATE}),
    finding_out=FindingOut(
        Resolution.UPSERT,
        SETTLE_TIME,
        reference_field=account_writes.REFERENCE_FIELD,
        reference_length=account_writes.REFERENCE_LENGTH,
    ),
    required=("Name",),
    max_batch=MOST_IN_A_REQUEST,
    note="our reference is the ContactNumber (Contact Code in Xero's pages)",
)
ORDER_SPEC = SinkSpec(
    order_writes.SHAPE,
    actions=frozenset({Action.CREATE, Action.UPDATE, Action.CANCEL}),
    finding_out=FindingOut(
        Resolution.NATIVE_KEY,
        SETTLE_TIME,
        honoured_for=KEY_HONOURED_FOR,
        reference_field=order_writes.REFERENCE_FIELD,
        reference_length=order_writes.REFERENCE_LENGTH,
    ),
    required=("ContactID", "LineItems"),
    max_batch=MOST_IN_A_REQUEST,
    note="an order becomes a sales invoice (invoice_status); our reference stands behind the customer's in Reference",
)


class AccountSink:
    """Contacts of the organisation."""

    def __init__(self, client: XeroClient) -> None:
        self._client = client

    def push(self, writes: Sequence[Write]) -> Sequence[Outcome]:
        """See `Sink.push`. One request for all that are new, one for all that change."""
        outcomes: dict[IdempotencyKey, Outcome] = {}
        sound = _sound(writes, outcomes, account_writes.check)
        there = self._by_reference([write for write in sound if write.external_id is None])
        new, known = _sorted_out(sound, there, outcomes, "contact")
        changes = self._changes(known, outcomes)  # all reading comes first: what it raises holds for all writes
        outcomes |= self._create(new)
        outcomes |= send(self._client, "POST", "Contacts", "ContactID", changes)
        return [outcomes[write.key] for write in writes]

    def find(self, write: Write) -> Found | None:
        """See `Sink.find`. Archived contacts are found, too."""
        if write.external_id is not None:
            row = _find_by_id(self._client, "Contacts", write.external_id)
        else:
            row = _only_one(self._by_reference([write]).get(write.reference, ()), write, "contact")
        if row is None:
            return None
        return Found(ExternalId(row["ContactID"]), version_of(row), account_writes.from_wire(row))

    def _create(self, writes: Sequence[Write]) -> dict[IdempotencyKey, Outcome]:
        outgoing = []
        for write in writes:
            body = {
                **account_writes.to_wire(write.payload),
                account_writes.REFERENCE_FIELD: str(write.reference),
            }
            outgoing.append(Outgoing(write, body, _is_contact(write.reference, body["Name"])))
        outcomes = send(self._client, "PUT", "Contacts", "ContactID", outgoing)
        # A name or number that is taken may be taken by ourselves: by a request that was lost and arrived since.
        taken = [write for write in writes if _is_duplicate(outcomes[write.key])]
        try:
            there = self._by_reference(taken)
        except ConnectorError as error:
            doubt = OutcomeUnknown("name or number is taken, perhaps by ourselves", operation=error.operation)
            return outcomes | {write.key: Refused(doubt) for write in taken}
        for write in taken:
            rows = there.get(write.reference, ())
            if len(rows) == 1:
                outcomes[write.key] = Accepted(ExternalId(rows[0]["ContactID"]), version_of(rows[0]))
        return outcomes

    def _changes(self, writes: Sequence[tuple[Write, str]], outcomes: dict[IdempotencyKey, Outcome]) -> list[Outgoing]:
        """Those that can be sent; the others have their outcome."""
        current = _by_id(self._client, "Contacts", "ContactID", [contact_id for _, contact_id in writes])
        outgoing = []
        for write, contact_id in writes:
            row = current.get(contact_id.lower())
            refusal = _refusal_of_change(write, row, "contact", _holds_account)
            if refusal is not None:
                outcomes[write.key] = refusal
                continue
            body = {"ContactID": contact_id, **account_writes.to_wire(write.payload)}
            outgoing.append(Outgoing(write, body, _has_id("ContactID", contact_id)))
        return outgoing

    def _by_reference(self, writes: Sequence[Write]) -> dict[ClientReference, list[Row]]:
        field = account_writes.REFERENCE_FIELD
        conditions = [f'{field}=="{write.reference}"' for write in writes]
        found: dict[ClientReference, list[Row]] = {}
        for where in _in_portions(conditions):
            params = {"where": where, "includeArchived": "true"}
            for row in self._client.find_all("Contacts", params, operation="GET Contacts (ours)"):
                # Filters there do not tell cases and accents apart.
                found.setdefault(ClientReference(str(row.get(field))), []).append(row)
        return found


class OrderSink:
    """Sales invoices of the organisation."""

    def __init__(self, client: XeroClient, config: XeroConfig) -> None:
        self._client, self._config = client, config

    def push(self, writes: Sequence[Write]) -> Sequence[Outcome]:
        """See `Sink.push`. One request for each new one, one for all that change."""
        outcomes: dict[IdempotencyKey, Outcome] = {}
        sound = _sound(writes, outcomes, order_writes.check)
        there = self._by_reference([write for write in sound if write.external_id is None])
        new, known = _sorted_out(sound, there, outcomes, "invoice")
        changes = self._changes(known, outcomes)  # all reading comes first: what it raises holds for all writes
        invoices = [Outgoing(write, self._new_invoice(write), _carries(write.reference)) for write in new]
        outcomes |= self._create(invoices)
        outcomes |= send(self._client, "POST", "Invoices", "InvoiceID", changes)
        return [outcomes[write.key] for write in writes]

    def find(self, write: Write) -> Found | None:
        """See `Sink.find`."""
        if write.external_id is not None:
            row = _find_by_id(self._client, "Invoices", write.external_id)
        else:
            rows = self._by_reference([write]).get(write.reference, ())
            row = _only_one(rows, write, "invoice")
        if row is None:
            return None
        is_complete = write.action is not Action.CANCEL or row.get("Status") in _GONE
        return Found(ExternalId(row["InvoiceID"]), version_of(row), order_writes.values_of(row), is_complete)

    def _create(self, outgoing: Sequence[Outgoing]) -> dict[IdempotencyKey, Outcome]:
        outcomes: dict[IdempotencyKey, Outcome] = {}
        failed = 0
        for position, one in enumerate(outgoing):
            outcome = send(self._client, "PUT", "Invoices", "InvoiceID", [one])[one.write.key]
            outcomes[one.write.key] = outcome
            error = outcome.error if isinstance(outcome, Refused) else None
            failed = failed + 1 if isinstance(error, Transient | OutcomeUnknown) else 0
            if error is not None and (isinstance(error, RateLimited | ConnectionBlocked) or failed == 2):
                # What holds for this call, or for two in a row, holds for the next ones, too: they are not sent.
                outcomes |= {later.write.key: Refused(_not_sent(error)) for later in outgoing[position + 1 :]}
                break
        return outcomes

    def _new_invoice(self, write: Write) -> dict[str, Any]:
        needs_today = self._config.due_days is not None and not write.payload.get("Date")
        today = self._client.organisation.today(self._client.now()) if needs_today else None
        return order_writes.new_invoice(write.payload, write.reference, self._config, today=today)

    def _changes(self, writes: Sequence[tuple[Write, str]], outcomes: dict[IdempotencyKey, Outcome]) -> list[Outgoing]:
        """Those that can be sent; the others have their outcome."""
        current = _by_id(self._client, "Invoices", "InvoiceID", [invoice_id for _, invoice_id in writes])
        outgoing = []
        for write, invoice_id in writes:
            row = current.get(invoice_id.lower())
            if write.action is Action.CANCEL and row is not None and row.get("Status") in _GONE:
                outcomes[write.key] = Accepted(ExternalId(invoice_id), version_of(row))
                continue
            refusal = _refusal_of_change(write, row, "invoice", _holds_order)
            if refusal is None and row is not None:
                refusal = _refusal_of_status(write, row)
            if refusal is not None:
                outcomes[write.key] = refusal
                continue
            assert row is not None
            if write.action is Action.CANCEL:
                body = {"InvoiceID": invoice_id, "Status": "VOIDED" if row["Status"] == "AUTHORISED" else "DELETED"}
            else:
                body = order_writes.changed_invoice(row, write.payload, write.reference, self._config)
            outgoing.append(Outgoing(write, body, _has_id("InvoiceID", invoice_id)))
        return outgoing

    def _by_reference(self, writes: Sequence[Write]) -> dict[ClientReference, list[Row]]:
        """Invoices with these references.

        First by the text that we would write: one question for all, answered from the books as they are. What that does
        not bring may stand behind another customer's reference (corrected there, or changed by us before the CRM went
        back to a backup), so it is searched for by our part alone: a call each, which is worth an invoice not doubled.
        """
        wanted = {write.reference for write in writes}
        conditions: dict[str, None] = {}
        for write in writes:
            customer = str(write.payload.get("Reference") or "").strip()
            for text in (joined_reference(customer, write.reference), str(write.reference)):
                if not _UNQUOTABLE & set(text):
                    conditions[f'Reference=="{text}"'] = None
        found: dict[ClientReference, dict[str, Row]] = {}

        def take(params: Mapping[str, str | int]) -> None:
            for row in self._client.find_all("Invoices", params, operation="GET Invoices (ours)"):
                reference = find_client_reference(str(row.get("Reference") or ""))
                if reference in wanted and row.get("Type") == "ACCREC":
                    found.setdefault(reference, {})[row["InvoiceID"]] = row

        for where in _in_portions(list(conditions)):
            take({"where": f"{SALES} AND ({where})"})
        for write in writes:
            if write.reference not in found:
                take({"where": SALES, "searchTerm": str(write.reference)})
        return {reference: list(rows.values()) for reference, rows in found.items()}


def _sound(
    writes: Sequence[Write], outcomes: dict[IdempotencyKey, Outcome], check: Callable[[Mapping[str, Any]], None]
) -> list[Write]:
    """Those whose payload Xero can hold exactly; the others have their outcome."""
    sound = []
    for write in writes:
        try:
            if write.action is not Action.CANCEL:
                check(write.payload)
        except ValidationRejected as error:
            outcomes[write.key] = Refused(error)
        else:
            sound.append(write)
    return sound


def _sorted_out(
    writes: Sequence[Write],
    there: Mapping[ClientReference, Sequence[Row]],
    outcomes: dict[IdempotencyKey, Outcome],
    what: str,
) -> tuple[list[Write], list[tuple[Write, str]]]:
    """Those that are to be created, and those that change a record, with its id; the others have their outcome."""
    key = "ContactID" if what == "contact" else "InvoiceID"
    new: list[Write] = []
    known: list[tuple[Write, str]] = []
    for write in writes:
        rows = there.get(write.reference, ())
        if write.external_id is not None:
            known.append((write, str(write.external_id)))
        elif len(rows) > 1:
            outcomes[write.key] = Refused(_several(write, what))
        elif rows and write.action is Action.CREATE:
            outcomes[write.key] = Accepted(ExternalId(rows[0][key]), version_of(rows[0]))
        elif rows:
            known.append((write, str(rows[0][key])))
        elif write.action is Action.CREATE:
            new.append(write)
        else:
            outcomes[write.key] = Refused(RecordNotFound(f"there is no {what} with our reference {write.reference}"))
    return new, known


def _refusal_of_change(write: Write, row: Row | None, what: str, holds: Callable[[Row, Write], bool]) -> Outcome | None:
    """What keeps a record from being changed, whatever it is; Accepted where the change is made already."""
    if row is None:
        return Refused(RecordNotFound(f"there is no {what} {write.external_id or write.reference}"))
    version = version_of(row)
    if write.was_tried and write.action is Action.UPDATE and holds(row, write):
        return Accepted(ExternalId(str(row.get("InvoiceID") or row.get("ContactID"))), version)
    if what == "contact" and row.get("ContactStatus") not in (None, "ACTIVE"):
        text = f"ContactStatus: the contact is {row['ContactStatus']}, which Xero lets nobody change"
        return Refused(ValidationRejected(text, fields=("ContactStatus",)), version=version)
    if write.version is not None and version != write.version:
        return Refused(StaleVersion(f"the {what} was changed since it was read"), version=version)
    return None


def _refusal_of_status(write: Write, row: Row) -> Refused | None:
    """An invoice that is paid, credited or gone is not changed any more."""
    version = version_of(row)
    if row.get("Status") not in _EDITABLE:
        text = f"Status: the invoice is {row.get('Status')}, which Xero lets nobody change"
        return Refused(ValidationRejected(text, fields=("Status",)), version=version)
    if row.get("Payments") or row.get("AmountPaid") or row.get("AmountCredited"):
        what = "voided" if write.action is Action.CANCEL else "changed"
        text = f"Payments: the invoice has payments or credit notes, so it cannot be {what}"
        return Refused(ValidationRejected(text, fields=("Payments",)), version=version)
    return None


def _find_by_id(client: XeroClient, name: str, external_id: ExternalId) -> Row | None:
    operation = f"GET {name}"
    if not is_guid(external_id):
        return None
    try:
        answer = client.get(f"{name}/{external_id}", operation=operation)
    except RecordNotFound:
        return None
    rows = rows_of(answer, name, operation)
    return rows[0] if rows else None


def _by_id(client: XeroClient, name: str, key: str, ids: Sequence[str]) -> dict[str, Row]:
    wanted = [one for one in ids if is_guid(one)]
    if not wanted:
        return {}
    params: dict[str, str | int] = {"IDs": ",".join(wanted)}
    if name == "Contacts":
        params["includeArchived"] = "true"
    rows = client.find_all(name, params, operation=f"GET {name} (to change)")
    return {str(row[key]).lower(): row for row in rows if isinstance(row.get(key), str)}


def _in_portions(conditions: Sequence[str]) -> Iterator[str]:
    """Conditions joined by OR, so long as an address may be."""
    portion: list[str] = []
    for condition in conditions:
        if portion and sum(map(len, portion)) + len(condition) + 4 * len(portion) > _LONGEST_WHERE:
            yield " OR ".join(portion)
            portion = []
        portion.append(condition)
    if portion:
        yield " OR ".join(portion)


def _only_one(rows: Sequence[Row], write: Write, what: str) -> Row | None:
    if len(rows) > 1:
        raise _several(write, what)
    return rows[0] if rows else None


def _several(write: Write, what: str) -> DuplicateRecord:
    return DuplicateRecord(f"more than one {what} carries our reference {write.reference}")


def _not_sent(error: ConnectorError) -> ConnectorError:
    """For writes behind one that the connection failed for: certainly not carried out."""
    if isinstance(error, Transient | ConnectionBlocked):
        return error
    return ServiceUnavailable("not sent: the calls before it were not answered", operation=error.operation)


def _is_duplicate(outcome: Outcome) -> bool:
    return isinstance(outcome, Refused) and isinstance(outcome.error, DuplicateRecord)


def _has_id(key: str, external_id: str) -> Callable[[Row], bool]:
    return lambda row: str(row.get(key)).lower() == external_id.lower()


def _carries(reference: ClientReference) -> Callable[[Row], bool]:
    return lambda row: find_client_reference(str(row.get("Reference") or "")) == reference


def _is_contact(reference: ClientReference, name: str) -> Callable[[Row], bool]:
    return lambda row: (row.get(account_writes.REFERENCE_FIELD) or reference) == reference and row.get("Name") == name


def _holds_account(row: Row, write: Write) -> bool:
    return account_writes.holds(account_writes.from_wire(row), write.payload)


def _holds_order(row: Row, write: Write) -> bool:
    return order_writes.holds(order_writes.values_of(row), write.payload)
