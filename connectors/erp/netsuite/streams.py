"""The streams: which search each one asks, what else it asks for changes that move no stamp, what became deleted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from connectors.envelopes import Page, SourceRecord, UnreadableRecord
from connectors.erp.netsuite import payloads, records
from connectors.erp.netsuite.answers import Row
from connectors.erp.netsuite.client import NetSuiteClient, SearchPage
from connectors.erp.netsuite.lookups import Lookups
from connectors.erp.netsuite.windows import Position, stretches
from connectors.ports import Replication, StreamSpec
from connectors.shapes import Shape
from connectors.transport.json_pages import encode
from connectors.watermark import Granularity, moment_of, reading_begins, watermark_of
from crm_core.errors import PermissionDenied, ProtocolViolation, RecordNotFound
from crm_core.ids import EntityType, ExternalId
from crm_core.typed_json import decode_as

log = logging.getLogger("counterfoil.netsuite")

LOOK_BACK = timedelta(minutes=10)
"""A change is stamped, to the second, when it is made and seen when its transaction ends: a script may take minutes."""

MODIFIED = "lastModifiedDate"

GOODS = ("InventoryItem", "LotNumberedInventoryItem", "SerializedInventoryItem")
ASSEMBLIES = ("AssemblyItem", "LotNumberedAssemblyItem", "SerializedAssemblyItem")
STOCKED = (*GOODS, *ASSEMBLIES)
SOLD = (
    *STOCKED,
    *("KitItem", "NonInventorySaleItem", "NonInventoryResaleItem", "ServiceSaleItem", "ServiceResaleItem"),
)
BOUGHT_ONLY = ("NonInventoryPurchaseItem", "ServicePurchaseItem")
"""They come with the same search, and are nothing that we sell."""

Make = Callable[[Row, payloads.Context], list[tuple[str, payloads.Payload]]]


def any_of(*values: str) -> dict[str, Any]:
    """A condition on a field with a choice of values."""
    return {"operator": "anyOf", "searchValue": list(values)}


@dataclass(frozen=True, slots=True)
class Part:
    """One search of an incremental read.

    is_dated: what changed since the read's begin. join: the transactions behind whose change counts, instead of the
    record's own. conditions: further ones.
    """

    is_dated: bool = True
    join: str | None = None
    conditions: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One stream as data.

    search: type of the search. conditions: that always hold. types: of records that are read; ignored: that come with
    them and are dropped. parts: of an incremental read. deleted: kinds whose deletions are asked for. make: payloads of
    a record. is_body_only: without sublists. is_pushed: records that we pushed carry our reference. has_own_ids: the
    external id is the internal id; False where several records are made of one.
    """

    search: str
    shape: Shape
    types: tuple[str, ...]
    make: Make
    replication: Replication = Replication.FULL
    conditions: Mapping[str, Any] | None = None
    ignored: tuple[str, ...] = ()
    parts: tuple[Part, ...] = (Part(),)
    deleted: tuple[str, ...] = ()
    is_body_only: bool = False
    is_pushed: bool = False
    has_own_ids: bool = True
    note: str = ""

    @property
    def spec(self) -> StreamSpec:
        """What the manifest says of it."""
        is_incremental = self.replication is Replication.INCREMENTAL
        return StreamSpec(
            self.replication,
            self.shape,
            look_back=LOOK_BACK if is_incremental else timedelta(0),
            note=self.note,
            client_reference="externalId" if self.is_pushed else None,
        )


_ITEM_TYPES = {"type": any_of("_assembly", "_inventoryItem", "_kit", "_nonInventoryItem", "_service")}
_STOCKED_TYPES = {"type": any_of("_assembly", "_inventoryItem")}
_MAIN_LINE = {"mainLine": {"searchValue": True}}
"""Each transaction once: without it a search may tell one for each of its lines."""


def _transactions(*types: str) -> dict[str, Any]:
    return {"type": any_of(*types)}


