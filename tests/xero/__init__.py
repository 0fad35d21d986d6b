"""The Xero connector against its simulator."""
