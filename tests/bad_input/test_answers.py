"""Answers that make no sense: the run ends with a clear error, nothing of the page is written, and the next healthy
pull goes on there and ends in exactly the state of an undisturbed one."""

from __future__ import annotations

import pytest

from crm_core.errors import ConnectorError, ProtocolViolation, RateLimited, ServiceUnavailable
from simulators.faults import Fault, FaultKind, Rule
from sync_jobs.decisions import Decision
from tests.bad_input.books import PRODUCT, Books

ITEMS = r"/items$"
"""Requests for items: 1 asks for the newest change, 2 for the first page, 3 for the second, 4 for the third."""
SECOND_PAGE = 3

ERROR_IN_200 = b'{"error":{"code":"Internal_ServerError","message":"The operation was cancelled."}}'

DISTURBANCES: dict[str, tuple[Fault, type[ConnectorError], str]] = {
    "html_200": (Fault(FaultKind.HTML), ProtocolViolation, "GET items: the answer is not JSON"),
    "html_503": (Fault(FaultKind.HTML, status=503), ServiceUnavailable, "GET items: .*HTTP 503"),
    "error_in_200": (
        Fault(FaultKind.STATUS, status=200, body=ERROR_IN_200),
        ProtocolViolation,
        "GET items: no list of records under 'value'",
    ),
    "page_repeats": (Fault(FaultKind.PAGE_LOOP), ProtocolViolation, "GET items: the same page came twice"),
    "truncated": (Fault(FaultKind.TRUNCATED_JSON), ProtocolViolation, "GET items: the answer is not JSON"),
    "truncated_at_once": (Fault(FaultKind.TRUNCATED_JSON, portion=0), ProtocolViolation, "GET items: .* not JSON"),
    "nan": (Fault(FaultKind.NAN, field="unitPrice"), ProtocolViolation, "GET items: the answer is not JSON"),
    "throttled": (Fault(FaultKind.STATUS, status=429), RateLimited, "GET items: .*HTTP 429"),
    "cut_before": (Fault(FaultKind.CUT_BEFORE), ServiceUnavailable, "GET items: the connection broke"),
    "cut_middle": (Fault(FaultKind.CUT_MIDDLE), ServiceUnavailable, "GET items: .*(cut short|ends after|broke)"),
    "cut_after": (Fault(FaultKind.CUT_AFTER, resets=True), ServiceUnavailable, "GET items: the connection broke"),
}


@pytest.mark.parametrize("name", DISTURBANCES)
def test_a_disturbed_page_is_not_written_and_the_next_pull_goes_on_there(books: Books, name: str) -> None:
    """Lost records, doubled records, or an error that tells nobody what happened."""
    fault, kind, said = DISTURBANCES[name]
    books.simulator.set_plan([Rule(fault, path=ITEMS, nth=SECOND_PAGE)])
    with pytest.raises(kind, match=said) as told:
        books.pull()
    assert "\n" not in str(told.value)
    assert books.count("products") == 10, "the first page, and nothing of the second"
    before = books.checkpoint(PRODUCT)
    assert before.is_reading
    assert before.resume is not None
    run = books.last_run()
    assert (run.status, run.error) == ("failed", str(told.value))
    assert books.letters() == []

    books.simulator.set_plan([Rule(fault, path=ITEMS, nth=1)])
    with pytest.raises(kind):
        books.pull()
    assert books.checkpoint(PRODUCT) == before, "a pull that gets nowhere leaves the checkpoint where it was"

    books.simulator.set_plan([])
    report = books.pull()
    assert report.entities[PRODUCT].is_resumed
    assert report.entities[PRODUCT].decisions[Decision.CREATED] == 15
    books.assert_both_sides_agree()
    again = books.pull(full=True)
    assert again.entities[PRODUCT].decisions[Decision.UNCHANGED] == 25
    assert again.total(Decision.CREATED) == again.total(Decision.UPDATED) == again.total(Decision.DELETED) == 0


@pytest.mark.parametrize(
    "kind", [FaultKind.GZIP_MARKED_PLAIN, FaultKind.GZIP_UNMARKED, FaultKind.GZIP_UNASKED], ids=str
)
def test_a_body_is_what_its_bytes_say_whatever_its_header_claims(books: Books, kind: FaultKind) -> None:
    """Tryton marks plain bodies as gzip and proxies pack unasked: taken by the header, nothing could be read."""
    books.simulator.set_plan([Rule(Fault(kind), times=None)])
    books.pull()
    books.assert_both_sides_agree()


def test_a_packed_body_that_is_damaged_stops_the_read(books: Books) -> None:
    """Half a catalogue, taken for the whole one."""
    damaged = Fault(FaultKind.STATUS, status=200, body=b"\x1f\x8b\x08\x00 this is no gzip")
    books.simulator.set_plan([Rule(damaged, path=ITEMS, nth=SECOND_PAGE)])
    with pytest.raises(ProtocolViolation, match="GET items: the compressed answer is damaged"):
        books.pull()
    assert books.count("products") == 10
    books.simulator.set_plan([])
    books.pull()
    books.assert_both_sides_agree()
