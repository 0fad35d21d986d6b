"""The records that we read and write: their fields as SAP's EDMX names them, and what we add to a payload.

The type words are ours: Edm.Decimal is `number`, Edm.DateTime with display format Date is `date`, Edm.DateTimeOffset is
`instant`. A name that begins with `@` is ours: see `ADDED`. `question` makes $select and $expand of a shape.
"""

from __future__ import annotations

from collections.abc import Mapping

from connectors.shapes import Shape

AS_OF = "@as_of"
REFERENCE = "@reference"

ADDED = {
    "@units": "the unit itself, as the only one of its group",
    "@names": "the product's descriptions by language tag (en, de), in the configured languages",
    "@name": "the first of them; of a partner OrganizationBPName1 to 4, or first and last name, joined by a space",
    "@sales": "A_ProductSalesDelivery of the configured sales organisation and channel; null = not sold there",
    "@sales_status": "the sales status that holds on the day of reading, of the channel or else of all; empty = none",
    "@price_list": "id of the price list that a condition, or an account, belongs to",
    "@amount": "price of one unit, exact; null when rate / quantity has no end",
    "@minimum_quantity": "from which quantity the price holds",
    "@minimum_unit": "the unit of @minimum_quantity",
    "@scale": "kind of the condition's scale: `none`, or PricingScaleType/PricingScaleBasis",
    "@valid_from": "first day of the validity",
    "@valid_to": "last day of the validity; 9999-12-31 = without end",
    "@material": "Material of the condition's key",
    "@kind": "what a price list holds for: all, PriceListType, CustomerPriceGroup, Customer",
    "@value": "the price list type, price group or customer that it holds for",
    "@quantity": "sum over storage locations and batches of what is unrestricted and no special stock",
    "@sales_area": "A_CustomerSalesArea of the configured area; null = no customer of this area",
    "@addresses": "the own addresses, then ship-to and bill-to parties of the sales area; an order names their code",
    "@email": "the standard address's default e-mail address",
    "@phone": "the standard address's default telephone number",
    "@website": "the standard address's home page",
    "@tax_number": "the VAT number (category <country>0), else the first tax number by category",
    "@customer": "the customer number of a business partner",
    "@ship_to": "code of the ship-to party's address",
    "@bill_to": "code of the bill-to party's address",
    "@plant": "the plant of all items; null when they differ",
    "@unit_price": "the condition's price of one unit, else net amount / quantity (9 decimals where it has no end)",
    "@discount_percent": "of the configured manual discount condition; null = there is none",
    "@delivered_quantity": "sum over the schedule lines",
    REFERENCE: "PurchaseOrderByCustomer without our own reference",
    "@order": "the sales order that all items bill; null when there are several, or none",
    AS_OF: "when the server answered, by its own clock (its Date header)",
}

UNIT: Shape = {"BaseUnit": "text", "@units": [{"BaseUnit": "text"}]}

PLANT: Shape = {"Plant": "text"}

SALES_DELIVERY: Shape = {
    "ProductSalesOrg": "text",
    "ProductDistributionChnl": "text",
    "MinimumOrderQuantity": "number",
    "SupplyingPlant": "text",
    "ItemCategoryGroup": "text",
    "DeliveryQuantityUnit": "text",
    "DeliveryQuantity": "number",
    "ProductSalesStatus": "text",
    "ProductSalesStatusValidityDate": "date",
    "SalesMeasureUnit": "text",
    "IsMarkedForDeletion": "boolean",
    "ProductHierarchy": "text",
    "PriceSpecificationProductGroup": "text",
    "AccountDetnProductGroup": "text",
}

PRODUCT: Shape = {
    "Product": "text",
    "ProductType": "text",
    "CrossPlantStatus": "text",
    "IsMarkedForDeletion": "boolean",
    "ProductOldID": "text",
    "GrossWeight": "number",
    "NetWeight": "number",
    "WeightUnit": "text",
    "CountryOfOrigin": "text",
    "ProductGroup": "text",
    "BaseUnit": "text",
    "ItemCategoryGroup": "text",
    "ProductHierarchy": "text",
    "Division": "text",
    "Brand": "text",
    "ProductStandardID": "text",
    "ProductManufacturerNumber": "text",
    "IsBatchManagementRequired": "boolean",
    "LastChangeDateTime": "instant",
    "to_Description": [{"Language": "text", "ProductDescription": "text"}],
    "to_ProductUnitsOfMeasure": [
        {
            "AlternativeUnit": "text",
            "QuantityNumerator": "integer",
            "QuantityDenominator": "integer",
            "GlobalTradeItemNumber": "text",
        }
    ],
    "to_ProductSales": {"SalesStatus": "text", "SalesStatusValidityDate": "date", "TaxClassification": "text"},
    "to_SalesDelivery": [SALES_DELIVERY],
    "@names": "any",
    "@name": "text",
    "@sales": SALES_DELIVERY,
    "@sales_status": "text",
}

