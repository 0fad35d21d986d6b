"""The records of API v2.0 that we read: their fields, and what we add to a payload.

The fields are those of the AL pages of the app `APIV2` (microsoft/ALAppExtensions, Apps/W1/APIV2/app/src/pages) and of
the resource pages of the API v2.0 reference. A name that begins with `@` and is not OData's is ours: see `ADDED`.
"""

from __future__ import annotations

from collections.abc import Iterable

from connectors.shapes import Shape

COMPANY_CURRENCY = "@company_currency"
PAYMENT_TERMS = "@payment_terms"
WAREHOUSE = "@warehouse"
AS_OF = "@as_of"
ITSELF = "@itself"

ADDED = {
    COMPANY_CURRENCY: "currency of the company's ledger (LCY), which an item's price and every empty currencyCode mean",
    PAYMENT_TERMS: "code of the record's paymentTermsId",
    ITSELF: "a list of one empty item: lets a mapping make one part (a unit, an address) of the record's own fields",
    WAREHOUSE: "id of the warehouse that a level belongs to; v2.0 tells one number for the whole company",
    AS_OF: "when the server answered, by its own clock (its Date header)",
}

COMPANY_TOTAL = "company-total"
"""Id and, in brackets, code of the warehouse that stands for all locations together."""

NO_ID = "00000000-0000-0000-0000-000000000000"
"""How Business Central writes `no reference`."""

NO_DATE = "0001-01-01"
"""How Business Central writes `no date`."""

UNIT_OF_MEASURE: Shape = {
    "@odata.etag": "text",
    "id": "text",
    "code": "text",
    "displayName": "text",
    "internationalStandardCode": "text",
    "symbol": "text",
    "lastModifiedDateTime": "instant",
    ITSELF: [{}],
}

ITEM: Shape = {
    "@odata.etag": "text",
    "id": "text",
    "number": "text",
    "displayName": "text",
    "displayName2": "text",
    "type": "text",
    "itemCategoryId": "text",
    "itemCategoryCode": "text",
    "blocked": "boolean",
    "gtin": "text",
    "unitPrice": "number",
    "priceIncludesTax": "boolean",
    "unitCost": "number",
    "taxGroupId": "text",
    "taxGroupCode": "text",
    "baseUnitOfMeasureId": "text",
    "baseUnitOfMeasureCode": "text",
    "generalProductPostingGroupId": "text",
    "generalProductPostingGroupCode": "text",
    "inventoryPostingGroupId": "text",
    "inventoryPostingGroupCode": "text",
    "lastModifiedDateTime": "instant",
    COMPANY_CURRENCY: "text",
}

LOCATION: Shape = {
    "@odata.etag": "text",
    "id": "text",
    "code": "text",
    "displayName": "text",
    "contact": "text",
    "addressLine1": "text",
    "addressLine2": "text",
    "city": "text",
    "state": "text",
    "country": "text",
    "postalCode": "text",
    "phoneNumber": "text",
    "email": "text",
    "website": "text",
    "lastModifiedDateTime": "instant",
}

ITEM_STOCK: Shape = {
    "id": "text",
    "number": "text",
    "inventory": "number",
    "baseUnitOfMeasureCode": "text",
    WAREHOUSE: "text",
    AS_OF: "instant",
}

CUSTOMER: Shape = {
    "@odata.etag": "text",
    "id": "text",
    "number": "text",
    "displayName": "text",
    "type": "text",
    "addressLine1": "text",
    "addressLine2": "text",
    "city": "text",
    "state": "text",
    "country": "text",
    "postalCode": "text",
    "phoneNumber": "text",
    "email": "text",
    "website": "text",
    "salespersonCode": "text",
    "taxLiable": "boolean",
    "taxAreaId": "text",
    "taxAreaDisplayName": "text",
    "taxRegistrationNumber": "text",
    "currencyId": "text",
    "currencyCode": "text",
    "paymentTermsId": "text",
    "shipmentMethodId": "text",
    "paymentMethodId": "text",
    "blocked": "text",
    "lastModifiedDateTime": "instant",
    COMPANY_CURRENCY: "text",
    PAYMENT_TERMS: "text",
    ITSELF: [{}],
}

# Not the fields that move without money moving (the day of the ageing, labels with dates, the customer's own changes):
# every account would look changed every day.
FINANCIAL_DETAIL: Shape = {
    "balance": "number",
    "totalSalesExcludingTax": "number",
    "overdueAmount": "number",
}

