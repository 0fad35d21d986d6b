"""A simulated QuickBooks Online: one company with state, its query language, deletions, tokens and limits."""
