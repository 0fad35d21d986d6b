"""Condition records as price lists and prices.

S/4HANA has no price list document: a price is a condition record, found by an access sequence of keys. Each combination
of condition type, what the key says of the customer (nothing, a price list type, a price group, the customer) and
currency is one list of ours. A condition whose key says more (plant, batch, country ...) does not hold for everybody of
such a list; it is left out, since a list that shows it would promise a price that S/4 does not give.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from connectors.envelopes import SourceRecord
from connectors.erp.sap_s4hana import records
from connectors.erp.sap_s4hana.client import CONDITIONS, SapClient, both, one_of
from connectors.erp.sap_s4hana.streams import Built, KeysetStream, Reading, Row, Source, built_of
from connectors.ports import Replication
from connectors.transport.json_pages import encode
from connectors.transport.odata_v2 import asked, literal
from crm_core.errors import ProtocolViolation, RecordNotFound
from crm_core.ids import ExternalId
from crm_core.money import exact, find_decimal

log = logging.getLogger("counterfoil.sap_s4hana")

ALL = "all"
"""The kind of the list that holds for every customer of the sales area."""

_OF_CUSTOMER = ("Customer", "SoldToParty")
_KINDS = (
    ("PriceListType", ("PriceListType",)),
    ("CustomerPriceGroup", ("CustomerPriceGroup",)),
    ("Customer", _OF_CUSTOMER),
)
_UNDERSTOOD = frozenset(
    {
        *("ConditionRecord", "ConditionValidityEndDate", "ConditionValidityStartDate", "ConditionApplication"),
        *("ConditionType", "ConditionReleaseStatus", "ETag", "SalesOrganization", "DistributionChannel", "Division"),
        *("Material", "PriceListType", "CustomerPriceGroup", "TransactionCurrency", "OrderQuantityUnit"),
        *_OF_CUSTOMER,
    }
)
_CURRENCY = re.compile(r"[A-Z]{3}")

LIKELY_GONE = 9
"""So many lines behind a record's last one are told as gone when it changed: a scale that got shorter. (A scale that
lost more lines at once is put right by the next full read.)"""


@dataclass(frozen=True, slots=True)
class Key:
    """What a condition's key says of the customer: a kind of list and its value."""

    kind: str
    value: str

    def list_id(self, condition_type: str, currency: str) -> str:
        """The external id of the price list that it makes, `PPR0/PriceListType/01/EUR`."""
        return "/".join(part for part in (condition_type, self.kind, self.value, currency) if part)


def key_of(validity: Mapping[str, Any]) -> Key | None:
    """None for a key that says two things of the customer: such conditions make no list."""
    found = [
        Key(kind, str(validity[name]))
        for kind, names in _KINDS
        for name in names
        if validity.get(name) not in (None, "")
    ]
    if len(found) > 1:
        return None
    return found[0] if found else Key(ALL, "")


def _is_understood(client: SapClient, condition: Mapping[str, Any]) -> bool:
    """Whether the condition's table has no key field that a price list of ours does not know.

    The key of a table is part of its definition, so that one row of it shows which fields it has: asked for once per
    table and connection.
    """
    table = str(condition.get("ConditionTable") or "")
    fields = client.other_key_fields.get(table)
    if fields is None:
        operation = "GET A_SlsPrcgCndnRecdValidity (key)"
        wanted = f"ConditionRecord eq {literal(str(condition.get('ConditionRecord') or ''))}"
        listed = client.list_page(
            CONDITIONS, "A_SlsPrcgCndnRecdValidity", {"$filter": wanted, "$top": 1}, operation=operation
        )
        names = {name for row in listed.found.rows for name, value in row.items() if _says_more(name, value)}
        fields = client.other_key_fields[table] = tuple(sorted(names))
        if fields:
            log.warning("conditions of table %s are left out: their key has %s", table, ", ".join(fields))
    return not fields


def _says_more(name: str, value: Any) -> bool:
    if name in _UNDERSTOOD or name.startswith(("BPFor", "to_", "__")):
        return False
    return isinstance(value, str) and value.strip("0") != ""


def _condition_types(client: SapClient) -> str:
    return one_of("ConditionType", map(literal, client.config.condition_types))


@dataclass(frozen=True, slots=True)
class _Validity:
    """One validity of a condition that is ours to tell: its place among all of the record's, its key, its days."""

    place: int
    key: Key
    row: Mapping[str, Any]


