"""A simulated SAP S/4HANA: its sales services over OData V2, with state, on loopback."""
