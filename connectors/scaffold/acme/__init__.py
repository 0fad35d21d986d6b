"""Acme: a connector to begin with. It speaks to the simulator beside it; make both speak as your back office does."""
