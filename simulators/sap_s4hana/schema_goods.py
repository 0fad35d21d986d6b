"""Products, condition records and stock: API_PRODUCT_SRV, API_SLSPRICINGCONDITIONRECORD_SRV, API_MATERIAL_STOCK_SRV.

Names, types and lengths are those of SAP's EDMX; properties that no connector of ours reads are left out.
"""

from __future__ import annotations

from simulators.sap_s4hana.schema import EntitySet, many, names, one, properties

PRODUCTS = "API_PRODUCT_SRV"
CONDITIONS = "API_SLSPRICINGCONDITIONRECORD_SRV"
STOCK = "API_MATERIAL_STOCK_SRV"

SETS = (
    EntitySet(
        PRODUCTS,
        "A_Product",
        properties(
            "Product:40 ProductType:4 CrossPlantStatus:2 ProductOldID:40 WeightUnit:3 CountryOfOrigin:3 ProductGroup:9"
            " BaseUnit:3 ItemCategoryGroup:4 ProductHierarchy:18 Division:2 Brand:4 ProductStandardID:18"
            " ProductManufacturerNumber:40 IsMarkedForDeletion:flag IsBatchManagementRequired:flag GrossWeight:13.3"
            " NetWeight:13.3 LastChangeDateTime:moment",
            alpha="Product",
        ),
        ("Product",),
        navigations={
            "to_Description": many("A_ProductDescription", "Product"),
            "to_ProductUnitsOfMeasure": many("A_ProductUnitsOfMeasure", "Product"),
            "to_ProductSales": one("A_ProductSales", "Product"),
            "to_SalesDelivery": many("A_ProductSalesDelivery", "Product"),
        },
    ),
    EntitySet(
        PRODUCTS,
        "A_ProductDescription",
        properties("Product:40 Language:2 ProductDescription:40", alpha="Product"),
        ("Product", "Language"),
        indexed=(("Product",),),
    ),
    EntitySet(
        PRODUCTS,
        "A_ProductUnitsOfMeasure",
        properties(
            "Product:40 AlternativeUnit:3 QuantityNumerator:5.0 QuantityDenominator:5.0 GlobalTradeItemNumber:18",
            alpha="Product",
        ),
        ("Product", "AlternativeUnit"),
        indexed=(("Product",),),
    ),
    EntitySet(
        PRODUCTS,
        "A_ProductSales",
        properties("Product:40 SalesStatus:2 SalesStatusValidityDate:day TaxClassification:1", alpha="Product"),
        ("Product",),
        indexed=(("Product",),),
    ),
    EntitySet(
        PRODUCTS,
        "A_ProductSalesDelivery",
        properties(
            "Product:40 ProductSalesOrg:4 ProductDistributionChnl:2 SupplyingPlant:4 ItemCategoryGroup:4"
            " DeliveryQuantityUnit:3 ProductSalesStatus:2 SalesMeasureUnit:3 ProductHierarchy:18"
            " PriceSpecificationProductGroup:2 AccountDetnProductGroup:2 MinimumOrderQuantity:13.3"
            " DeliveryQuantity:13.3 ProductSalesStatusValidityDate:day IsMarkedForDeletion:flag",
            alpha="Product",
        ),
        ("Product", "ProductSalesOrg", "ProductDistributionChnl"),
        indexed=(("Product",),),
    ),
    EntitySet(
        CONDITIONS,
        "A_SlsPrcgConditionRecord",
        properties(
            "ConditionRecord:10 ConditionTable:3 ConditionApplication:2 ConditionType:4 PricingScaleType:1"
            " PricingScaleBasis:1 ConditionCalculationType:1 ConditionRateValue:12.3 ConditionRateValueUnit:5"
            " ConditionRateAmount:24.9 ConditionCurrency:5 ConditionQuantity:5.0 ConditionQuantityUnit:3"
            " ConditionIsDeleted:flag ConditionReleaseStatus:1 LastChangeDateTime:moment ETag:40"
        ),
        ("ConditionRecord",),
        navigations={
            "to_SlsPrcgCndnRecdValidity": many("A_SlsPrcgCndnRecdValidity", "ConditionRecord"),
            "to_SlsPrcgCndnRecordScale": many("A_SlsPrcgCndnRecordScale", "ConditionRecord"),
        },
        read_only=names("ETag"),
        etag="ETag",
    ),
    EntitySet(
        CONDITIONS,
        "A_SlsPrcgCndnRecdValidity",
        properties(
            "ConditionRecord:10 ConditionValidityEndDate:day ConditionValidityStartDate:day ConditionApplication:2"
            " ConditionType:4 ConditionReleaseStatus:1 SalesOrganization:4 DistributionChannel:2 Division:2 Material:40"
            " Customer:10 SoldToParty:10 PriceListType:2 CustomerPriceGroup:2 CustomerGroup:2 TransactionCurrency:5"
            " OrderQuantityUnit:3 Plant:4 Batch:10 MaterialGroup:9 ETag:40",
            alpha="Material Customer SoldToParty",
        ),
        ("ConditionRecord", "ConditionValidityEndDate"),
        etag="ETag",
        indexed=(("ConditionRecord",), ("Customer",), ("Material",)),
    ),
    EntitySet(
        CONDITIONS,
        "A_SlsPrcgCndnRecordScale",
        properties(
            "ConditionRecord:10 ConditionSequentialNumber:2 ConditionScaleLine:4 ConditionScaleQuantity:15.3"
            " ConditionScaleQuantityUnit:3 ConditionScaleAmount:16.3 ConditionRateValue:12.3 ConditionRateValueUnit:5"
            " ConditionRateAmount:24.9 ConditionCurrency:5 ETag:40"
        ),
        ("ConditionRecord", "ConditionSequentialNumber", "ConditionScaleLine"),
        etag="ETag",
        indexed=(("ConditionRecord",),),
    ),
    EntitySet(
        STOCK,
        "A_MatlStkInAcctMod",
        properties(
            "Material:40 Plant:4 StorageLocation:4 Batch:10 Supplier:10 Customer:10 WBSElementInternalID:8"
            " SDDocument:10 SDDocumentItem:6 InventorySpecialStockType:1 InventoryStockType:2 MaterialBaseUnit:3"
            " MatlWrhsStkQtyInMatlBaseUnit:31.14",
            alpha="Material Customer",
        ),
        (
            *("Material", "Plant", "StorageLocation", "Batch", "Supplier", "Customer", "WBSElementInternalID"),
            *("SDDocument", "SDDocumentItem", "InventorySpecialStockType", "InventoryStockType"),
        ),
        indexed=(("Material",),),
    ),
)
