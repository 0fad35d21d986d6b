"""The shapes of sales orders and billing documents. See `records`."""

from __future__ import annotations

from connectors.erp.sap_s4hana.records import REFERENCE
from connectors.shapes import Shape

_ORDER_LINE_READ: Shape = {
    "SalesOrderItem": "text",
    "HigherLevelItem": "text",
    "UnderlyingPurchaseOrderItem": "text",
    "SalesOrderItemCategory": "text",
    "SalesOrderItemText": "text",
    "Material": "text",
    "MaterialByCustomer": "text",
    "RequestedQuantity": "number",
    "RequestedQuantityUnit": "text",
    "NetAmount": "number",
    "TaxAmount": "number",
    "ProductionPlant": "text",
    "SalesDocumentRjcnReason": "text",
    "SDProcessStatus": "text",
    "DeliveryStatus": "text",
    "to_PricingElement": [
        {
            "PricingProcedureStep": "text",
            "PricingProcedureCounter": "text",
            "ConditionType": "text",
            "ConditionRateValue": "number",
            "ConditionCurrency": "text",
            "ConditionQuantity": "number",
            "ConditionQuantityUnit": "text",
            "ConditionInactiveReason": "text",
            "ConditionIsManuallyChanged": "boolean",
        }
    ],
    "to_ScheduleLine": [{"ScheduleLine": "text", "DeliveredQtyInOrderQtyUnit": "number"}],
}

ORDER_LINE: Shape = {
    **{name: word for name, word in _ORDER_LINE_READ.items() if isinstance(word, str)},
    "@unit_price": "number",
    "@discount_percent": "number",
    "@delivered_quantity": "number",
}

_ORDER: Shape = {
    "SalesOrder": "text",
    "SalesOrderType": "text",
    "SalesOrganization": "text",
    "DistributionChannel": "text",
    "OrganizationDivision": "text",
    "SoldToParty": "text",
    "PurchaseOrderByCustomer": "text",
    "CustomerPurchaseOrderDate": "date",
    "SalesOrderDate": "date",
    "RequestedDeliveryDate": "date",
    "PricingDate": "date",
    "TotalNetAmount": "number",
    "TransactionCurrency": "text",
    "SDDocumentReason": "text",
    "CustomerPaymentTerms": "text",
    "HeaderBillingBlockReason": "text",
    "DeliveryBlockReason": "text",
    "TotalBlockStatus": "text",
    "OverallSDProcessStatus": "text",
    "OverallTotalDeliveryStatus": "text",
    "OverallSDDocumentRejectionSts": "text",
    "TotalCreditCheckStatus": "text",
    "SalesDocApprovalStatus": "text",
    "LastChangeDateTime": "instant",
}

ORDER_READ: Shape = {
    **_ORDER,
    "to_Item": [_ORDER_LINE_READ],
    "to_Partner": [{"PartnerFunction": "text", "Customer": "text"}],
}

ORDER: Shape = {
    **_ORDER,
    "to_Item": [ORDER_LINE],
    REFERENCE: "text",
    "@ship_to": "text",
    "@bill_to": "text",
    "@plant": "text",
}

INVOICE_READ: Shape = {
    "BillingDocument": "text",
    "SDDocumentCategory": "text",
    "BillingDocumentType": "text",
    "BillingDocumentDate": "date",
    "BillingDocumentIsCancelled": "boolean",
    "CancelledBillingDocument": "text",
    "TotalNetAmount": "number",
    "TaxAmount": "number",
    "TotalGrossAmount": "number",
    "TransactionCurrency": "text",
    "SoldToParty": "text",
    "PayerParty": "text",
    "PurchaseOrderByCustomer": "text",
    "CustomerPaymentTerms": "text",
    "CompanyCode": "text",
    "FiscalYear": "text",
    "AccountingDocument": "text",
    "DocumentReferenceID": "text",
    "AccountingPostingStatus": "text",
    "InvoiceClearingStatus": "text",
    "LastChangeDateTime": "instant",
    "to_Item": [
        {
            "BillingDocumentItem": "text",
            "Material": "text",
            "BillingDocumentItemText": "text",
            "BillingQuantity": "number",
            "BillingQuantityUnit": "text",
            "NetAmount": "number",
            "TaxAmount": "number",
            "SalesDocument": "text",
            "SalesDocumentItem": "text",
            "SalesSDDocumentCategory": "text",
        }
    ],
}

INVOICE: Shape = {**INVOICE_READ, REFERENCE: "text", "@order": "text"}
