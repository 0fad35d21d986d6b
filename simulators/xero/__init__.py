"""A simulated Xero: OAuth 2, connections and the Accounting API 2.0 with state, on loopback."""
