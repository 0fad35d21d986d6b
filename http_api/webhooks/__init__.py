"""Webhooks of back offices: verified, kept once, answered in time, turned into a live pull of the record."""
