"""Accounts out: business partners with the customer role, in one deep insert.

BusinessPartnerIDByExtSystem (20 characters) holds our reference alone. Nothing keeps a second partner from having the
same, so a partner is looked for before it is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.erp.sap_s4hana.client import MOST_IN_A_FILTER, PARTNERS, SapClient, one_of
from connectors.erp.sap_s4hana.partner_bodies import ACCOUNT, differences, partner_body, values_of
from connectors.erp.sap_s4hana.partner_records import PARTNER_READ
from connectors.erp.sap_s4hana.partners import account_version, customers_of
from connectors.erp.sap_s4hana.records import question
from connectors.erp.sap_s4hana.sinks import (
    MOST_CREATES,
    SETTLE_TIME,
    change_one,
    check_version,
    create_all,
    each_apart,
    get_id,
    refused_locally,
    too_long,
)
from connectors.erp.sap_s4hana.streams import Row
from connectors.sinks import Accepted, Action, FindingOut, Found, Refused, Resolution, SinkSpec, Write
from connectors.transport.odata_v2 import literal, plain, version_of
from crm_core.errors import (
    ConnectorError,
    DuplicateRecord,
    OutcomeUnknown,
    ProtocolViolation,
    RecordNotFound,
    RecordRejected,
)
from crm_core.ids import ExternalId

REFERENCE = "BusinessPartnerIDByExtSystem"

SPEC = SinkSpec(
    shape=ACCOUNT,
    actions=frozenset({Action.CREATE, Action.UPDATE}),
    finding_out=FindingOut(Resolution.SEARCH, settle_time=SETTLE_TIME, reference_field=REFERENCE, reference_length=20),
    required=(REFERENCE, "BusinessPartnerName", "to_BusinessPartnerAddress"),
    max_batch=MOST_CREATES,
    note="a partner with role, address, tax number and sales area in one insert; addresses are added, never deleted",
)


class AccountSink:
    """See `Sink`. The external id is the customer number."""

    def __init__(self, client: SapClient) -> None:
        self._client, self._config = client, client.config

    def push(self, writes: Sequence[Write]) -> Sequence[Accepted | Refused]:
        """See `Sink.push`: creates go in one call, updates one after another."""
        results: dict[int, Accepted | Refused] = {}
        bodies: dict[int, dict[str, Any]] = {}
        for place, write in enumerate(writes):
            try:
                refusal = self._refusal(write)
                if refusal is not None:
                    results[place] = refusal
                elif write.action is Action.CREATE:
                    bodies[place] = partner_body(write.payload, self._config)
            except RecordRejected as error:
                results[place] = Refused(error)
        results |= self._adopted({place: writes[place] for place in bodies})
        creates = [place for place in bodies if place not in results]
        if creates:
            entities = [bodies[place] for place in creates]
            made = create_all(self._client, PARTNERS, "A_BusinessPartner", entities, self._accepted)
            results |= dict(zip(creates, made, strict=True))
        others = [place for place in range(len(writes)) if place not in results]
        results |= dict(zip(others, each_apart([writes[place] for place in others], self._update), strict=True))
        return [results[place] for place in range(len(writes))]

    def find(self, write: Write) -> Found | None:
        """See `Sink.find`."""
        if write.external_id is not None:
            found = self._read(f"Customer eq {literal(write.external_id)}")
        else:
            found = self._read(f"{REFERENCE} eq {literal(write.reference)}")
        if not found:
            return None
        row, etag = the_one(found, write)
        return Found(_customer(row), account_version(row, etag), values_of(row, write.payload, self._client))

    def _refusal(self, write: Write) -> Refused | None:
        """Of what S/4 would refuse, or take wrongly: it is not sent at all."""
        if write.action is Action.CANCEL:
            return refused_locally("a business partner is not cancelled from here; block it in S/4")
        if (refusal := too_long(write.payload, ACCOUNT)) is not None:
            return refusal
        if (write.action is Action.CREATE or REFERENCE in write.payload) and (
            write.payload.get(REFERENCE) != write.reference
        ):
            return refused_locally(
                f"{REFERENCE} must be {write.reference}: a second try could not find the first", REFERENCE
            )
        return None

    def _adopted(self, creates: Mapping[int, Write]) -> dict[int, Accepted | Refused]:
        """Of creates whose partner is there already: an earlier try came through, maybe with other content."""
        found: dict[int, Accepted | Refused] = {}
        references = [literal(write.reference) for write in creates.values()]
        rows: list[tuple[Row, str | None]] = []
        for start in range(0, len(references), MOST_IN_A_FILTER):
            rows += self._read(one_of(REFERENCE, references[start : start + MOST_IN_A_FILTER]))
        for place, write in creates.items():
            own = [one for one in rows if one[0].get(REFERENCE) == write.reference]
            if own:
                found[place] = self._gone_on_with(own, write)
        return found

    def _gone_on_with(self, own: Sequence[tuple[Row, str | None]], write: Write) -> Accepted | Refused:
        try:
            row, etag = the_one(own, write)
            customer = _customer(row)
        except RecordRejected as error:
            return Refused(error)
        try:
            return self._make(write, row, etag)
        except ConnectorError as error:
            return Refused(error, customer, account_version(row, etag))

    def _accepted(self, entity: Mapping[str, Any], version: str | None) -> Accepted | Refused:
        """The customer number is that of the customer that came about with the partner."""
        number, customer = str(entity.get("BusinessPartner") or ""), str(entity.get("Customer") or "")
        operation = "POST A_BusinessPartner"
        if number and not customer:
            try:
                customer = customers_of(self._client, [number]).get(number, "")
            except ConnectorError as error:
                return Refused(OutcomeUnknown(f"partner {number} is there: {error.message}", operation=operation))
        if not customer:
            return Refused(OutcomeUnknown("the answer tells no customer number", operation=operation))
        return Accepted(ExternalId(customer), account_version(entity, version))

    def _update(self, write: Write) -> Accepted | Refused:
        found = self._read(f"Customer eq {literal(get_id(write))}")
        if not found:
            raise RecordNotFound(f"there is no customer {write.external_id}", operation="GET A_BusinessPartner")
        row, etag = found[0]
        check_version(write, account_version(row, etag))
        return self._make(write, row, etag)

    def _make(self, write: Write, row: Row, etag: str | None) -> Accepted:
        """Make the partner what the write says. Raises what that is refused with."""
        requests = list(differences(row, etag, write.payload, self._client))
        customer, version = _customer(row), account_version(row, etag)
        if requests:
            change_one(self._client, PARTNERS, requests, operation=f"{write.action} A_BusinessPartner")
            version = self._version_now(customer)
        return Accepted(customer, version)

    def _version_now(self, customer: ExternalId) -> str | None:
        """The version behind a change that was carried out; None when it cannot be read just now."""
        try:
            found = self._read(f"Customer eq {literal(customer)}")
        except ConnectorError:
            return None
        return account_version(*found[0]) if found else None

    def _read(self, condition: str) -> list[tuple[Row, str | None]]:
        options = {**question(PARTNER_READ), "$filter": condition, "$orderby": "BusinessPartner"}
        found = self._client.list_page(PARTNERS, "A_BusinessPartner", options, operation="GET A_BusinessPartner").found
        if found.unreadable or found.next_link:
            raise ProtocolViolation("the partners cannot be read to their end", operation="GET A_BusinessPartner")
        return [(plain(row, PARTNER_READ), version_of(row)) for row in found.rows]


def the_one(found: Sequence[tuple[Row, str | None]], write: Write) -> tuple[Row, str | None]:
    """The only partner that was found. Raises DuplicateRecord when there are several."""
    if len(found) > 1:
        numbers = ", ".join(str(row["BusinessPartner"]) for row, _ in found)
        raise DuplicateRecord(f"partners {numbers} have the reference {write.reference}", operation="find partner")
    return found[0]


def _customer(row: Row) -> ExternalId:
    customer = row.get("Customer")
    if not customer:
        raise RecordRejected(f"business partner {row.get('BusinessPartner')} has our reference and is no customer")
    return ExternalId(str(customer))
