"""The transport against servers that break every promise."""