SOURCES: Mapping[EntityType, Source] = {
    EntityType.UNIT_GROUP: Source(
        "common:UnitsTypeSearchBasic",
        records.UNITS_TYPE,
        ("UnitsType",),
        payloads.units_type,
        note="units types carry no stamp: a short list that is always read in full",
    ),
    EntityType.PRODUCT: Source(
        "common:ItemSearchBasic",
        records.ITEM,
        SOLD,
        payloads.item,
        Replication.INCREMENTAL,
        conditions=_ITEM_TYPES,
        ignored=BOUGHT_ONLY,
        deleted=tuple(name[0].lower() + name[1:] for name in SOLD),
        note="what is sold: inventory, assembly, kit, non-inventory and service items; matrix parents are not",
    ),
    EntityType.PRICE_LIST: Source(
        "common:PriceLevelSearchBasic",
        records.PRICE_LIST_HEAD,
        ("PriceLevel",),
        payloads.price_lists,
        has_own_ids=False,
        note="one list for each price level and currency; levels carry no stamp: always read in full",
    ),
    EntityType.PRICE: Source(
        "common:ItemSearchBasic",
        records.PRICE,
        SOLD,
        payloads.prices,
        has_own_ids=False,
        conditions=_ITEM_TYPES,
        ignored=BOUGHT_ONLY,
        note="the pricing matrix of the items; read in full, because an item does not say which of its prices went",
    ),
    EntityType.WAREHOUSE: Source(
        "common:LocationSearchBasic",
        records.LOCATION,
        ("Location",),
        payloads.location,
        note="locations carry no stamp: a short list that is always read in full",
    ),
    EntityType.STOCK_LEVEL: Source(
        "common:ItemSearchBasic",
        records.STOCK_LEVEL,
        STOCKED,
        payloads.stock_levels,
        has_own_ids=False,
        conditions=_STOCKED_TYPES,
        note="worked out by NetSuite; its stamp of a change tells of the available quantity only, so read in full",
    ),
    EntityType.ACCOUNT: Source(
        "common:CustomerSearchBasic",
        records.CUSTOMER,
        ("Customer",),
        payloads.customer,
        Replication.INCREMENTAL,
        deleted=("customer",),
        is_pushed=True,
        note="customers, prospects and leads",
    ),
    EntityType.CREDIT: Source(
        "common:CustomerSearchBasic",
        records.CREDIT,
        ("Customer",),
        payloads.credit,
        is_body_only=True,
        note="balances move no stamp, and overdue comes with time alone: always read in full",
    ),
    EntityType.ORDER: Source(
        "common:TransactionSearchBasic",
        records.SALES_ORDER,
        ("SalesOrder",),
        payloads.document,
        Replication.INCREMENTAL,
        conditions=_transactions("_salesOrder"),
        parts=(Part(), Part(join="fulfillingTransactionJoin"), Part(join="billingTransactionJoin")),
        deleted=("salesOrder",),
        is_pushed=True,
        note="also those that were shipped or billed since, whatever their stamp says; estimates are not read",
    ),
    EntityType.INVOICE: Source(
        "common:TransactionSearchBasic",
        records.INVOICE,
        ("Invoice", "CreditMemo"),
        payloads.document,
        Replication.INCREMENTAL,
        conditions=_transactions("_invoice", "_creditMemo"),
        parts=(
            Part(),
            Part(is_dated=False, conditions={"status": any_of("_invoiceOpen", "_creditMemoOpen")}),
            Part(join="applyingTransactionJoin"),
        ),
        deleted=("invoice", "creditMemo"),
        note="and credit memos; each read takes the open ones, and those that something was applied to since",
    ),
    EntityType.PAYMENT: Source(
        "common:TransactionSearchBasic",
        records.PAYMENT,
        ("CustomerPayment",),
        payloads.payment,
        Replication.INCREMENTAL,
        conditions=_transactions("_customerPayment"),
        deleted=("customerPayment",),
    ),
}


