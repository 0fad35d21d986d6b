"""The HTTP face for sales and integrators (arrives with live look-ups)."""
