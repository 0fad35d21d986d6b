"""Traces, read from OpenTelemetry's in-memory exporter: a record is followed from its page to its row, and out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from crm_core.errors import OutcomeUnknown
from sync_jobs import tracing
from sync_jobs.operations import pull
from tests.cli.office import PRODUCT
from tests.cli.push_office import PushDesk
from tests.support.memory_office import once
from tests.watching.conftest import HubMaker


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What was traced, in the order in which it ended."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.switch_on(provider)
    yield exporter
    tracing.switch_on(None)
    provider.shutdown()


def told(span: ReadableSpan) -> dict[str, Any]:
    return {name.removeprefix("counterfoil."): value for name, value in (span.attributes or {}).items()}


def path_of(span: ReadableSpan, spans: InMemorySpanExporter) -> list[str]:
    """The names from the outermost span to this one."""
    by_id = {one.context.span_id: one for one in spans.get_finished_spans() if one.context is not None}
    names = [span.name]
    while span.parent is not None and span.parent.span_id in by_id:
        span = by_id[span.parent.span_id]
        names.insert(0, span.name)
    return names


def named(spans: InMemorySpanExporter, name: str, **attributes: Any) -> list[ReadableSpan]:
    return [
        span for span in spans.get_finished_spans() if span.name == name and attributes.items() <= told(span).items()
    ]


def test_a_record_is_found_by_its_id_from_the_run_to_the_row(hub_with: HubMaker, spans: InMemorySpanExporter) -> None:
    """Whoever asks why a price changed at noon starts at the record, not at a run."""
    hub = hub_with("")
    report = pull(hub, "all")
    (store,) = named(spans, "store", entity="product")
    assert path_of(store, spans) == ["run", "page", "store"]
    assert told(store)["crm_ids"] == (1, 2)
    (page,) = named(spans, "page", entity="product")
    assert told(page) == {"run": report.run_id, "connection": "erp", "entity": "product", "records": 2}
    (run,) = named(spans, "run")
    assert told(run) == {"run": report.run_id, "job": "all", "connection": "erp", "kind": "pull"}


def test_a_run_that_fails_is_marked_and_tells_no_content(hub_with: HubMaker, spans: InMemorySpanExporter) -> None:
    """Spans leave the machine: an address in an error would go with them."""
    from tests.cli.office import Office

    hub = hub_with("")
    Office.sources[PRODUCT].fails_after_pages = 0
    Office.sources[PRODUCT].failure = ConnectionError("anna@example.com")
    with pytest.raises(ConnectionError):
        pull(hub, "all")
    (run,) = named(spans, "run")
    assert (run.status.status_code.name, run.status.description) == ("ERROR", "ConnectionError")
    assert "anna" not in "".join(span.to_json() for span in spans.get_finished_spans())


def test_an_intent_is_one_span_from_its_claim_to_its_record(trade: PushDesk, spans: InMemorySpanExporter) -> None:
    """Where the time of a slow order goes: mapping, their system, or our database."""
    saved = trade.order(reference="PO-7")
    trade.order(reference="refuse")
    trade.run("push", expect=1)
    first, second = named(spans, "intent")
    assert path_of(first, spans) == ["run", "intent"]
    assert {told(first)["outcome"], told(second)["outcome"]} == {"created", "rejected"}
    (mine,) = named(spans, "intent", crm_id=saved.crm_id)
    below = [one for one in spans.get_finished_spans() if one.parent and one.parent.span_id == mine.context.span_id]
    assert [one.name for one in sorted(below, key=lambda one: one.start_time or 0)] == ["prepare", "send", "record"]
    assert mine.start_time <= below[0].start_time
    assert "PO-7" not in "".join(span.to_json() for span in spans.get_finished_spans())


def test_a_lost_answer_is_followed_through_its_look_up(trade: PushDesk, spans: InMemorySpanExporter) -> None:
    """The write that may have been made twice is the one that somebody will ask about."""
    trade.order(reference="PO-7")
    trade.books.after = once(OutcomeUnknown("no answer"))
    trade.run("push", "--wait", "20")
    lost, found = named(spans, "intent")
    assert (told(lost)["outcome"], told(found)["outcome"]) == ("lost", "adopted")
    assert told(lost)["intent"] == told(found)["intent"]
    assert [path_of(one, spans) for one in named(spans, "look")] == [["run", "intent", "look"]]


def test_switched_off_it_imports_nothing_and_costs_a_call() -> None:
    """Whoever does not trace must not pay for those who do."""
    code = (
        "import sys, timeit; from sync_jobs import tracing, operations, push_operations;"
        "tracing.switch_on_where_asked({});"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')];"
        "print(min(timeit.repeat('with span(\"page\", run=1): pass', globals={'span': tracing.span},"
        " number=10000, repeat=5)) / 10000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert float(done.stdout) < 20e-6, "a page of 500 records takes some ten milliseconds"


def test_it_is_switched_on_by_opentelemetrys_own_variables_only() -> None:
    """A host that traces other programs, or that has it disabled, must not be surprised."""
    here = "http://127.0.0.1:9/"
    tracing.switch_on_where_asked({"OTEL_EXPORTER_OTLP_ENDPOINT": here, "OTEL_SDK_DISABLED": "true"})
    assert not tracing.is_on()
    tracing.switch_on_where_asked({"OTEL_SERVICE_NAME": "other"})
    assert not tracing.is_on()
