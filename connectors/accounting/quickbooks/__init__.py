"""QuickBooks Online, accounting API v3."""