AGED_RECEIVABLE: Shape = {
    "currentAmount": "number",
    "period1Amount": "number",
    "period2Amount": "number",
    "period3Amount": "number",
    "periodLengthFilter": "text",
}

CUSTOMER_CREDIT: Shape = {
    "id": "text",
    "number": "text",
    "creditLimit": "number",
    "blocked": "text",
    "customerFinancialDetail": FINANCIAL_DETAIL,
    "agedAccountsReceivable": AGED_RECEIVABLE,
    COMPANY_CURRENCY: "text",
    AS_OF: "instant",
}

_DOCUMENT_LINE: Shape = {
    "@odata.etag": "text",
    "id": "text",
    "documentId": "text",
    "sequence": "integer",
    "itemId": "text",
    "accountId": "text",
    "lineType": "text",
    "lineObjectNumber": "text",
    "description": "text",
    "description2": "text",
    "unitOfMeasureId": "text",
    "unitOfMeasureCode": "text",
    "quantity": "number",
    "unitPrice": "number",
    "discountAmount": "number",
    "discountPercent": "number",
    "discountAppliedBeforeTax": "boolean",
    "amountExcludingTax": "number",
    "taxCode": "text",
    "taxPercent": "number",
    "totalTaxAmount": "number",
    "amountIncludingTax": "number",
    "invoiceDiscountAllocation": "number",
    "netAmount": "number",
    "netTaxAmount": "number",
    "netAmountIncludingTax": "number",
    "shipmentDate": "date",
    "itemVariantId": "text",
    "locationId": "text",
}

ORDER_LINE: Shape = {
    **_DOCUMENT_LINE,
    "shippedQuantity": "number",
    "invoicedQuantity": "number",
    "invoiceQuantity": "number",
    "shipQuantity": "number",
}

INVOICE_LINE: Shape = _DOCUMENT_LINE

_DOCUMENT: Shape = {
    "@odata.etag": "text",
    "id": "text",
    "number": "text",
    "externalDocumentNumber": "text",
    "postingDate": "date",
    "customerId": "text",
    "customerNumber": "text",
    "customerName": "text",
    "billToName": "text",
    "billToCustomerId": "text",
    "billToCustomerNumber": "text",
    "shipToName": "text",
    "shipToContact": "text",
    **{
        f"{party}{field}": "text"
        for party in ("sellTo", "billTo", "shipTo")
        for field in ("AddressLine1", "AddressLine2", "City", "Country", "State", "PostCode")
    },
    "currencyId": "text",
    "currencyCode": "text",
    "shortcutDimension1Code": "text",
    "shortcutDimension2Code": "text",
    "pricesIncludeTax": "boolean",
    "paymentTermsId": "text",
    "shipmentMethodId": "text",
    "salesperson": "text",
    "discountAmount": "number",
    "discountAppliedBeforeTax": "boolean",
    "totalAmountExcludingTax": "number",
    "totalTaxAmount": "number",
    "totalAmountIncludingTax": "number",
    "status": "text",
    "phoneNumber": "text",
    "email": "text",
    "lastModifiedDateTime": "instant",
    COMPANY_CURRENCY: "text",
}

SALES_ORDER: Shape = {
    **_DOCUMENT,
    "orderDate": "date",
    "partialShipping": "boolean",
    "requestedDeliveryDate": "date",
    "fullyShipped": "boolean",
    "salesOrderLines": [ORDER_LINE],
    PAYMENT_TERMS: "text",
}

SALES_INVOICE: Shape = {
    **_DOCUMENT,
    "invoiceDate": "date",
    "dueDate": "date",
    "customerPurchaseOrderReference": "text",
    "orderId": "text",
    "orderNumber": "text",
    "remainingAmount": "number",
    "salesInvoiceLines": [INVOICE_LINE],
}


def selectable(shape: Shape, extra: Iterable[str] = ()) -> str:
    """The `$select` of a shape: its plain fields, not OData's and ours, then the first step of the integrator's own."""
    names = [name for name, kind in shape.items() if isinstance(kind, str) and not name.startswith("@")]
    names += [name for name in dict.fromkeys(path.split(".")[0].split("[")[0] for path in extra) if name not in shape]
    return ",".join(names)