class ResumeToken(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a read goes on: a part, a position in it; since when it reads (None = all), its watermark."""

    part: int
    low: int
    width: int
    left: int | None = None
    begin: str | None = None
    watermark: str | None = None


class NetSuiteStream:
    """One stream of an account."""

    def __init__(
        self, client: NetSuiteClient, lookups: Lookups, source: Source, extra: Mapping[str, str] | None = None
    ) -> None:
        self._client, self._lookups, self._source = client, lookups, source
        self._shape = records.with_extra_fields(source.shape, extra or {})
        self._zone = ZoneInfo(client.config.time_zone)
        self._size = client.config.page_size
        self._asked_at = ""
        self.replication = source.replication

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        """See `SourceStream.pages`. The watermark comes with the last page: NetSuite's clock when the read began."""
        if resume is None:
            token, deleted = self._beginning(since)
        else:
            token, deleted = _token_of(resume), ()
        begin = None if token.begin is None else moment_of(token.begin)
        parts = (None,) if begin is None else self._source.parts
        while True:
            if token.part >= len(parts):
                raise ProtocolViolation("the resume token names a part that there is not", operation="search")
            position = Position(token.low, token.width, token.left)
            for stretch in stretches(self._asking(parts[token.part], begin), position, self._size):
                following = stretch.following
                if following is not None:
                    token = msgspec.structs.replace(
                        token, low=following.low, width=following.width, left=following.left
                    )
                    upcoming: ResumeToken | None = token
                elif token.part + 1 < len(parts):
                    upcoming = msgspec.structs.replace(
                        token, part=token.part + 1, low=_START.low, width=_START.width, left=_START.left
                    )
                else:
                    upcoming = None
                yield self._page(stretch.page, upcoming, token.watermark, deleted)
                deleted = ()
            if upcoming is None:
                return
            token = upcoming

    def get(self, external_id: ExternalId) -> SourceRecord:
        """See `SourceStream.get`."""
        key = external_id.partition(":")[0]
        if not (key.isascii() and key.isdecimal() and len(key) <= 12):
            raise RecordNotFound(f"{external_id[:60]!r} is no id of NetSuite", operation="search")
        ask = self._asking(None, None)
        page = self._page(ask({"operator": "equalTo", "searchValue": int(key)}), None, None, ())
        for record in page.records:
            if record.external_id == external_id:
                return record
        for broken in page.unreadable:
            raise ProtocolViolation(f"the record is not as expected: {broken.reason}", operation="search")
        raise RecordNotFound(f"there is no record {external_id[:60]!r}", operation="search")

    def _beginning(self, since: str | None) -> tuple[ResumeToken, tuple[ExternalId, ...]]:
        """Where a new read begins, and what was deleted since the last one."""
        if self._source.replication is Replication.FULL:
            return ResumeToken(0, _START.low, _START.width), ()
        now = self._client.server_time()
        watermark = watermark_of(now) if since is None else max(since, watermark_of(now))
        if since is None:
            return ResumeToken(0, _START.low, _START.width, watermark=watermark), ()
        begin = reading_begins(since, LOOK_BACK, Granularity.SECOND)
        token = ResumeToken(0, _START.low, _START.width, begin=watermark_of(begin), watermark=watermark)
        return token, self._deleted(begin, now)

    def _deleted(self, begin: datetime, end: datetime) -> tuple[ExternalId, ...]:
        if not self._source.deleted or not self._client.config.are_deletions_read or begin > end:
            return ()
        try:
            found = [one for page in self._client.deleted(self._source.deleted, begin, end) for one in page]
        except PermissionDenied as error:
            raise PermissionDenied(
                f"{error.message} (give the role the permission Deleted Records, or set are_deletions_read = false)",
                vendor_code=error.vendor_code,
                request_id=error.request_id,
                operation=error.operation,
            ) from None
        return tuple(ExternalId(one.internal_id) for one in found if one.kind in self._source.deleted)

    def _asking(self, part: Part | None, begin: datetime | None) -> Callable[[Mapping[str, Any]], SearchPage]:
        """The search of a part (None = of everything), for a condition on ids."""
        source, client = self._source, self._client
        conditions: dict[str, Any] = dict(source.conditions or {})
        since = None if begin is None else {"operator": "onOrAfter", "searchValue": begin.astimezone(UTC)}
        if part is not None:
            conditions |= part.conditions or {}
            if part.is_dated and part.join is None:
                conditions[MODIFIED] = since
        if source.search == "common:TransactionSearchBasic" and (part is None or part.join is None):
            conditions |= _MAIN_LINE

        def ask(ids: Mapping[str, Any]) -> SearchPage:
            basic = client.make(source.search, **conditions, internalIdNumber=ids or None)
            criteria = basic
            if part is not None and part.join is not None:
                behind = client.make(source.search, **{MODIFIED: since})
                criteria = client.make("sales:TransactionSearch", basic=basic, **{part.join: behind})
            self._asked_at = watermark_of(client.moment())
            return client.search(criteria, page_size=self._size, is_body_only=source.is_body_only)

        return ask

    def _page(
        self,
        found: SearchPage,
        following: ResumeToken | None,
        watermark: str | None,
        deleted: Iterable[ExternalId],
    ) -> Page:
        made: dict[str, SourceRecord] = {}
        unreadable = [self._set_aside(one.payload, one.reason, one.external_id) for one in found.unreadable]
        context = payloads.Context(self._lookups, self._shape, self._zone, self._asked_at)
        for row in found.rows:
            if not self._is_wanted(row):
                continue
            try:
                for key, payload in self._source.make(row, context):
                    made[key] = SourceRecord(ExternalId(key), encode(payload), version_of(row))
            except ValueError as error:
                key = ExternalId(str(row.get("internalId")))
                unreadable.append(self._set_aside(encode(_without_nulls(row)), str(error), key))
        return Page(
            records=list(made.values()),
            deleted=tuple(deleted),
            watermark=watermark if following is None else None,
            resume=None if following is None else msgspec.json.encode(following).decode(),
            unreadable=unreadable,
        )

    def _set_aside(self, payload: bytes, reason: str, key: ExternalId | None) -> UnreadableRecord:
        """A record that cannot be read. Where several are made of one, nobody can say which are missing now."""
        return UnreadableRecord(payload, reason, key if self._source.has_own_ids else None)

    def _is_wanted(self, row: Row) -> bool:
        kind = row.get(records.TYPE)
        if kind in self._source.ignored or row.get("matrixType") == "_parent":
            return False
        if kind not in self._source.types:
            raise ProtocolViolation(f"a record of the type {kind} was not asked for", operation="search")
        return True


_START = Position()


def version_of(row: Row) -> str | None:
    """The stamp of a record as its version; None for what has none."""
    stamp = row.get(MODIFIED)
    return watermark_of(stamp) if isinstance(stamp, datetime) and stamp.tzinfo is not None else None


def _without_nulls(value: Any) -> Any:
    """What a record holds, for a person who looks at one that could not be read."""
    if isinstance(value, Mapping):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner not in (None, [])}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def _token_of(resume: str) -> ResumeToken:
    try:
        token = decode_as(resume, ResumeToken)
        if token.begin is not None:
            moment_of(token.begin)
        if token.part < 0 or token.width < 0:
            raise ValueError("a number below zero")
    except ValueError as error:
        raise ProtocolViolation(f"the resume token cannot be read: {error}", operation="search") from error
    return token
