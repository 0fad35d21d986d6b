"""Tryton 8.2 as a back office: JSON-RPC with a session, everything read in bulk."""
