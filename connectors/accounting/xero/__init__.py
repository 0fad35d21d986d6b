"""Xero, Accounting API 2.0."""
