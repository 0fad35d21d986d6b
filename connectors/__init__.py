"""Ports, envelopes and one folder a back office."""
