"""Starts a real Tryton ERP on loopback, in an environment of its own, for the demo and the tests."""
