"""The S/4HANA connector against its simulator, SAP's contracts and SAP's own OData server."""
