"""How connectors reach their back office: HTTP, SOAP, OData, JSON-RPC."""