CONDITION: Shape = {
    "ConditionRecord": "text",
    "ConditionTable": "text",
    "ConditionApplication": "text",
    "ConditionType": "text",
    "PricingScaleType": "text",
    "PricingScaleBasis": "text",
    "ConditionCalculationType": "text",
    "ConditionRateValue": "number",
    "ConditionRateValueUnit": "text",
    "ConditionRateAmount": "number",
    "ConditionCurrency": "text",
    "ConditionQuantity": "number",
    "ConditionQuantityUnit": "text",
    "ConditionIsDeleted": "boolean",
    "ConditionReleaseStatus": "text",
    "LastChangeDateTime": "instant",
    "to_SlsPrcgCndnRecdValidity": [
        {
            "ConditionValidityEndDate": "date",
            "ConditionValidityStartDate": "date",
            "SalesOrganization": "text",
            "DistributionChannel": "text",
            "Division": "text",
            "Material": "text",
            "Customer": "text",
            "SoldToParty": "text",
            "PriceListType": "text",
            "CustomerPriceGroup": "text",
            "TransactionCurrency": "text",
            "OrderQuantityUnit": "text",
        }
    ],
    "to_SlsPrcgCndnRecordScale": [
        {
            "ConditionScaleLine": "text",
            "ConditionScaleQuantity": "number",
            "ConditionScaleQuantityUnit": "text",
            "ConditionScaleAmount": "number",
            "ConditionRateValue": "number",
            "ConditionRateValueUnit": "text",
            "ConditionRateAmount": "number",
            "ConditionCurrency": "text",
        }
    ],
}

PRICE: Shape = {
    **{name: word for name, word in CONDITION.items() if isinstance(word, str)},
    "@price_list": "text",
    "@material": "text",
    "@amount": "number",
    "@minimum_quantity": "number",
    "@minimum_unit": "text",
    "@scale": "text",
    "@valid_from": "date",
    "@valid_to": "date",
}

PRICE_LIST: Shape = {
    "SalesOrganization": "text",
    "DistributionChannel": "text",
    "ConditionType": "text",
    "ConditionCurrency": "text",
    "@price_list": "text",
    "@kind": "text",
    "@value": "text",
}

STOCK_ROW: Shape = {
    "Material": "text",
    "Plant": "text",
    "StorageLocation": "text",
    "Batch": "text",
    "Supplier": "text",
    "Customer": "text",
    "WBSElementInternalID": "text",
    "SDDocument": "text",
    "SDDocumentItem": "text",
    "InventorySpecialStockType": "text",
    "InventoryStockType": "text",
    "MaterialBaseUnit": "text",
    "MatlWrhsStkQtyInMatlBaseUnit": "number",
}

STOCK_LEVEL: Shape = {
    "Material": "text",
    "Plant": "text",
    "MaterialBaseUnit": "text",
    "@quantity": "number",
    AS_OF: "instant",
}


def question(shape: Shape, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The $select and $expand that ask for a shape (not for what we add), and for the integrator's own fields."""
    select: list[str] = []
    expand: list[str] = []
    _collect(shape, "", select, expand)
    for path in extra or {}:
        wanted = path.split("[")[0].replace(".", "/")
        if wanted not in select and not wanted.startswith("@"):
            select.append(wanted)
    options = {"$select": ",".join(select)}
    if expand:
        options["$expand"] = ",".join(expand)
    return options


def _collect(shape: Shape, prefix: str, select: list[str], expand: list[str]) -> None:
    for name, word in shape.items():
        if name.startswith("@"):
            continue
        if isinstance(word, str):
            select.append(prefix + name)
            continue
        expand.append(prefix + name)
        _collect(word if isinstance(word, Mapping) else word[0], f"{prefix}{name}/", select, expand)
