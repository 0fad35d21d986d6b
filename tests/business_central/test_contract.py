"""Our picture of Business Central's records is Microsoft's: a misspelt field would be silently absent in every pull.

Microsoft publishes a machine-readable contract for v1.0 only; what v2.0 named anew is listed here field by field (from
the AL pages of the app APIV2), so that a misspelt name cannot hide among the new ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.erp.business_central import customer_sink, order_lines, order_sink, records
from connectors.shapes import Shape

CONTRACT = Path(__file__).resolve().parents[3] / "shared" / "contracts" / "business-central" / "BCOAS1.0.yaml"

WORDS = {
    ("string", "uuid"): "text",
    ("string", None): "text",
    ("number", "decimal"): "number",
    ("boolean", None): "boolean",
    ("string", "date"): "date",
    ("string", "date-time"): "instant",
    ("integer", "int32"): "integer",
}
DATES_IN_V2 = {"orderDate", "requestedDeliveryDate", "invoiceDate", "dueDate", "shipmentDate"}
"""Instants in the contract of v1.0, plain dates in v2.0 (`Edm.Date`, the resource pages say `date`)."""

ADDRESS = {"addressLine1", "addressLine2", "city", "state", "country", "postalCode"}
DOCUMENT_ADDRESSES = {
    f"{party}{field}"
    for party in ("sellTo", "billTo", "shipTo")
    for field in ("AddressLine1", "AddressLine2", "City", "Country", "State", "PostCode")
}
DOCUMENT = DOCUMENT_ADDRESSES | {"postingDate", "shortcutDimension1Code", "shortcutDimension2Code"}
LINE = {"lineObjectNumber", "description2", "unitOfMeasureCode", "itemVariantId", "locationId"}
GROUPS = {f"{group}PostingGroup{field}" for group in ("generalProduct", "inventory") for field in ("Id", "Code")}

CASES: list[tuple[str, Shape, set[str]]] = [
    ("unitOfMeasure", records.UNIT_OF_MEASURE, {"symbol"}),
    ("item", records.ITEM, GROUPS | {"displayName2", "baseUnitOfMeasureCode"}),
    ("item", records.ITEM_STOCK, {"baseUnitOfMeasureCode"}),
    ("customer", records.CUSTOMER, ADDRESS | {"salespersonCode"}),
    ("customer", records.CUSTOMER_CREDIT, {"creditLimit"}),
    ("customerFinancialDetail", records.FINANCIAL_DETAIL, set()),
    ("agedAccountsReceivable", records.AGED_RECEIVABLE, set()),
    ("salesOrder", records.SALES_ORDER, DOCUMENT),
    ("salesOrderLine", records.ORDER_LINE, LINE),
    ("salesInvoice", records.SALES_INVOICE, DOCUMENT),
    ("salesInvoiceLine", records.INVOICE_LINE, LINE),
]


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    if not CONTRACT.exists():
        pytest.skip("the vendor's contract (../shared/contracts/business-central) is not part of this repository")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, Any] = yaml.load(CONTRACT.read_bytes(), loader)["components"]["schemas"]
    return found


@pytest.mark.parametrize(("schema", "shape", "new"), CASES, ids=[f"{case[0]}-{len(case[1])}" for case in CASES])
def test_fields_and_types_are_those_of_the_contract(
    schemas: dict[str, Any], schema: str, shape: Shape, new: set[str]
) -> None:
    known = schemas[schema]["properties"]
    plain = {name: word for name, word in shape.items() if isinstance(word, str) and not name.startswith("@")}
    assert {name for name in plain if name not in known} == new
    for name, word in plain.items():
        if name in known:
            told = WORDS[known[name]["type"], known[name].get("format")]
            assert word == ("date" if name in DATES_IN_V2 else told), name


PARTS = {f"{party}{field}" for party in ("sellTo", "shipTo") for field in ("City", "Country", "State", "PostCode")}
PARTLY_OURS = {"paymentTermsCode", "sellToAddressLines", "shipToAddressLines", "addressLines"}
"""What a sink takes and turns into theirs: `paymentTermsId`, `...AddressLine1` and `...AddressLine2`."""
OTHERWISE_IN_V2 = {"website": "text(255)", "taxCode": "text(20)"}
"""Of other lengths in v2.0: the home page grew, the tax code is that of a tax group or VAT product posting group."""

SINK_CASES: list[tuple[str, Shape, set[str]]] = [
    ("salesOrder", order_sink.ORDER, PARTS | {"postingDate"}),
    ("salesOrderLine", order_lines.LINE, {"itemVariantId", "locationId", "unitOfMeasureCode"}),
    ("customer", customer_sink.CUSTOMER, {"salespersonCode"}),
    ("postaladdresstype", customer_sink.ADDRESS, {"country"}),
]


@pytest.mark.parametrize(("schema", "shape", "new"), SINK_CASES, ids=[case[0] for case in SINK_CASES])
def test_what_is_written_has_the_names_and_lengths_of_the_contract(
    schemas: dict[str, Any], schema: str, shape: Shape, new: set[str]
) -> None:
    """A longer text would be refused over there, after the order was promised."""
    known = schemas[schema]["properties"]
    plain = {name: word for name, word in shape.items() if isinstance(word, str) and name not in PARTLY_OURS}
    assert {name for name in plain if name not in known} == new
    for name, word in plain.items():
        most = known.get(name, {}).get("maxLength")
        if most is not None:
            assert word == OTHERWISE_IN_V2.get(name, f"text({most})"), name


def test_locations_are_those_of_the_al_page() -> None:
    """The contract of v1.0 has no locations: they came with v2.0."""
    assert [name for name in records.LOCATION if not name.startswith("@")] == [
        *("id", "code", "displayName", "contact", "addressLine1", "addressLine2", "city", "state", "country"),
        *("postalCode", "phoneNumber", "email", "website", "lastModifiedDateTime"),
    ]


def test_every_added_member_is_explained_and_in_a_shape() -> None:
    """An integrator who sees `@as_of` in a payload finds out what it is."""
    shapes = [
        records.UNIT_OF_MEASURE,
        records.ITEM,
        records.ITEM_STOCK,
        records.CUSTOMER,
        records.CUSTOMER_CREDIT,
        records.SALES_ORDER,
    ]
    ours = {name for shape in shapes for name in shape if name.startswith("@") and name != "@odata.etag"}
    assert ours == set(records.ADDED)
