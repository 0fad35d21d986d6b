"""The Business Central connector against its simulator and the vendor's contract."""
