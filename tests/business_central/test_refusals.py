"""What Business Central says when it says no: which field somebody has to mend, and what is worth another try."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from connectors.erp.business_central.refusals import meant
from crm_core.errors import (
    ConnectorError,
    DuplicateRecord,
    OutcomeUnknown,
    PeriodClosed,
    RateLimited,
    ServiceUnavailable,
    StaleVersion,
    ValidationRejected,
)

ORDER: dict[str, Any] = {
    "externalDocumentNumber": "PO-7/CF7K3QX9M2WD4TQ",
    "customerId": "44444444-dddd-4ddd-8ddd-000000000001",
    "currencyCode": "EUR",
    "shipToCountry": "xx",
    "salesOrderLines": [
        {"itemId": "A", "description": "A desk", "unitOfMeasureCode": "pcs", "quantity": Decimal(2)},
        {"itemId": "B", "description": "A lamp that is too long", "unitOfMeasureCode": "TON", "quantity": Decimal(1)},
    ],
}
CUSTOMER: dict[str, Any] = {
    "number": "NEW-7",
    "displayName": "New",
    "addresses": [{"city": "Utrecht", "country": "ZZ"}],
}


@pytest.mark.parametrize(
    ("payload", "text", "fields"),
    [
        (ORDER, 'The "currencyCode" does not match to a Currency.', ("currencyCode",)),
        (ORDER, "The sell-to customer cannot be found.", ("customerId",)),
        (ORDER, 'The "customerId" does not match to a Customer.', ("customerId",)),
        (ORDER, "You cannot create this type of document when Customer 1 is blocked with type All", ("customerId",)),
        (ORDER, "Gen. Bus. Posting Group must have a value in Customer: No.=C1.", ("customerId",)),
        (ORDER, "Item does not exist.", ("salesOrderLines.itemId",)),
        (ORDER, "Status must be equal to 'Open' in Sales Header: No.=1. Current value is 'Released'.", ("status",)),
        (
            ORDER,
            "The length of the string is 23, but it must be less than or equal to 5 characters."
            " Value: A lamp that is too long",
            ("salesOrderLines[1].description",),
        ),
        (
            ORDER,
            "The field Unit of Measure Code of table Sales Line contains a value (TON) that cannot be found in the"
            " related table (Item Unit of Measure).",
            ("salesOrderLines[1].unitOfMeasureCode",),
        ),
        (
            ORDER,
            "The field Ship-to Country/Region Code of table Sales Header contains a value (XX) that cannot be found in"
            " the related table (Country/Region).",
            ("shipToCountry",),
        ),
        (
            ORDER,
            "The field Reason Code of table Sales Header contains a value (Q) that cannot be found in the related table"
            " (Reason Code).",
            (),
        ),
        (ORDER, "Unable to convert the value of 'quantity' to decimal.", ("salesOrderLines.quantity",)),
        (CUSTOMER, "Control 'number' is read-only.", ("number",)),
        (CUSTOMER, "You may not enter numbers manually. Please activate Manual Nos. in No. Series C.", ("number",)),
        (CUSTOMER, 'The blank "displayName" is not allowed.', ("displayName",)),
        (
            CUSTOMER,
            "The field Country/Region Code of table Customer contains a value (ZZ) that cannot be found in the related"
            " table (Country/Region).",
            ("addresses[0].country",),
        ),
        (
            CUSTOMER,
            "This VAT Registration No. has already been entered for another customer.",
            ("taxRegistrationNumber",),
        ),
        (CUSTOMER, "Something that nobody has foreseen.", ()),
    ],
)
def test_a_text_names_the_field_of_the_payload(payload: dict[str, Any], text: str, fields: tuple[str, ...]) -> None:
    facts = {"vendor_code": "Application_DialogException", "http_status": 400, "request_id": "c-1", "operation": "POST"}
    error = meant(ValidationRejected(text, **facts), payload)
    assert isinstance(error, ValidationRejected)
    assert error.fields == fields
    assert (error.vendor_code, error.http_status, error.request_id, error.operation) == tuple(facts.values())
    assert error.message == text


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValidationRejected("Posting Date is not within your range of allowed posting dates."), PeriodClosed),
        (ValidationRejected("The Customer already exists. Identification fields and values: No.='X'"), DuplicateRecord),
        (ValidationRejected("The record in table Sales Header was locked by another user."), ServiceUnavailable),
        (OutcomeUnknown("Your activity was deadlocked with another user; it was rolled back."), ServiceUnavailable),
        (OutcomeUnknown("no complete answer in time"), OutcomeUnknown),
        (RateLimited("Too many requests", retry_after_seconds=7), RateLimited),
        (StaleVersion("Another user has already changed the record."), StaleVersion),
    ],
)
def test_what_happens_next_follows_from_what_was_said(error: ConnectorError, kind: type[ConnectorError]) -> None:
    assert type(meant(error, ORDER)) is kind
