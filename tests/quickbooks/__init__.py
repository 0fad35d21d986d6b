"""QuickBooks against its simulator, and against Intuit's schemas where they are at hand."""
