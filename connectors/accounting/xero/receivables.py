"""Credit: what a contact owes as Xero tells it, and how old that is, from the open invoices.

Xero has no credit limit. A contact's balances are raw sums whatever the currency, so they are believed only where all
open invoices of the contact are in one currency. An order of ours is a draft invoice until somebody approves it, and no
draft is in the balances: drafts are the open orders.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from connectors.accounting.xero import records
from connectors.accounting.xero.client import XeroClient, envelope_of, rows_of
from connectors.accounting.xero.documents import SALES
from connectors.accounting.xero.parties import CONTACTS, is_account
from connectors.accounting.xero.records import Row
from connectors.accounting.xero.streams import Reading, Source
from connectors.ports import Replication
from connectors.shapes import Shape
from connectors.transport.http import Answer
from connectors.watermark import watermark_of
from crm_core.errors import ProtocolViolation

log = logging.getLogger("counterfoil.xero")

OPEN = "AUTHORISED"
DRAFTS = ("DRAFT", "SUBMITTED")
_STATUSES = ",".join((OPEN, *DRAFTS))
_PAGE = 1000
_MOST_TRIES = 4
_ZERO = Decimal(0)
_AGES = (("overdue_1_30", 30), ("overdue_31_60", 60), ("overdue_61_90", 90))
"""Name and highest number of days; older than all is `overdue_over_90`."""


@dataclass(frozen=True, slots=True)
class OpenDocument:
    """An invoice that is not paid, or not yet approved (a draft)."""

    currency: str
    due: date | None
    amount: Decimal
    is_draft: bool


ByContact = Mapping[str, Sequence[OpenDocument]]


def credits(shape: Shape, *, with_suppliers: bool) -> Source:
    """The credit of every account. Read whole: a balance does not move the contact's stamp, and age comes by itself."""

    def make_any(row: Row, reading: Reading) -> Iterable[tuple[str, Row]]:
        organisation = reading.client.organisation
        documents = reading.extra.get(str(row["ContactID"]).lower(), ())
        told = (row.get("Balances") or {}).get("AccountsReceivable") or {}
        base = row.get("DefaultCurrency") or organisation.currency
        owed, by_currency = receivables_of(told, documents, base, organisation.today(reading.as_of))
        added = {records.RECEIVABLES: owed, records.BY_CURRENCY: by_currency}
        yield row["ContactID"], {**records.cut(row, shape), **added, records.AS_OF: watermark_of(reading.as_of)}

    def make(row: Row, reading: Reading) -> Iterable[tuple[str, Row]]:
        return make_any(row, reading) if with_suppliers or is_account(row) else ()

    return Source([CONTACTS], make, Replication.FULL, makes_one=make_any, prepare=open_documents)


def receivables_of(
    told: Mapping[str, Any], documents: Sequence[OpenDocument], base: str, today: date
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What is owed in one currency, and for a contact with several the open documents of each.

    told: Outstanding and Overdue of the contact's balances; neither for a contact that never had a document.
    base: the currency of a contact that owes nothing. What cannot be told in one currency is None, never a mixture.
    """
    currencies = sorted({one.currency for one in documents if not one.is_draft})
    currency = currencies[0] if len(currencies) == 1 else base
    is_mixed = len(currencies) > 1
    invoices = [one for one in documents if not one.is_draft and one.currency == currency]
    drafts = [one for one in documents if one.is_draft]
    owed: dict[str, Any] = {
        "currency": currency,
        "outstanding": told.get("Outstanding", _sum(invoices)),
        "overdue": told.get("Overdue", _sum(one for one in invoices if _days_overdue(one, today) > 0)),
        **ages(invoices, today),
        "open_orders": _sum(drafts) if all(one.currency == currency for one in drafts) else None,
    }
    if not is_mixed:
        return owed, []
    unknown = dict.fromkeys(("outstanding", "overdue", *records.AGES))
    return {**owed, **unknown}, [_of_currency(one, documents, today) for one in currencies]


def ages(invoices: Iterable[OpenDocument], today: date) -> dict[str, Decimal]:
    """What is due before today by its age in days. What is due today is not overdue."""
    found = dict.fromkeys(records.AGES, _ZERO)
    for one in invoices:
        days = _days_overdue(one, today)
        if days > 0:
            found[next((name for name, most in _AGES if days <= most), "overdue_over_90")] += one.amount
    return found


def open_documents(client: XeroClient, contact_id: str | None) -> ByContact:
    """The open and the drafted sales invoices of each contact, or of one."""
    for number in range(1, _MOST_TRIES + 1):
        found, has_shrunk = _read_once(client, contact_id)
        if not has_shrunk:
            break
        # An invoice was paid while we read, so that another one may have slipped onto a page that we had read already.
        log.info("invoices were paid while the open ones were read; they are read again (%s)", number)
    return found


def _read_once(client: XeroClient, contact_id: str | None) -> tuple[dict[str, list[OpenDocument]], bool]:
    operation = "GET Invoices (open)"
    asked: dict[str, str | int] = {"where": SALES, "Statuses": _STATUSES, "order": "InvoiceID", "pageSize": _PAGE}
    if contact_id is not None:
        asked["ContactIDs"] = contact_id
    found: dict[str, dict[str, OpenDocument]] = {}
    counts: list[int] = []
    page = 1
    while True:
        answer = client.read_list("Invoices", {**asked, "page": page}, operation=operation)
        rows = rows_of(answer, "Invoices", operation)
        for row in rows:
            key, document = _document_of(row, operation)
            found.setdefault(key, {})[str(row.get("InvoiceID"))] = document
        pages, items = _paging(answer, operation)
        counts.append(items)
        if not rows or (pages is not None and page >= pages):
            break
        page += 1
    by_contact = {key: list(documents.values()) for key, documents in found.items()}
    return by_contact, counts != sorted(counts)


def _paging(answer: Answer, operation: str) -> tuple[int | None, int]:
    pagination = envelope_of(answer, operation).pagination
    return (None, 0) if pagination is None else (pagination.count, pagination.items or 0)


def _document_of(row: Row, operation: str) -> tuple[str, OpenDocument]:
    contact, is_draft = row.get("Contact"), row.get("Status") in DRAFTS
    amount = row.get("Total") if is_draft else row.get("AmountDue")
    if not isinstance(contact, dict) or not isinstance(amount, int | Decimal) or isinstance(amount, bool):
        raise ProtocolViolation(f"invoice {row.get('InvoiceID')} tells no contact or no amount", operation=operation)
    due = records.date_text(row.get("DueDate"))
    document = OpenDocument(
        str(row.get("CurrencyCode")), date.fromisoformat(due) if due else None, Decimal(amount), is_draft
    )
    return str(contact.get("ContactID")).lower(), document


def _of_currency(currency: str, documents: Sequence[OpenDocument], today: date) -> dict[str, Any]:
    mine = [one for one in documents if one.currency == currency]
    invoices = [one for one in mine if not one.is_draft]
    return {
        "currency": currency,
        "outstanding": _sum(invoices),
        "overdue": _sum(one for one in invoices if _days_overdue(one, today) > 0),
        **ages(invoices, today),
        "open_orders": _sum(one for one in mine if one.is_draft),
    }


def _days_overdue(document: OpenDocument, today: date) -> int:
    return 0 if document.due is None else (today - document.due).days


def _sum(documents: Iterable[OpenDocument]) -> Decimal:
    return sum((one.amount for one in documents), _ZERO)
