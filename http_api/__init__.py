"""The HTTP face for sales and integrators."""
