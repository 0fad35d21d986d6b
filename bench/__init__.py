"""Benchmarks: the hub's work beside the floor (what the machine can do at best) and beside a peer, in one run."""
