"""OpenTelemetry traces, where somebody wants them: spans that follow a record from page to row, an intent from its
claim to its record. docs/watching.md names them.

Switched off, which it is unless `switch_on` was called, a span costs a function call and nothing is imported.
Attributes are ids, names and counts; no content of a record, and of a failure its kind only: spans leave the machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from crm_core.store.outbox import Intent

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer, TracerProvider

_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NAME = "counterfoil"
_MOST_IDS = 1000

_tracer: Tracer | None = None


def is_on() -> bool:
    """Whether it is worth putting attributes together."""
    return _tracer is not None


def switch_on(provider: TracerProvider | None) -> None:
    """Make spans with this provider from now on; None: make none."""
    global _tracer
    _tracer = None if provider is None else provider.get_tracer(_NAME)


def switch_on_where_asked(environment: Mapping[str, str] = os.environ) -> None:
    """Send spans by OTLP where OpenTelemetry's own variables say where to, and `counterfoil[otel]` is installed."""
    if _tracer is not None or not any(environment.get(name) for name in _VARIABLES):
        return
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:  # the variables are often set for a whole host
        return
    there = trace.get_tracer_provider()
    if isinstance(there, TracerProvider):  # `opentelemetry-instrument counterfoil ...` made one
        switch_on(there)
        return
    name = environment.get("OTEL_SERVICE_NAME", _NAME)
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))  # flushed when the process ends
    trace.set_tracer_provider(provider)
    switch_on(provider)


def span(name: str, **attributes: Any) -> AbstractContextManager[Span | None]:
    """What is done within is a span, below the one that is under way in this thread. None: nobody traces."""
    if _tracer is None:
        return nullcontext()
    return _spanning(_tracer, name, attributes)


@contextmanager
def _spanning(tracer: Tracer, name: str, attributes: Mapping[str, Any]) -> Iterator[Span]:
    from opentelemetry.trace import StatusCode

    with tracer.start_as_current_span(
        name, attributes=_named(attributes), record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield made
        except BaseException as error:
            made.set_status(StatusCode.ERROR, type(error).__name__)
            raise


def describe(made: Span | None, **attributes: Any) -> None:
    """Say more of a span."""
    if made is not None:
        made.set_attributes(_named(attributes))


def some(ids: Iterable[Any]) -> list[Any]:
    """At most so many ids that a span may carry them."""
    return [one for one, _ in zip((one for one in ids if one is not None), range(_MOST_IDS), strict=False)]


def _named(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{_NAME}.{name}": value for name, value in attributes.items() if value is not None}


# -- intents ----------------------------------------------------------------------------------------------------------


class IntentTraces(Protocol):
    """The spans of the intents of one push: one for each, from its claim to its record, with its steps below it."""

    def begun(self, intents: Iterable[Intent]) -> None: ...
    def step(self, name: str, intents: Sequence[Intent]) -> AbstractContextManager[None]: ...
    def ended(self, intent: Intent, how: str) -> None: ...
    def close(self) -> None: ...


def intent_traces() -> IntentTraces:
    """For one push."""
    return _NoTraces() if _tracer is None else _Traces(_tracer)


class _NoTraces:
    def begun(self, intents: Iterable[Intent]) -> None: ...

    def step(self, name: str, intents: Sequence[Intent]) -> AbstractContextManager[None]:
        return nullcontext()

    def ended(self, intent: Intent, how: str) -> None: ...

    def close(self) -> None: ...


class _Traces:
    """`step` may be called by any thread; the others belong to the one that has the store."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._spans: dict[int, Span] = {}

    def begun(self, intents: Iterable[Intent]) -> None:
        for intent in intents:
            if intent.id not in self._spans:
                told = {
                    "intent": intent.id,
                    "connection": intent.connection,
                    "entity": intent.entity.value,
                    "crm_id": intent.crm_id,
                    "action": intent.action,
                    "attempts": intent.attempts,
                }
                self._spans[intent.id] = self._tracer.start_span("intent", attributes=_named(told))

    @contextmanager
    def step(self, name: str, intents: Sequence[Intent]) -> Iterator[None]:
        from opentelemetry import trace

        spans = [
            self._tracer.start_span(
                name,
                trace.set_span_in_context(self._spans[intent.id]),
                attributes=_named({"intent": intent.id, "crm_id": intent.crm_id, "writes": len(intents)}),
            )
            for intent in intents
            if intent.id in self._spans
        ]
        # the calls of an instrumented HTTP library stand below the first of a batch
        under_way = trace.use_span(spans[0], record_exception=False) if spans else nullcontext()
        try:
            with under_way:
                yield
        finally:
            for made in spans:
                made.end()

    def ended(self, intent: Intent, how: str) -> None:
        from opentelemetry.trace import StatusCode

        made = self._spans.pop(intent.id, None)
        if made is not None:
            made.set_attributes(_named({"outcome": how}))
            if how in ("rejected", "lost"):
                made.set_status(StatusCode.ERROR, how)
            made.end()

    def close(self) -> None:
        while self._spans:
            _, made = self._spans.popitem()
            made.end()
