"""The entity sets that are simulated: fields of API v2.0 with their types, keys, navigations and what may be written.

Field names: the resource pages of Microsoft's API v2.0 reference and the API pages' AL source (Apps/W1/APIV2 of
microsoft/ALAppExtensions). Fields that no connector of ours reads (dimensions, posting groups of documents) are left
out.
"""

from __future__ import annotations

from collections.abc import Mapping

from simulators.business_central.entity_set import EntitySet, Navigation
from simulators.business_central.odata import Kind


def _fields(**names_by_kind: str) -> dict[str, Kind]:
    """Types by field name; the order is the caller's business."""
    return {name: Kind(kind) for kind, names in names_by_kind.items() for name in names.split()}


def _in_order(names: str, kinds: Mapping[str, Kind]) -> dict[str, Kind]:
    """The fields in the order in which the API gives them; what `kinds` does not name is a text."""
    return {name: kinds.get(name, Kind.TEXT) for name in names.split()}


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SIDES = " ".join(
    f"{side}AddressLine1 {side}AddressLine2 {side}City {side}Country {side}State {side}PostCode"
    for side in ("sellTo", "billTo", "shipTo")
)
_LINE_KINDS = _fields(
    guid="id documentId itemId accountId unitOfMeasureId itemVariantId locationId",
    integer="sequence",
    decimal="unitPrice quantity discountAmount discountPercent amountExcludingTax taxPercent totalTaxAmount"
    " amountIncludingTax invoiceDiscountAllocation netAmount netTaxAmount netAmountIncludingTax"
    " shippedQuantity invoicedQuantity invoiceQuantity shipQuantity",
    boolean="discountAppliedBeforeTax",
    date="shipmentDate",
    choice="lineType",
)
_LINE_CHOICES = {"lineType": ("Comment", "Account", "Item", "Resource", "Fixed Asset", "Charge")}
_LINE_COMPUTED = _names(
    "amountExcludingTax taxPercent totalTaxAmount amountIncludingTax invoiceDiscountAllocation netAmount netTaxAmount"
    " netAmountIncludingTax shippedQuantity invoicedQuantity"
)
_DOCUMENT_KINDS = _fields(
    guid="id customerId billToCustomerId currencyId paymentTermsId shipmentMethodId orderId",
    decimal="remainingAmount discountAmount totalAmountExcludingTax totalTaxAmount totalAmountIncludingTax",
    boolean="pricesIncludeTax partialShipping discountAppliedBeforeTax fullyShipped",
    date="orderDate postingDate requestedDeliveryDate invoiceDate dueDate",
    moment="lastModifiedDateTime",
    choice="status",
)
_DOCUMENT_COMPUTED = _names(
    "number customerName totalAmountExcludingTax totalTaxAmount totalAmountIncludingTax fullyShipped status"
    " remainingAmount orderId orderNumber billToName billToAddressLine1 billToAddressLine2 billToCity billToCountry"
    " billToState billToPostCode"
)
_ADDRESS = "addressLine1 addressLine2 city state country postalCode phoneNumber email website"
_OF_ADDRESSES = {"AddressLine1": 100, "AddressLine2": 50, "City": 30, "State": 30, "Country": 10, "PostCode": 20}
_LENGTHS = {
    **{f"{side}{part}": length for side in ("sellTo", "shipTo") for part, length in _OF_ADDRESSES.items()},
    "number": 20,
    "displayName": 100,
    "addressLine1": 100,
    "addressLine2": 50,
    "city": 30,
    "state": 30,
    "postalCode": 20,
    "country": 10,
    "phoneNumber": 30,
    "email": 80,
    "website": 80,
    "shipToName": 100,
    "shipToContact": 100,
    "externalDocumentNumber": 35,
    "customerNumber": 20,
    "currencyCode": 10,
    "gtin": 14,
    "code": 10,
    "description": 100,
    "lineObjectNumber": 20,
    "unitOfMeasureCode": 10,
    "taxRegistrationNumber": 20,
}
_CODES = _names(
    "number code externalDocumentNumber customerNumber billToCustomerNumber currencyCode salespersonCode salesperson"
    " country postalCode sellToCountry sellToPostCode shipToCountry shipToPostCode itemCategoryCode taxGroupCode"
    " baseUnitOfMeasureCode lineObjectNumber unitOfMeasureCode taxCode"
)

COMPANIES = EntitySet(
    "companies",
    "company",
    _in_order("id systemVersion timestamp name displayName businessProfileId", _fields(guid="id", integer="timestamp")),
    order=("name",),
)

