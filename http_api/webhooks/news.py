"""What a notification says, by vendor. Pure functions on the bytes of a body.

The bodies are those that the vendors describe (Business Central: subscriptions of API v2.0; Xero: webhooks;
QuickBooks: event notifications, and CloudEvents since 2025). They tell which record changed, never what is in it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from crm_core.ids import EntityType

_E = EntityType


@dataclass(frozen=True, slots=True)
class News:
    """One record of theirs changed. kind: their word for what it is; entities: ours that are made of it, perhaps none.

    moment: what tells this change from another one of the record. tenant: whose books, where one address serves
    several. is_one_record: False for a notification that only says that many changed.
    """

    kind: str
    external_id: str
    moment: str
    entities: tuple[EntityType, ...]
    tenant: str | None = None
    is_one_record: bool = True


class Unverified(Exception):
    """It is not signed by whoever knows the secret."""


class Unreadable(Exception):
    """It is signed, but not what the vendor describes."""


Reader = Callable[[bytes, Mapping[str, str], bytes], tuple[News, ...]]
"""(body, headers in lower case, secret) -> what is told. Raises Unverified, Unreadable."""


# -- signatures -------------------------------------------------------------------------------------------------------


def is_signed(body: bytes, signature: str, secret: bytes) -> bool:
    """Whether base64(HMAC-SHA256(body, secret)) is the signature; in constant time."""
    wanted = base64.b64encode(hmac.digest(secret, body, hashlib.sha256))
    return hmac.compare_digest(wanted, signature.encode("latin-1", "replace"))


# -- Business Central -------------------------------------------------------------------------------------------------

BUSINESS_CENTRAL: Mapping[str, tuple[EntityType, ...]] = {
    "unitsOfMeasure": (_E.UNIT_GROUP,),
    "items": (_E.PRODUCT, _E.STOCK_LEVEL),
    "customers": (_E.ACCOUNT, _E.CREDIT),
    "salesOrders": (_E.ORDER,),
    "salesInvoices": (_E.INVOICE,),
}
_RESOURCE = re.compile(r"(?:^|/)(?P<set>[A-Za-z]{1,60})\((?P<key>[0-9a-fA-F-]{36})\)/?$")
_COLLECTION = re.compile(r"(?:^|/)(?P<set>[A-Za-z]{1,60})(?:\?|$)")


def business_central(body: bytes, headers: Mapping[str, str], secret: bytes) -> tuple[News, ...]:
    """`{"value": [{"clientState", "resource", "changeType", "lastModifiedDateTime"}]}`; signed by the clientState."""
    items = _list(_object(body).get("value"), "value")
    states = [str(item.get("clientState", "")) for item in items]
    # every one is compared, so that the time does not tell which is wrong
    is_right = [hmac.compare_digest(state.encode(), secret) for state in states]
    if not items or not all(is_right):
        raise Unverified
    return tuple(_business_central_news(item) for item in items)


def _business_central_news(item: Mapping[str, Any]) -> News:
    resource, moment = _text(item, "resource"), str(item.get("lastModifiedDateTime", ""))
    change = str(item.get("changeType", ""))
    found = _RESOURCE.search(resource)
    if found is None or change == "collection":
        many = _COLLECTION.search(resource.partition("?")[0])
        kind = many["set"] if many is not None else "?"
        return News(kind, "", f"{change} {moment}", BUSINESS_CENTRAL.get(kind, ()), is_one_record=False)
    return News(found["set"], found["key"].lower(), f"{change} {moment}", BUSINESS_CENTRAL.get(found["set"], ()))


# -- Xero -------------------------------------------------------------------------------------------------------------

XERO: Mapping[str, tuple[EntityType, ...]] = {
    "CONTACT": (_E.ACCOUNT, _E.CREDIT),
    "INVOICE": (_E.ORDER, _E.INVOICE),  # an order of ours is a draft invoice there
    "CREDIT_NOTE": (_E.INVOICE,),
}


def xero(body: bytes, headers: Mapping[str, str], secret: bytes) -> tuple[News, ...]:
    """`{"events": [{"resourceId", "eventCategory", "eventDateUtc", "tenantId"}]}`, signed in x-xero-signature.

    The same answer serves the check that Xero calls "intent to receive": rightly signed ones without events are
    accepted, wrongly signed ones are not.
    """
    if not is_signed(body, headers.get("x-xero-signature", ""), secret):
        raise Unverified
    events = _list(_object(body).get("events"), "events")
    return tuple(
        News(
            kind := _text(event, "eventCategory").upper().replace("-", "_"),
            _text(event, "resourceId").lower(),
            f"{event.get('eventType', '')} {event.get('eventDateUtc', '')}",
            XERO.get(kind, ()),
            tenant=str(event["tenantId"]).lower() if event.get("tenantId") else None,
        )
        for event in events
    )


# -- QuickBooks -------------------------------------------------------------------------------------------------------

_CREDIT_MEMO = "creditmemo"
_BEFORE_A_CREDIT_MEMO = "CreditMemo:"
"""What the connector puts before the id of a credit memo, which shares a stream with the invoices."""

QUICKBOOKS: Mapping[str, tuple[EntityType, ...]] = {
    "item": (_E.PRODUCT, _E.STOCK_LEVEL),
    "customer": (_E.ACCOUNT, _E.CREDIT),
    "estimate": (_E.ORDER,),
    "invoice": (_E.INVOICE,),
    _CREDIT_MEMO: (_E.INVOICE,),
    "payment": (_E.PAYMENT,),
}


def quickbooks(body: bytes, headers: Mapping[str, str], secret: bytes) -> tuple[News, ...]:
    """Both shapes: `{"eventNotifications": [...]}`, and a list of CloudEvents; signed in intuit-signature."""
    if not is_signed(body, headers.get("intuit-signature", ""), secret):
        raise Unverified
    decoded = _decoded(body)
    if isinstance(decoded, list):
        return tuple(_cloud_event(event) for event in _list(decoded, "the body"))
    found = []
    for notification in _list(_object(body).get("eventNotifications"), "eventNotifications"):
        change = notification.get("dataChangeEvent")
        for entity in _list(change.get("entities") if isinstance(change, dict) else None, "entities"):
            moment = f"{entity.get('operation', '')} {entity.get('lastUpdated', '')}"
            realm = str(notification.get("realmId", ""))
            found.append(_quickbooks_news(_text(entity, "name"), _text(entity, "id"), moment, realm))
    return tuple(found)


def _cloud_event(event: Mapping[str, Any]) -> News:
    """`{"id", "type": "qbo.customer.updated.v1", "intuitentityid", "intuitaccountid"}`."""
    words = _text(event, "type").split(".")
    if len(words) < 3:
        raise Unreadable(f"type {'.'.join(words)[:60]!r} is no qbo.ENTITY.OPERATION.vN")
    moment = f"{event.get('id', '')} {event.get('time', '')}"
    realm = str(event.get("intuitaccountid", ""))
    return _quickbooks_news(words[1], _text(event, "intuitentityid"), moment, realm)


def _quickbooks_news(name: str, key: str, moment: str, realm: str) -> News:
    kind = name.lower()
    external_id = f"{_BEFORE_A_CREDIT_MEMO}{key}" if kind == _CREDIT_MEMO else key
    return News(kind, external_id, moment, QUICKBOOKS.get(kind, ()), tenant=realm)


READERS: Mapping[str, Reader] = {"business_central": business_central, "xero": xero, "quickbooks": quickbooks}


# -- JSON -------------------------------------------------------------------------------------------------------------


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"the body is no JSON: {error}") from None


def _object(body: bytes) -> dict[str, Any]:
    decoded = _decoded(body)
    if not isinstance(decoded, dict):
        raise Unreadable("the body is no JSON object")
    return decoded


def _list(value: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Unreadable(f"{name} is no list of objects")
    return value


def _text(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value or len(value) > 2000:
        raise Unreadable(f"{name} is missing, or no text")
    return value
