"""Loopback back offices with state, paging, throttling and faults by plan; they import the standard library only."""
