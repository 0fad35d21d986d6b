"""Jobs that run by themselves: when they are due, who runs them, what holds them back (docs/jobs.md)."""
