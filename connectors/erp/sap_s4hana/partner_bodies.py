"""Business partners in S/4's words: what a create sends, what an update changes, what is there now.

Pure functions of a payload, of the partner as it was read, and of the connection's settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from connectors.erp.sap_s4hana.client import SapClient
from connectors.erp.sap_s4hana.config import SapS4hanaConfig
from connectors.erp.sap_s4hana.partners import (
    NAMES,
    STANDARD,
    default_of,
    full_name,
    parties,
    sales_area,
    standard_address,
    tax_number,
)
from connectors.erp.sap_s4hana.sinks import is_same, request, wire
from connectors.erp.sap_s4hana.streams import Row
from connectors.shapes import Shape
from connectors.transport.odata_v2 import keyed
from connectors.transport.odata_v2_batch import BatchRequest
from crm_core.errors import ValidationRejected

ADDRESS: Shape = {
    "code": "text(21)",
    "StreetName": "text(60)",
    "CityName": "text(40)",
    "PostalCode": "text(10)",
    "Region": "text(3)",
    "Country": "text(3)",
}
"""code: of the CRM's address. The account's own customer number means the standard address; another one is kept in
AddressIDByExternalSystem (20 characters)."""

ACCOUNT: Shape = {
    "BusinessPartnerIDByExtSystem": "text(20)",
    "BusinessPartnerCategory": "text(1)",
    "BusinessPartnerName": "text(163)",
    "Language": "text(2)",
    "BPTaxType": "text(4)",
    "BPTaxNumber": "text(20)",
    "EmailAddress": "text(241)",
    "PhoneNumber": "text(30)",
    "WebsiteURL": "text(2048)",
    "Currency": "text(5)",
    "CustomerPaymentTerms": "text(4)",
    "to_BusinessPartnerAddress": [ADDRESS],
}
"""BusinessPartnerName goes into the four lines of 40 characters of an organisation, or into first and last name."""

PERSON = "1"
_LINE_LENGTH = 40
_ADDRESS_FIELDS = ("StreetName", "CityName", "PostalCode", "Region", "Country")
_AREA_FIELDS = ("Currency", "CustomerPaymentTerms")
_CODE_LENGTH = 20


# -- names ------------------------------------------------------------------------------------------------------------


def name_fields(name: str, category: str | None) -> dict[str, str]:
    """The name in the fields of S/4, so that joined by a space they give it again.

    Raises ValidationRejected for a name that does not fit that way: it is never cut.
    """
    if category == PERSON:
        first, _, last = name.rpartition(" ")
        if len(first) <= _LINE_LENGTH and len(last) <= _LINE_LENGTH and first == first.strip() and last:
            return {"FirstName": first, "LastName": last}
    else:
        lines = _lines(name)
        if lines is not None:
            return dict(zip(NAMES, [*lines, "", "", ""], strict=False))
    raise ValidationRejected(
        f"a name of {len(name)} characters does not fit into the fields of 40 that S/4 has for it",
        fields=("BusinessPartnerName",),
    )


def _lines(name: str) -> list[str] | None:
    """At most four parts of at most 40 characters, split at single spaces; None when there are none such."""
    found: list[str] = []
    rest = name
    while len(rest) > _LINE_LENGTH and len(found) < len(NAMES) - 1:
        at = next((i for i in range(_LINE_LENGTH, 0, -1) if _is_single_space(rest, i)), None)
        if at is None:
            return None
        found.append(rest[:at])
        rest = rest[at + 1 :]
    return [*found, rest] if 0 < len(rest) <= _LINE_LENGTH and rest == rest.strip() else None


def _is_single_space(text: str, at: int) -> bool:
    return text[at] == " " and text[at - 1] != " " and text[at + 1 : at + 2] != " "


# -- create -----------------------------------------------------------------------------------------------------------


def partner_body(payload: Mapping[str, Any], config: SapS4hanaConfig) -> dict[str, Any]:
    """The deep insert of a business partner that is a customer of the configured sales area."""
    language = payload.get("Language") or config.language
    addresses = [
        _address_body(address, payload if place == 0 else {}, language)
        for place, address in enumerate(payload.get("to_BusinessPartnerAddress") or ())
    ]
    area = {
        "SalesOrganization": config.sales_organization,
        "DistributionChannel": config.distribution_channel,
        "Division": config.division,
        **wire(payload, ACCOUNT, [name for name in _AREA_FIELDS if payload.get(name)]),
    }
    customer: dict[str, Any] = {"to_CustomerSalesArea": {"results": [area]}}
    if config.company_code is not None:
        company = {"CompanyCode": config.company_code, "ReconciliationAccount": config.reconciliation_account}
        customer["to_CustomerCompany"] = {"results": [company]}
    return {
        "BusinessPartnerCategory": payload.get("BusinessPartnerCategory") or "2",
        **({"BusinessPartnerGrouping": config.partner_grouping} if config.partner_grouping else {}),
        "BusinessPartnerIDByExtSystem": payload.get("BusinessPartnerIDByExtSystem"),
        "CorrespondenceLanguage": language,
        **name_fields(str(payload.get("BusinessPartnerName") or ""), payload.get("BusinessPartnerCategory")),
        **({"to_BusinessPartnerAddress": {"results": addresses}} if addresses else {}),
        "to_BusinessPartnerRole": {"results": [{"BusinessPartnerRole": role} for role in config.customer_roles]},
        **({"to_BusinessPartnerTax": {"results": [tax]}} if (tax := _tax_body(payload)) else {}),
        "to_Customer": customer,
    }


def _address_body(address: Mapping[str, Any], payload: Mapping[str, Any], language: str) -> dict[str, Any]:
    """An address; the standard one carries e-mail, telephone and home page."""
    body = {**wire(address, ADDRESS, _ADDRESS_FIELDS), "Language": language, **_code_of(address)}
    if payload:
        body["to_AddressUsage"] = {"results": [{"AddressUsage": STANDARD}]}
    if payload.get("EmailAddress"):
        entry = {"EmailAddress": payload["EmailAddress"], "IsDefaultEmailAddress": True}
        body["to_EmailAddress"] = {"results": [entry]}
    if payload.get("PhoneNumber"):
        entry = {"PhoneNumber": payload["PhoneNumber"], "IsDefaultPhoneNumber": True, "PhoneNumberType": "1"}
        body["to_PhoneNumber"] = {"results": [entry]}
    if payload.get("WebsiteURL"):
        entry = {"WebsiteURL": payload["WebsiteURL"], "IsDefaultURLAddress": True}
        body["to_URLAddress"] = {"results": [entry]}
    return body


def _code_of(address: Mapping[str, Any]) -> dict[str, str]:
    code = str(address.get("code") or "")
    return {"AddressIDByExternalSystem": code} if 0 < len(code) <= _CODE_LENGTH else {}


def _tax_body(payload: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Without a category of the payload's own it is the VAT number of the first address's country, `DE0`; before: the
    category that the partner has, for a payload without addresses.
    """
    if not payload.get("BPTaxNumber"):
        return {}
    countries = [a["Country"] for a in payload.get("to_BusinessPartnerAddress") or () if a.get("Country")]
    category = payload.get("BPTaxType") or (f"{countries[0]}0" if countries else before)
    if not category:
        raise ValidationRejected(
            "a tax number needs its category, or an address whose country tells it", fields=("BPTaxType",)
        )
    return {"BPTaxType": category, "BPTaxNumber": payload["BPTaxNumber"]}


