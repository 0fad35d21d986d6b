"""The command line's rooms: one group of commands or one way of rendering each. `cli.py` is the door."""
