"""The HTTP face over a back office in memory and a real SQLite file."""