# -- update -----------------------------------------------------------------------------------------------------------


def differences(row: Row, version: str | None, payload: Mapping[str, Any], client: SapClient) -> Iterator[BatchRequest]:
    """The changeset that makes a partner what a payload says. version: the ETag, where the service gives one."""
    number = str(row["BusinessPartner"])
    changes: dict[str, Any] = {}
    if payload.get("BusinessPartnerName") and payload["BusinessPartnerName"] != full_name(row):
        changes |= name_fields(payload["BusinessPartnerName"], row.get("BusinessPartnerCategory"))
    reference = payload.get("BusinessPartnerIDByExtSystem")
    if reference and reference != row.get("BusinessPartnerIDByExtSystem"):
        changes["BusinessPartnerIDByExtSystem"] = reference
    if payload.get("Language") and payload["Language"] != row.get("CorrespondenceLanguage"):
        changes["CorrespondenceLanguage"] = payload["Language"]
    if version is not None and not changes:
        # The partner has the ETag that the whole changeset stands or falls with: so it is there in any case.
        changes["BusinessPartnerIDByExtSystem"] = row.get("BusinessPartnerIDByExtSystem") or ""
    if changes:
        yield request("PATCH", keyed("A_BusinessPartner", number), changes, version=version)
    yield from _address_differences(row, payload, client)
    yield from _communication_differences(row, payload)
    yield from _tax_differences(row, payload)
    yield from _area_differences(row, payload, client)


