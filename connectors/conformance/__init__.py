"""The kit: what every connector must withstand, ready to run against a rehearsal of its back office.

It stands beside the flow of the house, not in it: it drives the whole hub (settings, store, engines) against one
connector, so it may import all rooms. A third party's tests subclass `reading.ReadingSuite` and `writing.WritingSuite`
(docs/write-a-connector.md).
"""
