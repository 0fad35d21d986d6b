"""A simulated Oracle NetSuite: SuiteTalk 2023_2 over SOAP with state, on loopback."""