def _validities(client: SapClient, condition: Row) -> list[_Validity]:
    """Those of the configured sales area whose key makes a list; none for a condition that is not in force at all."""
    config = client.config
    if condition.get("ConditionIsDeleted") or condition.get("ConditionReleaseStatus"):
        return []
    listed = condition.get("to_SlsPrcgCndnRecdValidity") or ()
    # By their end, so that their places do not depend on the order in which they were told.
    in_order = sorted(listed, key=lambda row: (str(row.get("ConditionValidityEndDate")), str(row.get("Material"))))
    found = []
    for place, row in enumerate(in_order, start=1):
        here = all(
            row.get(name) in (None, "", wanted)
            for name, wanted in (
                ("SalesOrganization", config.sales_organization),
                ("DistributionChannel", config.distribution_channel),
                ("Division", config.division),
            )
        )
        key = key_of(row)
        if not here or not row.get("Material") or key is None:
            continue
        if key.kind == "Customer" and not config.are_customer_prices_read:
            continue
        found.append(_Validity(place, key, row))
    return found if found and _is_understood(client, condition) else []


def _currency_of(rate: Mapping[str, Any]) -> str:
    return str(rate.get("ConditionCurrency") or rate.get("ConditionRateValueUnit") or "")


def _rate_of(rate: Mapping[str, Any]) -> Any:
    """ConditionRateAmount has nine decimals and is empty in older releases; ConditionRateValue is always there."""
    return rate.get("ConditionRateAmount") or rate.get("ConditionRateValue")


def _amount(rate: Any, quantity: Any) -> Decimal | None:
    """Price of one unit, exact; None when it has no end."""
    if not isinstance(rate, Decimal) or not isinstance(quantity, Decimal) or quantity <= 0:
        return None
    return find_decimal(exact(rate) / exact(quantity))


def _price_lines(condition: Row) -> Iterator[tuple[int, Row]]:
    """The lines of a condition: (number from 0, what is ours of a price). Without a scale there is one, from 0 on."""
    listed = condition.get("to_SlsPrcgCndnRecordScale") or ()
    scale = sorted(listed, key=lambda line: str(line.get("ConditionScaleLine") or "").rjust(4, "0"))
    unit = condition.get("ConditionQuantityUnit") or ""
    quantity = condition.get("ConditionQuantity") or Decimal(1)
    if not scale:
        yield (
            0,
            {
                "@amount": _amount(_rate_of(condition), quantity),
                "@minimum_quantity": 0,
                "@minimum_unit": unit,
                "@scale": "none",
            },
        )
    for number, line in enumerate(scale):
        yield (
            number,
            {
                "@amount": _amount(_rate_of(line), quantity),
                "@minimum_quantity": line.get("ConditionScaleQuantity"),
                "@minimum_unit": line.get("ConditionScaleQuantityUnit") or unit,
                "@scale": f"{condition.get('PricingScaleType') or ''}/{condition.get('PricingScaleBasis') or ''}",
            },
        )


def _prices(reading: Reading, rows: Sequence[Row], versions: Sequence[str | None]) -> Built:
    made: list[tuple[object, Row, str | None]] = []
    gone: list[ExternalId] = []
    for condition, version in zip(rows, versions, strict=True):
        head = {name: condition.get(name) for name, word in records.CONDITION.items() if isinstance(word, str)}
        currency = _currency_of(condition)
        record = condition.get("ConditionRecord")
        told = set()
        for validity in _validities(reading.client, condition):
            for number, line in _price_lines(condition):
                told.add(f"{record}/{validity.place}/{number}")
                payload = {
                    **head,
                    "ConditionCurrency": currency,
                    "@price_list": validity.key.list_id(str(condition.get("ConditionType")), currency),
                    "@material": validity.row.get("Material"),
                    **line,
                    "@valid_from": validity.row.get("ConditionValidityStartDate"),
                    "@valid_to": validity.row.get("ConditionValidityEndDate"),
                }
                made.append((f"{record}/{validity.place}/{number}", payload, version))
        if reading.is_incremental:
            places = len(condition.get("to_SlsPrcgCndnRecdValidity") or ()) + 1
            lines = len(condition.get("to_SlsPrcgCndnRecordScale") or ()) + LIKELY_GONE
            ids = (f"{record}/{place}/{line}" for place in range(1, places + 1) for line in range(lines + 1))
            gone += [ExternalId(one) for one in ids if one not in told]
    built = built_of(made)
    return Built(built.records, gone, built.unreadable)


