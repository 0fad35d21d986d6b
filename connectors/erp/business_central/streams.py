"""The streams: which list each one reads, how it asks, what it adds to a payload."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from connectors.envelopes import Page, SourceRecord
from connectors.erp.business_central import records
from connectors.erp.business_central.client import BusinessCentralClient
from connectors.ports import Replication, Shape, StreamSpec
from connectors.transport.http import Answer
from connectors.transport.json_pages import decode, encode, page_reader
from connectors.transport.odata import NEXT_LINK, literal
from connectors.transport.paging import LoopGuard
from connectors.watermark import Granularity, moment_of, reading_begins, watermark_of
from crm_core.errors import ConnectorError, ProtocolViolation, RecordNotFound
from crm_core.ids import EntityType, ExternalId

log = logging.getLogger("counterfoil.business_central")

MODIFIED = "lastModifiedDateTime"
LOOK_BACK = timedelta(minutes=10)
"""A change is stamped when it is written and seen when its transaction ends, which the service allows 8 to 10 minutes
("Operational limits"); a replica lags a little more."""


@dataclass(frozen=True, slots=True)
class Source:
    """One stream as data.

    is_selected: only the fields of the shape are asked for, because the record has calculated fields beside them, which
    would change the payload of records that did not change. expand: navigations read with each record. condition: a
    `$filter` that always holds. also: `$filter` of a second part of an incremental read, for changes that do not move
    the modification time. first: a record of our own in front of all others. has_*: what is added to each payload.
    """

    entity_set: str
    shape: Shape
    replication: Replication
    is_selected: bool = False
    expand: tuple[str, ...] = ()
    condition: str | None = None
    also: str | None = None
    first: SourceRecord | None = None
    has_currency: bool = False
    has_payment_terms: bool = False
    has_itself: bool = False
    has_warehouse: bool = False
    has_as_of: bool = False
    lists_everything: bool = True
    note: str = ""

    @property
    def spec(self) -> StreamSpec:
        """What the manifest says of it."""
        is_incremental = self.replication is Replication.INCREMENTAL
        return StreamSpec(
            self.replication,
            self.shape,
            look_back=LOOK_BACK if is_incremental else timedelta(0),
            lists_everything=self.lists_everything,
            note=self.note,
        )


COMPANY_TOTAL = SourceRecord(
    ExternalId(records.COMPANY_TOTAL),
    encode(
        {
            "id": records.COMPANY_TOTAL,
            "code": f"({records.COMPANY_TOTAL.upper()})",
            "displayName": "All locations of the company",
        }
    ),
)

SOURCES: Mapping[EntityType, Source] = {
    EntityType.UNIT_GROUP: Source(
        "unitsOfMeasure",
        records.UNIT_OF_MEASURE,
        Replication.INCREMENTAL,
        has_itself=True,
        note="v2.0 tells codes without conversions: each unit is a group of its own; conversions are the integrator's",
    ),
    EntityType.PRODUCT: Source(
        "items",
        records.ITEM,
        Replication.INCREMENTAL,
        is_selected=True,
        has_currency=True,
        note="v2.0 has no price lists: the price of the item card is the list price, in the company's currency",
    ),
    EntityType.WAREHOUSE: Source(
        "locations",
        records.LOCATION,
        Replication.INCREMENTAL,
        first=COMPANY_TOTAL,
        note="and one more, (COMPANY-TOTAL), that stands for all locations together and holds the stock",
    ),
    EntityType.STOCK_LEVEL: Source(
        "items",
        records.ITEM_STOCK,
        Replication.FULL,
        is_selected=True,
        condition="type eq 'Inventory'",
        has_warehouse=True,
        has_as_of=True,
        note="v2.0 tells one number per item for the whole company; a calculated field, so always read in full",
    ),
    EntityType.ACCOUNT: Source(
        "customers",
        records.CUSTOMER,
        Replication.INCREMENTAL,
        is_selected=True,
        has_currency=True,
        has_payment_terms=True,
        has_itself=True,
        note="one address per customer; ship-to addresses and contact persons are not read",
    ),
    EntityType.CREDIT: Source(
        "customers",
        records.CUSTOMER_CREDIT,
        Replication.FULL,
        is_selected=True,
        expand=("customerFinancialDetail", "agedAccountsReceivable"),
        has_currency=True,
        has_as_of=True,
        note="postings do not move a customer's modification time, so always read in full; amounts in company currency",
    ),
    EntityType.ORDER: Source(
        "salesOrders",
        records.SALES_ORDER,
        Replication.INCREMENTAL,
        expand=("salesOrderLines",),
        has_currency=True,
        has_payment_terms=True,
        lists_everything=False,
        note="an order that is invoiced completely leaves the list, so that absence does not mean deletion",
    ),
    EntityType.INVOICE: Source(
        "salesInvoices",
        records.SALES_INVOICE,
        Replication.INCREMENTAL,
        expand=("salesInvoiceLines",),
        also="status eq 'Open'",
        has_currency=True,
        note="what is left to pay is calculated, so each read takes the open invoices too; credit memos are not read",
    ),
}


class ResumeToken(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a read goes on: a link on our host, the parts that follow it, and the watermark to give at the end."""

    link: str
    later: tuple[str, ...] = ()
    watermark: str | None = None