_SETS = (
    EntitySet(
        "items",
        "item",
        _in_order(
            "id number displayName displayName2 type itemCategoryId itemCategoryCode blocked gtin inventory unitPrice"
            " priceIncludesTax unitCost taxGroupId taxGroupCode baseUnitOfMeasureId baseUnitOfMeasureCode"
            " generalProductPostingGroupId generalProductPostingGroupCode inventoryPostingGroupId"
            " inventoryPostingGroupCode lastModifiedDateTime",
            _fields(
                guid="id itemCategoryId taxGroupId baseUnitOfMeasureId generalProductPostingGroupId"
                " inventoryPostingGroupId",
                decimal="inventory unitPrice unitCost",
                boolean="blocked priceIncludesTax",
                moment="lastModifiedDateTime",
                choice="type",
            ),
        ),
        order=("number",),
        natural_key="number",
        choices={"type": ("Inventory", "Service", "Non-Inventory")},
        lengths=_LENGTHS,
        codes=_CODES,
        navigations={"itemVariants": Navigation("itemVariants", "itemId", many=True)},
        read_only=frozenset({"inventory"}),
        may_be_created=True,
        may_be_changed=True,
    ),
    EntitySet(
        "itemVariants",
        "itemVariant",
        _in_order(
            "id itemId itemNumber code description lastModifiedDateTime",
            _fields(guid="id itemId", moment="lastModifiedDateTime"),
        ),
        order=("itemNumber", "code"),
        parent_key="itemId",
        lengths=_LENGTHS,
        codes=_CODES,
    ),
    EntitySet(
        "unitsOfMeasure",
        "unitOfMeasure",
        _in_order(
            "id code displayName internationalStandardCode symbol lastModifiedDateTime",
            _fields(guid="id", moment="lastModifiedDateTime"),
        ),
        order=("code",),
        natural_key="code",
        lengths=_LENGTHS,
        codes=_CODES,
    ),
    EntitySet(
        "customers",
        "customer",
        _in_order(
            f"id number displayName type {_ADDRESS} salespersonCode balanceDue creditLimit taxLiable taxAreaId"
            " taxAreaDisplayName taxRegistrationNumber currencyId currencyCode paymentTermsId shipmentMethodId"
            " paymentMethodId blocked lastModifiedDateTime",
            _fields(
                guid="id taxAreaId currencyId paymentTermsId shipmentMethodId paymentMethodId",
                decimal="balanceDue creditLimit",
                boolean="taxLiable",
                moment="lastModifiedDateTime",
                choice="type blocked",
            ),
        ),
        order=("number",),
        natural_key="number",
        choices={"type": ("Company", "Person"), "blocked": (" ", "Ship", "Invoice", "All")},
        lengths=_LENGTHS,
        codes=_CODES,
        navigations={
            # Multiplicity ZeroOrOne in the AL page: the navigation carries the entity's name, not the set's.
            "customerFinancialDetail": Navigation("customerFinancialDetails", "id", many=False),
            "agedAccountsReceivable": Navigation("agedAccountsReceivables", "customerId", many=False),
        },
        read_only=frozenset({"balanceDue", "taxAreaDisplayName"}),
        may_be_created=True,
        may_be_changed=True,
    ),
    EntitySet(
        "customerFinancialDetails",
        "customerFinancialDetail",
        _in_order(
            "id number balance totalSalesExcludingTax overdueAmount lastModifiedDateTime",
            _fields(guid="id", decimal="balance totalSalesExcludingTax overdueAmount", moment="lastModifiedDateTime"),
        ),
        order=("number",),
    ),
    EntitySet(
        "agedAccountsReceivables",
        "agedAccountsReceivable",
        _in_order(
            "customerId customerNumber name currencyCode balanceDue currentAmount period1Label period1Amount"
            " period2Label period2Amount period3Label period3Amount agedAsOfDate periodLengthFilter",
            _fields(
                guid="customerId",
                decimal="balanceDue currentAmount period1Amount period2Amount period3Amount",
                date="agedAsOfDate",
            ),
        ),
        order=("customerNumber",),
        key="customerId",
    ),
    EntitySet(
        "locations",
        "location",
        _in_order(
            f"id code displayName contact {_ADDRESS} lastModifiedDateTime",
            _fields(guid="id", moment="lastModifiedDateTime"),
        ),
        order=("code",),
        natural_key="code",
        lengths=_LENGTHS,
        codes=_CODES,
    ),
    EntitySet(
        "salesOrders",
        "salesOrder",
        _in_order(
            "id number externalDocumentNumber orderDate postingDate customerId customerNumber customerName billToName"
            f" billToCustomerId billToCustomerNumber shipToName shipToContact {_SIDES} currencyId currencyCode"
            " pricesIncludeTax paymentTermsId shipmentMethodId salesperson partialShipping requestedDeliveryDate"
            " discountAmount discountAppliedBeforeTax totalAmountExcludingTax totalTaxAmount totalAmountIncludingTax"
            " fullyShipped status lastModifiedDateTime phoneNumber email",
            _DOCUMENT_KINDS,
        ),
        order=("number",),
        natural_key="number",
        choices={"status": ("Draft", "In Review", "Open")},
        lengths=_LENGTHS,
        codes=_CODES,
        navigations={"salesOrderLines": Navigation("salesOrderLines", "documentId", many=True)},
        read_only=_DOCUMENT_COMPUTED,
        may_be_created=True,
        may_be_changed=True,
    ),
    EntitySet(
        "salesOrderLines",
        "salesOrderLine",
        _in_order(
            "id documentId sequence itemId accountId lineType lineObjectNumber description unitOfMeasureId"
            " unitOfMeasureCode quantity unitPrice discountAmount discountPercent discountAppliedBeforeTax"
            " amountExcludingTax taxCode taxPercent totalTaxAmount amountIncludingTax invoiceDiscountAllocation"
            " netAmount netTaxAmount netAmountIncludingTax shipmentDate shippedQuantity invoicedQuantity"
            " invoiceQuantity shipQuantity itemVariantId locationId",
            _LINE_KINDS,
        ),
        order=("documentId", "sequence"),
        parent_key="documentId",
        choices=_LINE_CHOICES,
        lengths=_LENGTHS,
        codes=_CODES,
        read_only=_LINE_COMPUTED,
        may_be_created=True,
        may_be_changed=True,
    ),
    EntitySet(
        "salesInvoices",
        "salesInvoice",
        _in_order(
            "id number externalDocumentNumber invoiceDate postingDate dueDate customerPurchaseOrderReference customerId"
            " customerNumber customerName billToName billToCustomerId billToCustomerNumber shipToName shipToContact"
            f" {_SIDES} currencyId currencyCode orderId orderNumber paymentTermsId shipmentMethodId salesperson"
            " pricesIncludeTax remainingAmount discountAmount discountAppliedBeforeTax totalAmountExcludingTax"
            " totalTaxAmount totalAmountIncludingTax status lastModifiedDateTime phoneNumber email",
            _DOCUMENT_KINDS,
        ),
        order=("number",),
        natural_key="number",
        choices={"status": (" ", "Draft", "In Review", "Open", "Paid", "Canceled", "Corrective")},
        lengths=_LENGTHS,
        codes=_CODES,
        navigations={"salesInvoiceLines": Navigation("salesInvoiceLines", "documentId", many=True)},
    ),
    EntitySet(
        "salesInvoiceLines",
        "salesInvoiceLine",
        _in_order(
            "id documentId sequence itemId accountId lineType lineObjectNumber description unitOfMeasureId"
            " unitOfMeasureCode unitPrice quantity discountAmount discountPercent discountAppliedBeforeTax"
            " amountExcludingTax taxCode taxPercent totalTaxAmount amountIncludingTax invoiceDiscountAllocation"
            " netAmount netTaxAmount netAmountIncludingTax shipmentDate itemVariantId locationId",
            _LINE_KINDS,
        ),
        order=("documentId", "sequence"),
        parent_key="documentId",
        choices=_LINE_CHOICES,
        lengths=_LENGTHS,
        codes=_CODES,
    ),
    EntitySet(
        "customerPayments",
        "customerPayment",
        _in_order(
            "id journalId journalDisplayName lineNumber customerId customerNumber postingDate documentNumber"
            " externalDocumentNumber amount appliesToInvoiceId appliesToInvoiceNumber description comment"
            " lastModifiedDateTime",
            _fields(
                guid="id journalId customerId appliesToInvoiceId",
                integer="lineNumber",
                date="postingDate",
                decimal="amount",
                moment="lastModifiedDateTime",
            ),
        ),
        order=("lineNumber",),
        lengths=_LENGTHS,
        codes=_CODES,
    ),
    EntitySet(
        "paymentTerms",
        "paymentTerm",
        _in_order(
            "id code displayName dueDateCalculation discountDateCalculation discountPercent"
            " calculateDiscountOnCreditMemos lastModifiedDateTime",
            _fields(
                guid="id",
                decimal="discountPercent",
                boolean="calculateDiscountOnCreditMemos",
                moment="lastModifiedDateTime",
            ),
        ),
        order=("code",),
        natural_key="code",
        lengths=_LENGTHS,
        codes=_CODES,
    ),
    EntitySet(
        "currencies",
        "currency",
        _in_order(
            "id code displayName symbol amountDecimalPlaces amountRoundingPrecision lastModifiedDateTime",
            _fields(guid="id", decimal="amountRoundingPrecision", moment="lastModifiedDateTime"),
        ),
        order=("code",),
        natural_key="code",
        lengths=_LENGTHS,
        codes=_CODES,
    ),
    EntitySet(
        "countriesRegions",
        "countryRegion",
        _in_order(
            "id code displayName addressFormat lastModifiedDateTime",
            _fields(guid="id", moment="lastModifiedDateTime"),
        ),
        order=("code",),
        natural_key="code",
        lengths=_LENGTHS,
        codes=_CODES,
    ),
    EntitySet(
        "companyInformation",
        "companyInformation",
        _in_order(
            "id displayName addressLine1 addressLine2 city state country postalCode phoneNumber faxNumber email website"
            " taxRegistrationNumber currencyCode currentFiscalYearStartDate industry lastModifiedDateTime",
            _fields(guid="id", date="currentFiscalYearStartDate", moment="lastModifiedDateTime"),
        ),
        order=("id",),
    ),
)

ENTITY_SETS: Mapping[str, EntitySet] = {entity_set.name: entity_set for entity_set in _SETS}
COMPUTED_SETS = frozenset({"customerFinancialDetails", "agedAccountsReceivables", "companyInformation"})
"""No tables of their own: views over the customers' ledger, and the one row about the company itself."""