def _price_lists(reading: Reading, rows: Sequence[Row], versions: Sequence[str | None]) -> Built:
    config = reading.client.config
    found: dict[str, Row] = {}
    for condition in rows:
        for validity in _validities(reading.client, condition):
            currency, condition_type = _currency_of(condition), str(condition.get("ConditionType"))
            if not _CURRENCY.fullmatch(currency):
                continue  # a percentage, say: its price says why it cannot be told
            list_id = validity.key.list_id(condition_type, currency)
            found[list_id] = _list_payload(config.sales_organization, config.distribution_channel, list_id)
    return built_of((list_id, payload, None) for list_id, payload in found.items())


def _list_payload(organization: str, channel: str, list_id: str) -> Row:
    """A list's record says no more than its id: it is made of conditions, none of which is its own."""
    condition_type, kind, value, currency = _parts_of(list_id)
    return {
        "SalesOrganization": organization,
        "DistributionChannel": channel,
        "ConditionType": condition_type,
        "ConditionCurrency": currency,
        "@price_list": list_id,
        "@kind": kind,
        "@value": value,
    }


def _parts_of(list_id: str) -> tuple[str, str, str, str]:
    """Condition type, kind, value and currency; empty texts for what is no id of a list."""
    condition_type, _, rest = list_id.partition("/")
    kind, _, rest = rest.partition("/")
    value, _, currency = rest.rpartition("/")
    return condition_type, kind, value, currency


def _condition_of(client: SapClient, external_id: str) -> str | None:
    """The `$filter` of the condition that a price comes from."""
    record, _, place = external_id.partition("/")
    return f"ConditionRecord eq {literal(record)}" if record and place else None


PRICE = Source(
    CONDITIONS,
    "A_SlsPrcgConditionRecord",
    "ConditionRecord",
    records.CONDITION,
    records.PRICE,
    Replication.INCREMENTAL,
    _prices,
    condition=_condition_types,
    single=_condition_of,
    note="condition records of the configured types, one price per validity and line of a quantity scale",
)

PRICE_LIST = Source(
    CONDITIONS,
    "A_SlsPrcgConditionRecord",
    "ConditionRecord",
    records.CONDITION,
    records.PRICE_LIST,
    Replication.INCREMENTAL,
    _price_lists,
    condition=_condition_types,
    is_told_once=True,
    note="one list per condition type, price list type or price group or customer, and currency",
)


class PriceListStream(KeysetStream):
    """The lists that the conditions make; a single one is there when a condition names its key."""

    def get(self, external_id: ExternalId) -> SourceRecord:
        """See `SourceStream.get`."""
        condition_type, kind, value, currency = _parts_of(external_id)
        fields = dict(_KINDS).get(kind, ())
        if currency and (kind == ALL or (fields and value)):
            # For all: whether the type has conditions at all; a key without a customer cannot be asked for.
            named = " or ".join(f"{field} eq {literal(value)}" for field in fields)
            options: dict[str, str | int] = {
                "$select": "ConditionRecord,ConditionValidityEndDate",
                "$filter": both(f"ConditionType eq {literal(condition_type)}", f"({named})" if named else None),
                "$top": 1,
            }
            operation = "GET A_SlsPrcgCndnRecdValidity"
            listed = self._client.list_page(CONDITIONS, "A_SlsPrcgCndnRecdValidity", options, operation=operation)
            if listed.found.rows:
                config = self._client.config
                payload = _list_payload(config.sales_organization, config.distribution_channel, external_id)
                return SourceRecord(external_id, encode(payload))
        raise RecordNotFound(f"there is no price list {external_id[:80]!r}", operation="GET price list")


def own_lists(client: SapClient, customers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Customer -> id of its own price list, for those that have prices of their own now. customers: (number, currency).

    One `$batch` of small questions: the first condition that names the customer.
    """
    config = client.config
    if not customers or not config.are_customer_prices_read:
        return {}
    paths = []
    for customer, _ in customers:
        named = " or ".join(f"{field} eq {literal(customer)}" for field in _OF_CUSTOMER)
        options: dict[str, str | int] = {
            "$select": "ConditionRecord,ConditionValidityEndDate,ConditionType",
            "$filter": both(_condition_types(client), f"({named})"),
            "$top": 1,
        }
        paths.append(asked("A_SlsPrcgCndnRecdValidity", options))
    operation = "GET A_SlsPrcgCndnRecdValidity (customers)"
    answers = client.read_many(CONDITIONS, paths, operation=operation)
    found: dict[str, str] = {}
    for (customer, currency), answer in zip(customers, answers, strict=True):
        if answer.unreadable:
            raise ProtocolViolation(f"a condition cannot be read: {answer.unreadable[0].reason}", operation=operation)
        if answer.rows:
            condition_type = str(answer.rows[0].get("ConditionType") or config.condition_types[0])
            found[customer] = Key("Customer", customer).list_id(condition_type, currency)
    return found
