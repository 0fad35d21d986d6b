"""Routes for integrators: runs, connections, dead letters, the outbox."""
