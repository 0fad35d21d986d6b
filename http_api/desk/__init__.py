"""The desk: pages for sales people and integrators, made on the server."""
