"""Oracle NetSuite, SuiteTalk 2023_2 over SOAP."""