class _Terms(msgspec.Struct):
    payment_terms_id: str | None = msgspec.field(default=None, name="paymentTermsId")


# Inside a JSON text the quotes are escaped, so that this finds members only.
_ETAG = re.compile(rb'"@odata\.etag"\s*:\s*"(?:[^"\\]|\\.)*"\s*,\s*')

_terms = msgspec.json.Decoder(_Terms)


@dataclass(frozen=True, slots=True)
class Additions:
    """What a payload gets more, or less, than the server's record has.

    members: JSON members without braces, put behind the last one. payment_terms: the codes by id, where the record's
    own is to be added. is_without_etag: the payload is of calculated fields, and another version of the item or
    customer they belong to does not change them.
    """

    members: bytes = b""
    payment_terms: Mapping[str, str] | None = None
    is_without_etag: bool = False

    def to(self, found: Iterable[SourceRecord]) -> list[SourceRecord]:
        """The records with their additions, spliced in without parsing them."""
        if not self.members:
            return list(found)
        tail = b"," + self.members + b"}"
        return [SourceRecord(one.external_id, self._before(one) + tail, one.version) for one in found]

    def _before(self, record: SourceRecord) -> bytes:
        payload = bytes(record.payload)[:-1]
        if self.is_without_etag:
            payload = _ETAG.sub(b"", payload)
        if self.payment_terms is None:
            return payload
        try:
            key = _terms.decode(record.payload).payment_terms_id
        except msgspec.ValidationError:
            key = None
        code = self.payment_terms.get(key or "")
        return payload if code is None else payload + b"," + _member(records.PAYMENT_TERMS, code)


