"""SAP S/4HANA over its OData V2 services (API_PRODUCT_SRV, API_SALES_ORDER_SRV, ...)."""
