"""The NetSuite connector against its simulator and against NetSuite's own contract."""