def _address_differences(row: Row, payload: Mapping[str, Any], client: SapClient) -> Iterator[BatchRequest]:
    number, customer = str(row["BusinessPartner"]), str(row.get("Customer") or "")
    others = parties(client, sales_area(row, client))
    for address, there in matched_addresses(payload.get("to_BusinessPartnerAddress") or (), row):
        if there is not None:
            changed = [n for n in _ADDRESS_FIELDS if n in address and not _is_there(address, there, n)]
            if changed:
                body = wire(address, ADDRESS, changed)
                if "StreetName" in changed:
                    body["HouseNumber"] = ""  # our street has the number in it
                key = {"BusinessPartner": number, "AddressID": str(there["AddressID"])}
                yield request("PATCH", keyed("A_BusinessPartnerAddress", key), body)
        elif str(address.get("code") or "") not in others and address.get("code") != customer:
            # An address with another customer's number is theirs, and not changed from here.
            language = payload.get("Language") or client.config.language
            body = {"BusinessPartner": number, **_address_body(address, {}, language)}
            yield request("POST", "A_BusinessPartnerAddress", body)


def _is_there(address: Mapping[str, Any], there: Mapping[str, Any], name: str) -> bool:
    return is_same("text", address[name], street_of(there) if name == "StreetName" else there.get(name))


def street_of(address: Mapping[str, Any]) -> str:
    """Street and house number in one."""
    return " ".join(str(part) for part in (address.get("StreetName"), address.get("HouseNumber")) if part)


def matched_addresses(
    addresses: Sequence[Mapping[str, Any]], row: Row
) -> list[tuple[Mapping[str, Any], Mapping[str, Any] | None]]:
    """Each address of a payload with the partner's own that it is: by customer number, number/AddressID or our code."""
    customer, standard = str(row.get("Customer") or ""), standard_address(row)
    own = row.get("to_BusinessPartnerAddress") or ()
    by_code = {f"{customer}/{one.get('AddressID')}": one for one in own}
    by_code |= {
        str(one["AddressIDByExternalSystem"]).upper(): one for one in own if one.get("AddressIDByExternalSystem")
    }
    if standard is not None:
        by_code[customer] = dict(standard)
    return [(address, by_code.get(str(address.get("code") or "").upper())) for address in addresses]


_COMMUNICATION = (
    ("EmailAddress", "to_EmailAddress", "A_AddressEmailAddress", "IsDefaultEmailAddress"),
    ("PhoneNumber", "to_PhoneNumber", "A_AddressPhoneNumber", "IsDefaultPhoneNumber"),
    ("WebsiteURL", "to_URLAddress", "A_AddressHomePageURL", "IsDefaultURLAddress"),
)


def _communication_differences(row: Row, payload: Mapping[str, Any]) -> Iterator[BatchRequest]:
    standard = standard_address(row)
    for name, navigation, entity_set, is_default in _COMMUNICATION:
        if name not in payload or standard is None:
            continue
        wanted, address = payload[name] or None, str(standard["AddressID"])
        there = default_of(standard.get(navigation), is_default)
        if there is not None and wanted is None:
            yield request("DELETE", _communication_path(entity_set, address, there))
        elif there is not None and there.get(name) != wanted:
            yield request("PATCH", _communication_path(entity_set, address, there), {name: wanted})
        elif there is None and wanted is not None:
            key = {"BusinessPartner": str(row["BusinessPartner"]), "AddressID": address}
            body = {name: wanted, is_default: True}
            yield request("POST", f"{keyed('A_BusinessPartnerAddress', key)}/{navigation}", body)


