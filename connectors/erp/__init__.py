"""Connectors to ERP systems."""
