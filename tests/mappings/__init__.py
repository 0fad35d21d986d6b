"""Mapping documents: what an integrator writes, and what a record becomes."""
