"""The entities of the CRM as frozen pydantic models, one file a noun."""
