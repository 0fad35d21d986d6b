"""Streams whose records are the values of one property of a list: plants, base units."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.envelopes import Page, SourceRecord
from connectors.erp.sap_s4hana.client import SapClient, both
from connectors.ports import Replication, StreamSpec
from connectors.shapes import Shape
from connectors.transport.json_pages import encode
from connectors.transport.odata_v2 import literal
from crm_core.errors import ProtocolViolation, RecordNotFound
from crm_core.ids import ExternalId


@dataclass(frozen=True, slots=True)
class DistinctSource:
    """A stream whose records are the distinct values of one property of a list: plants, base units."""

    service: str
    entity_set: str
    name: str
    shape: Shape
    payload: Callable[[str], Mapping[str, Any]]
    condition: Callable[[SapClient], str | None] = lambda client: None
    given: Callable[[SapClient], Sequence[str]] = lambda client: ()
    note: str = ""

    @property
    def spec(self) -> StreamSpec:
        """What the manifest says of it."""
        return StreamSpec(Replication.FULL, self.shape, note=self.note)


class DistinctStream:
    """Asks for the first value, then for the first one behind it: as many questions as there are values, not rows."""

    def __init__(self, client: SapClient, source: DistinctSource) -> None:
        self._client, self._source = client, source
        self._operation = f"GET {source.entity_set} ({source.name})"

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        """See `SourceStream.pages`: one page, always all of them."""
        values = list(self._source.given(self._client)) or self._values()
        yield Page(records=[self._record(value) for value in values])

    def get(self, external_id: ExternalId) -> SourceRecord:
        """See `SourceStream.get`."""
        given = self._source.given(self._client)
        if external_id in given or (
            not given and external_id and self._first(f"eq {literal(external_id)}") is not None
        ):
            return self._record(external_id)
        raise RecordNotFound(f"there is no {external_id[:80]!r}", operation=self._operation)

    def _values(self) -> list[str]:
        found: list[str] = []
        value = self._first("ne ''")
        while value is not None:
            if value in found:
                raise ProtocolViolation("the values do not come in their order", operation=self._operation)
            found.append(value)
            value = self._first(f"gt {literal(value)}")
        return found

    def _first(self, wanted: str) -> str | None:
        source = self._source
        options: dict[str, str | int] = {
            "$select": source.name,
            "$orderby": source.name,
            "$top": 1,
            "$filter": both(source.condition(self._client), f"{source.name} {wanted}"),
        }
        rows = self._client.list_page(source.service, source.entity_set, options, operation=self._operation).found.rows
        value = rows[0].get(source.name) if rows else None
        return value if isinstance(value, str) and value else None

    def _record(self, value: str) -> SourceRecord:
        return SourceRecord(ExternalId(value), encode(self._source.payload(value)))
