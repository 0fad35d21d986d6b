"""The CRM model, its rules and its store."""
