"""What runs: pull, replay, dead letters, and the operations that faces call."""
