"""Connectors to accounting systems."""
