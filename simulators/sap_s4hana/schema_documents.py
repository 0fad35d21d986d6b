"""Sales orders, billing documents and order simulation. See `schema_goods`.

A simulation is not kept: its sets only say what can be sent and what comes back.
"""

from __future__ import annotations

from simulators.sap_s4hana.schema import EntitySet, many, names, one, properties

ORDERS = "API_SALES_ORDER_SRV"
INVOICES = "API_BILLING_DOCUMENT_SRV"
SIMULATION = "API_SALES_ORDER_SIMULATION_SRV"

SETS = (
    EntitySet(
        ORDERS,
        "A_SalesOrder",
        properties(
            "SalesOrder:10 SalesOrderType:4 SalesOrganization:4 DistributionChannel:2 OrganizationDivision:2"
            " SoldToParty:10 PurchaseOrderByCustomer:35 CustomerPurchaseOrderDate:day SalesOrderDate:day"
            " RequestedDeliveryDate:day PricingDate:day TotalNetAmount:16.3 TransactionCurrency:5 SDDocumentReason:3"
            " CustomerPaymentTerms:4 HeaderBillingBlockReason:2 DeliveryBlockReason:2 TotalBlockStatus:1"
            " OverallSDProcessStatus:1 OverallTotalDeliveryStatus:1 OverallSDDocumentRejectionSts:1"
            " TotalCreditCheckStatus:1 SalesDocApprovalStatus:1 CreationDate:day LastChangeDate:day"
            " LastChangeDateTime:moment",
            alpha="SalesOrder SoldToParty",
        ),
        ("SalesOrder",),
        navigations={
            "to_Item": many("A_SalesOrderItem", "SalesOrder"),
            "to_Partner": many("A_SalesOrderHeaderPartner", "SalesOrder"),
        },
        read_only=names(
            "TotalNetAmount TotalBlockStatus OverallSDProcessStatus OverallTotalDeliveryStatus"
            " OverallSDDocumentRejectionSts TotalCreditCheckStatus SalesDocApprovalStatus CreationDate LastChangeDate"
            " LastChangeDateTime"
        ),
        may=names("POST PATCH DELETE"),
        etag="LastChangeDateTime",
        indexed=(("SoldToParty",),),
    ),
    EntitySet(
        ORDERS,
        "A_SalesOrderItem",
        properties(
            "SalesOrder:10 SalesOrderItem:6 HigherLevelItem:6 UnderlyingPurchaseOrderItem:6 SalesOrderItemCategory:4"
            " SalesOrderItemText:40 Material:40 MaterialByCustomer:35 RequestedQuantity:15.3 RequestedQuantityUnit:3"
            " NetAmount:16.3 TaxAmount:14.3 ProductionPlant:4 SalesDocumentRjcnReason:2 SDProcessStatus:1"
            " DeliveryStatus:1",
            alpha="SalesOrder SalesOrderItem HigherLevelItem Material",
        ),
        ("SalesOrder", "SalesOrderItem"),
        navigations={
            "to_PricingElement": many("A_SalesOrderItemPrElement", "SalesOrder", "SalesOrderItem"),
            "to_ScheduleLine": many("A_SalesOrderScheduleLine", "SalesOrder", "SalesOrderItem"),
            "to_SalesOrder": one("A_SalesOrder", "SalesOrder"),
        },
        read_only=names("SalesOrder NetAmount SDProcessStatus DeliveryStatus"),
        may=names("POST PATCH DELETE"),
        indexed=(("SalesOrder",),),
    ),
    EntitySet(
        ORDERS,
        "A_SalesOrderHeaderPartner",
        properties("SalesOrder:10 PartnerFunction:2 Customer:10", alpha="SalesOrder Customer"),
        ("SalesOrder", "PartnerFunction"),
        read_only=names("SalesOrder"),
        may=names("POST PATCH"),
        indexed=(("SalesOrder",),),
    ),
    EntitySet(
        ORDERS,
        "A_SalesOrderItemPrElement",
        properties(
            "SalesOrder:10 SalesOrderItem:6 PricingProcedureStep:3 PricingProcedureCounter:3 ConditionType:4"
            " ConditionRateValue:24.9 ConditionCurrency:5 ConditionQuantity:5.0 ConditionQuantityUnit:3"
            " ConditionInactiveReason:1 ConditionIsManuallyChanged:flag ConditionCalculationType:3 ConditionRecord:10"
            " ConditionAmount:16.3 TransactionCurrency:5",
            alpha="SalesOrder SalesOrderItem PricingProcedureStep PricingProcedureCounter",
        ),
        ("SalesOrder", "SalesOrderItem", "PricingProcedureStep", "PricingProcedureCounter"),
        read_only=names(
            "SalesOrder SalesOrderItem ConditionInactiveReason ConditionIsManuallyChanged ConditionAmount"
            " ConditionCalculationType ConditionRecord"
        ),
        may=names("POST PATCH DELETE"),
        indexed=(("SalesOrder", "SalesOrderItem"),),
    ),
    EntitySet(
        ORDERS,
        "A_SalesOrderScheduleLine",
        properties(
            "SalesOrder:10 SalesOrderItem:6 ScheduleLine:4 RequestedDeliveryDate:day ConfirmedDeliveryDate:day"
            " ScheduleLineOrderQuantity:13.3 ConfdOrderQtyByMatlAvailCheck:13.3 DeliveredQtyInOrderQtyUnit:13.3"
            " OrderQuantityUnit:3",
            alpha="SalesOrder SalesOrderItem ScheduleLine",
        ),
        ("SalesOrder", "SalesOrderItem", "ScheduleLine"),
        indexed=(("SalesOrder", "SalesOrderItem"),),
    ),
    EntitySet(
        INVOICES,
        "A_BillingDocument",
        properties(
            "BillingDocument:10 SDDocumentCategory:4 BillingDocumentType:4 BillingDocumentDate:day"
            " BillingDocumentIsCancelled:flag CancelledBillingDocument:10 TotalNetAmount:16.3 TaxAmount:14.3"
            " TotalGrossAmount:17.3 TransactionCurrency:5 SalesOrganization:4 SoldToParty:10 PayerParty:10"
            " PurchaseOrderByCustomer:35 CustomerPaymentTerms:4 CompanyCode:4 FiscalYear:4 AccountingDocument:10"
            " DocumentReferenceID:16 AccountingPostingStatus:1 InvoiceClearingStatus:1 CreationDate:day"
            " LastChangeDateTime:moment",
            alpha="BillingDocument CancelledBillingDocument SoldToParty PayerParty",
        ),
        ("BillingDocument",),
        navigations={"to_Item": many("A_BillingDocumentItem", "BillingDocument")},
        etag="LastChangeDateTime",
    ),
    EntitySet(
        INVOICES,
        "A_BillingDocumentItem",
        properties(
            "BillingDocument:10 BillingDocumentItem:6 Material:40 BillingDocumentItemText:40 BillingQuantity:13.3"
            " BillingQuantityUnit:3 NetAmount:16.3 TaxAmount:14.3 SalesDocument:10 SalesDocumentItem:6"
            " SalesSDDocumentCategory:4",
            alpha="BillingDocument BillingDocumentItem Material SalesDocument SalesDocumentItem",
        ),
        ("BillingDocument", "BillingDocumentItem"),
        indexed=(("BillingDocument",),),
    ),
    EntitySet(
        SIMULATION,
        "A_SalesOrderSimulation",
        properties(
            "SalesOrder:10 SalesOrderType:4 SalesOrganization:4 DistributionChannel:2 OrganizationDivision:2"
            " SoldToParty:10 RequestedDeliveryDate:day PricingDate:day TransactionCurrency:5",
            alpha="SoldToParty",
        ),
        ("SalesOrder",),
        navigations={
            "to_Item": many("A_SalesOrderItemSimulation", "SalesOrder"),
            "to_Partner": many("A_SalesOrderPartnerSimulation", "SalesOrder"),
            "to_Pricing": one("A_SalesOrderPricingSimulation", "SalesOrder"),
            "to_Credit": one("A_SalesOrderCreditSimulation", "SalesOrder"),
        },
        may=names("POST"),
    ),
    EntitySet(
        SIMULATION,
        "A_SalesOrderItemSimulation",
        properties(
            "SalesOrder:10 SalesOrderItem:6 HigherLevelItem:6 Material:40 RequestedQuantity:15.3"
            " RequestedQuantityUnit:3 NetAmount:16.3 TaxAmount:14.3 TransactionCurrency:5 Plant:4",
            alpha="SalesOrderItem Material",
        ),
        ("SalesOrder", "SalesOrderItem"),
        navigations={"to_ScheduleLine": many("A_SalesOrderScheduleLineSimln", "SalesOrder", "SalesOrderItem")},
    ),
    EntitySet(
        SIMULATION,
        "A_SalesOrderScheduleLineSimln",
        properties(
            "SalesOrder:10 SalesOrderItem:6 ScheduleLine:4 ConfirmedDeliveryDate:day ScheduleLineOrderQuantity:13.3"
            " ConfdOrderQtyByMatlAvailCheck:13.3 OrderQuantityUnit:3"
        ),
        ("SalesOrder", "SalesOrderItem", "ScheduleLine"),
    ),
    EntitySet(
        SIMULATION,
        "A_SalesOrderPartnerSimulation",
        properties("SalesOrder:10 PartnerFunction:2 Customer:10", alpha="Customer"),
        ("SalesOrder", "PartnerFunction"),
    ),
    EntitySet(
        SIMULATION,
        "A_SalesOrderPricingSimulation",
        properties("SalesOrder:10 TotalNetAmount:16.3 TransactionCurrency:5"),
        ("SalesOrder",),
    ),
    EntitySet(
        SIMULATION,
        "A_SalesOrderCreditSimulation",
        properties("SalesOrder:10 TotalCreditCheckStatus:1"),
        ("SalesOrder",),
    ),
)
