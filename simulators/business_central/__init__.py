"""A simulated Dynamics 365 Business Central: API v2.0 (OData V4) with state, on loopback."""