def _communication_path(entity_set: str, address: str, there: Mapping[str, Any]) -> str:
    person, ordinal = str(there.get("Person") or ""), str(there.get("OrdinalNumber") or "1")
    key: dict[str, Any] = {"AddressID": address, "Person": person, "OrdinalNumber": ordinal}
    if "WebsiteURL" in there:
        begins = date.fromisoformat(str(there.get("ValidityStartDate") or "0001-01-01"))
        key |= {"ValidityStartDate": begins, "IsDefaultURLAddress": bool(there.get("IsDefaultURLAddress"))}
    return keyed(entity_set, key)


def _tax_differences(row: Row, payload: Mapping[str, Any]) -> Iterator[BatchRequest]:
    number = str(row["BusinessPartner"])
    shown = tax_number(row)
    if "BPTaxNumber" in payload and not payload["BPTaxNumber"] and shown is not None:
        key = {"BusinessPartner": number, "BPTaxType": str(shown["BPTaxType"])}
        yield request("DELETE", keyed("A_BusinessPartnerTaxNumber", key))
    wanted = _tax_body(payload, str(shown["BPTaxType"]) if shown is not None else "")
    if not wanted:
        return
    there = {one.get("BPTaxType"): one.get("BPTaxNumber") for one in row.get("to_BusinessPartnerTax") or ()}
    category = wanted["BPTaxType"]
    if category not in there:
        yield request("POST", f"{keyed('A_BusinessPartner', number)}/to_BusinessPartnerTax", wanted)
    elif there[category] != wanted["BPTaxNumber"]:
        key = {"BusinessPartner": number, "BPTaxType": category}
        body = {"BPTaxNumber": wanted["BPTaxNumber"]}
        yield request("PATCH", keyed("A_BusinessPartnerTaxNumber", key), body)


def _area_differences(row: Row, payload: Mapping[str, Any], client: SapClient) -> Iterator[BatchRequest]:
    area, config = sales_area(row, client), client.config
    wanted = [name for name in _AREA_FIELDS if payload.get(name)]
    key = {
        "Customer": str(row.get("Customer") or ""),
        "SalesOrganization": config.sales_organization,
        "DistributionChannel": config.distribution_channel,
        "Division": config.division,
    }
    if area is None:
        if wanted:
            yield request("POST", "A_CustomerSalesArea", {**key, **wire(payload, ACCOUNT, wanted)})
        return
    changed = [name for name in wanted if payload[name] != area.get(name)]
    if changed:
        yield request("PATCH", keyed("A_CustomerSalesArea", key), wire(payload, ACCOUNT, changed))


# -- reading back -----------------------------------------------------------------------------------------------------


def values_of(row: Row, payload: Mapping[str, Any], client: SapClient) -> dict[str, Any]:
    """The payload's fields as the partner has them now."""
    standard, area, number = standard_address(row) or {}, sales_area(row, client) or {}, tax_number(row) or {}
    if payload.get("BPTaxType"):
        listed = row.get("to_BusinessPartnerTax") or ()
        number = next((one for one in listed if one.get("BPTaxType") == payload["BPTaxType"]), {})
    told: dict[str, Any] = {
        "BusinessPartnerIDByExtSystem": row.get("BusinessPartnerIDByExtSystem"),
        "BusinessPartnerCategory": row.get("BusinessPartnerCategory"),
        "BusinessPartnerName": full_name(row),
        "Language": row.get("CorrespondenceLanguage"),
        "BPTaxType": number.get("BPTaxType"),
        "BPTaxNumber": number.get("BPTaxNumber"),
        **{name: area.get(name) for name in _AREA_FIELDS},
    }
    for name, navigation, _, is_default in _COMMUNICATION:
        told[name] = (default_of(standard.get(navigation), is_default) or {}).get(name)
    values = {name: told[name] or None for name in told if name in payload}
    if "to_BusinessPartnerAddress" in payload:
        matched = matched_addresses(payload["to_BusinessPartnerAddress"] or (), row)
        values["to_BusinessPartnerAddress"] = [
            {
                name: address["code"]
                if name == "code"
                else street_of(there)
                if name == "StreetName"
                else there.get(name)
                for name in address
            }
            for address, there in matched
            if there is not None
        ]
    return values