class ODataStream:
    """One stream of a company."""

    def __init__(self, client: BusinessCentralClient, source: Source, extra_paths: Iterable[str] = ()) -> None:
        self._client, self._source = client, source
        self._reader = page_reader("value", "id", "@odata.etag", next_key=NEXT_LINK)
        self._operation = f"GET {source.entity_set}"
        self._shape_options: dict[str, str] = {}
        if source.is_selected:
            self._shape_options["$select"] = records.selectable(source.shape, extra_paths)
        if source.expand:
            self._shape_options["$expand"] = ",".join(_expanded(name, source.shape[name]) for name in source.expand)

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        """See `SourceStream.pages`. The watermark comes with the last page: the newest change when the read began."""
        source, client = self._source, self._client
        token = self._beginning(since) if resume is None else _token_of(resume, self._operation)
        ahead = [source.first] if resume is None and source.first is not None else []
        guard = LoopGuard(self._operation)
        while True:
            guard.see_link(token.link)
            answer = client.read_page(token.link, operation=self._operation)
            cut = self._reader(answer.body, operation=self._operation)
            guard.see_records(cut.records)
            for note in cut.notes:
                log.warning("%s: %s", self._operation, note)
            following: ResumeToken | None = None
            if cut.next_link is not None:
                following = msgspec.structs.replace(token, link=client.link_of(cut.next_link, answer))
            elif token.later:
                following = msgspec.structs.replace(token, link=token.later[0], later=token.later[1:])
                # The next part may well hold the same records again.
                guard = LoopGuard(self._operation)
            yield Page(
                records=[*ahead, *self._additions(answer).to(cut.records)],
                watermark=token.watermark if following is None else None,
                resume=None if following is None else msgspec.json.encode(following).decode(),
                unreadable=cut.unreadable,
            )
            if following is None:
                return
            token, ahead = following, []

    def get(self, external_id: ExternalId) -> SourceRecord:
        """See `SourceStream.get`."""
        first = self._source.first
        if first is not None and external_id == first.external_id:
            return first
        answer = self._client.read_one(self._path_of(external_id), operation=self._operation)
        return self._record_of(answer.body, self._additions(answer))

    def get_many(self, external_ids: Sequence[ExternalId]) -> list[SourceRecord | ConnectorError]:
        """Several records by way of `$batch`, in the order asked for; one that is refused is an error in its place."""
        bodies = self._client.read_many([self._path_of(one) for one in external_ids], operation=self._operation)
        additions = self._additions(None)
        return [body if isinstance(body, ConnectorError) else self._record_of(body, additions) for body in bodies]

    def _beginning(self, since: str | None) -> ResumeToken:
        source = self._source
        if source.replication is Replication.FULL:
            return ResumeToken(self._list_link(source.condition))
        newest = self._newest(since)
        if since is None:
            return ResumeToken(self._list_link(source.condition), watermark=newest)
        begin = reading_begins(since, LOOK_BACK, Granularity.MICROSECOND)
        changed = f"{MODIFIED} ge {literal(_floor_to_milliseconds(begin))}"
        later = () if source.also is None else (self._list_link(source.also),)
        return ResumeToken(self._list_link(changed, order_by=MODIFIED), later, newest)

    def _list_link(self, condition: str | None, *, order_by: str | None = None) -> str:
        options = dict(self._shape_options)
        if condition is not None:
            options["$filter"] = condition
        if order_by is not None:
            options["$orderby"] = order_by
        return self._client.path(self._source.entity_set, options=options)

    def _newest(self, since: str | None) -> str | None:
        """The newest modification time now, or the watermark that we have when that is later (or nothing is there)."""
        operation = f"{self._operation} (newest)"
        options = {"$select": f"id,{MODIFIED}", "$orderby": f"{MODIFIED} desc", "$top": "1"}
        answer = self._client.read_page(
            self._client.path(self._source.entity_set, options=options), operation=operation
        )
        said = decode(answer.body, operation=operation)
        rows = said.get("value") if isinstance(said, dict) else None
        if not isinstance(rows, list):
            raise ProtocolViolation("no list of records under 'value'", operation=operation)
        if not rows:
            return since
        try:
            newest = watermark_of(moment_of(rows[0][MODIFIED]))
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolViolation(f"{MODIFIED} of the newest record cannot be read", operation=operation) from error
        return newest if since is None else max(since, newest)

    def _path_of(self, external_id: str) -> str:
        try:
            key = str(UUID(external_id))
        except ValueError:
            raise RecordNotFound(f"{external_id!r} is no id of Business Central", operation=self._operation) from None
        return self._client.path(self._source.entity_set, key, self._shape_options)

    def _record_of(self, body: bytes, additions: Additions) -> SourceRecord:
        """A single record in the very bytes that it has in a list: without the context that OData puts in front."""
        try:
            members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        except (ValueError, RecursionError):
            decode(body, operation=self._operation)  # raises what is wrong with it
            raise ProtocolViolation("the answer is no JSON object", operation=self._operation) from None
        kept = [encode(name) + b":" + bytes(raw) for name, raw in members.items() if name != "@odata.context"]
        cut = self._reader(b'{"value":[{' + b",".join(kept) + b"}]}", operation=self._operation)
        if not cut.records:
            raise ProtocolViolation(
                f"the record is not as expected: {cut.unreadable[0].reason}", operation=self._operation
            )
        return additions.to(cut.records)[0]

    def _additions(self, answer: Answer | None) -> Additions:
        source, members = self._source, []
        if source.has_currency:
            members.append(_member(records.COMPANY_CURRENCY, self._client.company.currency))
        if source.has_itself:
            members.append(encode(records.ITSELF) + b":[{}]")
        if source.has_warehouse:
            members.append(_member(records.WAREHOUSE, records.COMPANY_TOTAL))
        if source.has_as_of:
            # The last one: the moment alone must not make a record look changed.
            members.append(_member(records.AS_OF, literal(self._client.moment_of(answer))))
        terms = self._client.payment_terms if source.has_payment_terms else None
        return Additions(b",".join(members), terms, is_without_etag=source.has_as_of)


def source_of(entity: EntityType, *, are_credit_periods_read: bool) -> Source:
    """The source of an entity. Raises KeyError for one that has none."""
    source = SOURCES[entity]
    if entity is EntityType.CREDIT and not are_credit_periods_read:
        return replace(source, expand=source.expand[:1])
    return source


def _expanded(navigation: str, shape: object) -> str:
    """A navigation of `$expand`: one record with the fields of its shape, a list of records whole."""
    return f"{navigation}($select={records.selectable(shape)})" if isinstance(shape, Mapping) else navigation


def _member(name: str, value: str) -> bytes:
    return encode(name) + b":" + encode(value)


def _floor_to_milliseconds(moment: datetime) -> datetime:
    """Modification times have three decimals there; the start of the millisecond loses nothing."""
    return moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000)


def _token_of(resume: str, operation: str) -> ResumeToken:
    try:
        return msgspec.json.decode(resume, type=ResumeToken)
    except ValueError as error:
        raise ProtocolViolation(f"the resume token cannot be read: {error}", operation=operation) from error
