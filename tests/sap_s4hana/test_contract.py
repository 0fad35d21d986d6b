"""Our picture of S/4HANA's services is SAP's: every name, type, length and flag that we use stands in its EDMX.

A misspelt property would be refused by the first real system; one that is too long there, cut off by nobody, refused
with the customer waiting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from connectors.erp.sap_s4hana import document_records, order_bodies, partner_bodies, partner_records, records
from connectors.shapes import Shape
from simulators.sap_s4hana.books import ENTITY_SETS
from simulators.sap_s4hana.schema import EntitySet
from simulators.sap_s4hana.values import Kind

CONTRACTS = Path(__file__).resolve().parents[3] / "shared" / "contracts" / "sap-s4" / "edmx"
SAP = "{http://www.sap.com/Protocols/SAPData}"

WORDS = {
    "Edm.String": {"text"},
    "Edm.Boolean": {"boolean"},
    "Edm.Decimal": {"number", "integer"},
    "Edm.DateTime": {"date"},
    "Edm.DateTimeOffset": {"instant"},
    "Edm.Time": {"text"},
}


@dataclass(frozen=True)
class Property:
    kind: str
    length: int | None
    precision: int
    scale: int
    may_be_created: bool
    may_be_changed: bool
    may_be_filtered: bool
    may_be_sorted: bool


@dataclass(frozen=True)
class Set:
    entity_type: str
    key: tuple[str, ...]
    properties: Mapping[str, Property]
    navigations: Mapping[str, tuple[str, bool]]
    etag: tuple[str, ...]
    may: frozenset[str]


@dataclass(frozen=True)
class Contract:
    sets: Mapping[str, Set]


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _named(root: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (element for element in root.iter() if _local(element) == name)


def _property(element: ElementTree.Element) -> Property:
    told = element.attrib
    length = told.get("MaxLength")
    return Property(
        told["Type"],
        int(length) if length and length.isdecimal() else None,
        int(told.get("Precision", 0)),
        int(told.get("Scale", 0)),
        told.get(f"{SAP}creatable") != "false",
        told.get(f"{SAP}updatable") != "false",
        told.get(f"{SAP}filterable") != "false",
        told.get(f"{SAP}sortable") != "false",
    )


def load(service: str) -> Contract:
    # SAP's own file from our own disk; expat resolves no external entities.
    root = ElementTree.parse(CONTRACTS / f"{service}.edmx").getroot()
    ends = {
        association.attrib["Name"]: {
            end.attrib["Role"]: (end.attrib["Type"].rpartition(".")[2], end.attrib["Multiplicity"] == "*")
            for end in _named(association, "End")
        }
        for association in _named(root, "Association")
    }
    types: dict[str, ElementTree.Element] = {one.attrib["Name"]: one for one in _named(root, "EntityType")}
    sets: dict[str, Set] = {}
    for element in _named(root, "EntitySet"):
        entity_type = types[element.attrib["EntityType"].rpartition(".")[2]]
        flags = {"POST": "creatable", "PATCH": "updatable", "DELETE": "deletable"}
        found = list(_named(entity_type, "Property"))
        sets[element.attrib["Name"]] = Set(
            entity_type.attrib["Name"],
            tuple(ref.attrib["Name"] for ref in _named(entity_type, "PropertyRef")),
            {one.attrib["Name"]: _property(one) for one in found},
            {
                one.attrib["Name"]: ends[one.attrib["Relationship"].rpartition(".")[2]][one.attrib["ToRole"]]
                for one in _named(entity_type, "NavigationProperty")
            },
            tuple(one.attrib["Name"] for one in found if one.attrib.get("ConcurrencyMode") == "Fixed"),
            frozenset(method for method, flag in flags.items() if element.attrib.get(f"{SAP}{flag}") != "false"),
        )
    return Contract(sets)


@pytest.fixture(scope="module")
def contracts() -> dict[str, Contract]:
    if not CONTRACTS.exists():
        pytest.skip("the vendor's contracts (../shared/contracts/sap-s4) are not part of this repository")
    return {path.stem: load(path.stem) for path in sorted(CONTRACTS.glob("*.edmx"))}


# -- the connector ----------------------------------------------------------------------------------------------------

ASKED: list[tuple[str, str, Shape]] = [
    ("API_PRODUCT_SRV", "A_Product", records.PRODUCT),
    ("API_SLSPRICINGCONDITIONRECORD_SRV", "A_SlsPrcgConditionRecord", records.CONDITION),
    ("API_MATERIAL_STOCK_SRV", "A_MatlStkInAcctMod", records.STOCK_ROW),
    ("API_BUSINESS_PARTNER", "A_BusinessPartner", partner_records.PARTNER_READ),
    ("API_BUSINESS_PARTNER", "A_BusinessPartner", partner_records.PARTNER_ADDRESS),
    ("API_BUSINESS_PARTNER", "A_BusinessPartnerContact", partner_records.CONTACT_READ),
    ("API_SALES_ORDER_SRV", "A_SalesOrder", document_records.ORDER_READ),
    ("API_BILLING_DOCUMENT_SRV", "A_BillingDocument", document_records.INVOICE_READ),
]


def wrong_of(contract: Contract, entity_set: str, shape: Mapping[str, Any], place: str = "") -> list[str]:
    """What of a shape is not in the contract."""
    known, wrong = contract.sets[entity_set], []
    for name, word in shape.items():
        if name.startswith("@"):
            continue
        if isinstance(word, str):
            found = known.properties.get(name)
            if found is None or word not in WORDS[found.kind]:
                wrong.append(f"{place}{name}: {found.kind if found else 'unknown'}")
            continue
        if name not in known.navigations:
            wrong.append(f"{place}{name}: unknown")
            continue
        target, is_many = known.navigations[name]
        if is_many is isinstance(word, Mapping):
            wrong.append(f"{place}{name}: {'a list' if is_many else 'one'}")
        (below,) = [key for key, one in contract.sets.items() if one.entity_type == target]
        wrong += wrong_of(contract, below, word if isinstance(word, Mapping) else word[0], f"{place}{name}.")
    return wrong


@pytest.mark.parametrize(("service", "entity_set", "shape"), ASKED, ids=[f"{one[1]}-{len(one[2])}" for one in ASKED])
def test_what_is_asked_for_is_there_with_the_same_type(
    contracts: dict[str, Contract], service: str, entity_set: str, shape: Shape
) -> None:
    assert wrong_of(contracts[service], entity_set, shape) == []


FILTERED = {
    ("API_PRODUCT_SRV", "A_Product"): "Product ProductType BaseUnit LastChangeDateTime",
    ("API_SLSPRICINGCONDITIONRECORD_SRV", "A_SlsPrcgConditionRecord"): (
        "ConditionRecord ConditionType LastChangeDateTime"
    ),
    ("API_SLSPRICINGCONDITIONRECORD_SRV", "A_SlsPrcgCndnRecdValidity"): (
        "ConditionRecord ConditionType Customer SoldToParty PriceListType CustomerPriceGroup"
    ),
    ("API_MATERIAL_STOCK_SRV", "A_MatlStkInAcctMod"): (
        "Material Plant InventoryStockType InventorySpecialStockType StorageLocation Batch Supplier Customer"
        " WBSElementInternalID SDDocument SDDocumentItem"
    ),
    ("API_BUSINESS_PARTNER", "A_BusinessPartner"): (
        "BusinessPartner Customer LastChangeDate CreationDate BusinessPartnerIDByExtSystem"
    ),
    ("API_BUSINESS_PARTNER", "A_BusinessPartnerContact"): "RelationshipNumber ValidityStartDate ValidityEndDate",
    ("API_SALES_ORDER_SRV", "A_SalesOrder"): (
        "SalesOrder SalesOrganization SoldToParty PurchaseOrderByCustomer LastChangeDateTime"
    ),
    ("API_BILLING_DOCUMENT_SRV", "A_BillingDocument"): (
        "BillingDocument SalesOrganization SDDocumentCategory InvoiceClearingStatus BillingDocumentIsCancelled"
        " LastChangeDateTime"
    ),
}


@pytest.mark.parametrize(("place", "names"), FILTERED.items(), ids=[place[1] for place in FILTERED])
def test_what_lists_are_filtered_and_sorted_by_may_be(
    contracts: dict[str, Contract], place: tuple[str, str], names: str
) -> None:
    known = contracts[place[0]].sets[place[1]].properties
    assert [name for name in names.split() if not known[name].may_be_filtered] == []
    assert [name for name in names.split() if not known[name].may_be_sorted] == []


# -- what is written --------------------------------------------------------------------------------------------------

PARTNERS, ORDERS = "API_BUSINESS_PARTNER", "API_SALES_ORDER_SRV"

WRITTEN: list[tuple[str, str, Shape, str]] = [
    (ORDERS, "A_SalesOrder", order_bodies.ORDER, " ".join(order_bodies.HEADER_FIELDS)),
    (ORDERS, "A_SalesOrderItem", order_bodies.LINE, " ".join(("SalesOrderItem", *order_bodies.LINE_FIELDS))),
    (ORDERS, "A_SalesOrderItemPrElement", order_bodies.LINE, "ConditionRateValue"),
    (PARTNERS, "A_BusinessPartner", partner_bodies.ACCOUNT, "BusinessPartnerIDByExtSystem BusinessPartnerCategory"),
    (PARTNERS, "A_BusinessPartnerTaxNumber", partner_bodies.ACCOUNT, "BPTaxType BPTaxNumber"),
    (PARTNERS, "A_AddressEmailAddress", partner_bodies.ACCOUNT, "EmailAddress"),
    (PARTNERS, "A_AddressPhoneNumber", partner_bodies.ACCOUNT, "PhoneNumber"),
    (PARTNERS, "A_AddressHomePageURL", partner_bodies.ACCOUNT, "WebsiteURL"),
    (PARTNERS, "A_CustomerSalesArea", partner_bodies.ACCOUNT, "Currency CustomerPaymentTerms"),
    (PARTNERS, "A_BusinessPartnerAddress", partner_bodies.ADDRESS, "StreetName CityName PostalCode Region Country"),
]


@pytest.mark.parametrize(("service", "entity_set", "shape", "names"), WRITTEN, ids=[one[1] for one in WRITTEN])
def test_what_a_sink_takes_fits_to_the_last_character_and_may_be_written(
    contracts: dict[str, Contract], service: str, entity_set: str, shape: Shape, names: str
) -> None:
    known = contracts[service].sets[entity_set]
    for name in names.split():
        found, word = known.properties[name], shape[name]
        if found.kind == "Edm.String":
            assert word == f"text({found.length})", name
        else:
            assert word in WORDS[found.kind], name
        assert found.may_be_created, name
        assert found.may_be_changed or name in known.key, name


def test_names_fit_as_they_are_divided(contracts: dict[str, Contract]) -> None:
    """Four lines of forty and three spaces between them; of a person two fields."""
    known = contracts[PARTNERS].sets["A_BusinessPartner"].properties
    names = ("OrganizationBPName1", "OrganizationBPName2", "OrganizationBPName3", "OrganizationBPName4")
    assert [known[name].length for name in (*names, "FirstName", "LastName")] == [40] * 6
    assert partner_bodies.ACCOUNT["BusinessPartnerName"] == f"text({4 * 40 + 3})"
    assert known["CorrespondenceLanguage"].length == 2
    address = contracts[PARTNERS].sets["A_BusinessPartnerAddress"].properties
    assert address["AddressIDByExternalSystem"].length == 20


MADE = {
    (ORDERS, "A_SalesOrder"): "POST PATCH",
    (ORDERS, "A_SalesOrderItem"): "POST PATCH DELETE",
    (ORDERS, "A_SalesOrderHeaderPartner"): "POST PATCH",
    (ORDERS, "A_SalesOrderItemPrElement"): "POST PATCH DELETE",
    (PARTNERS, "A_BusinessPartner"): "POST PATCH",
    (PARTNERS, "A_BusinessPartnerAddress"): "POST PATCH",
    (PARTNERS, "A_AddressEmailAddress"): "POST PATCH DELETE",
    (PARTNERS, "A_AddressPhoneNumber"): "POST PATCH DELETE",
    (PARTNERS, "A_AddressHomePageURL"): "POST PATCH DELETE",
    (PARTNERS, "A_BusinessPartnerTaxNumber"): "POST PATCH DELETE",
    (PARTNERS, "A_CustomerSalesArea"): "POST PATCH",
    (PARTNERS, "A_BusinessPartnerRole"): "POST",
    (PARTNERS, "A_CustomerCompany"): "POST",
}
CREATED = {
    (ORDERS, "A_SalesOrder"): "SalesOrderType SalesOrganization DistributionChannel OrganizationDivision",
    (ORDERS, "A_SalesOrderItem"): "UnderlyingPurchaseOrderItem SalesDocumentRjcnReason",
    (ORDERS, "A_SalesOrderHeaderPartner"): "PartnerFunction Customer",
    (ORDERS, "A_SalesOrderItemPrElement"): (
        "ConditionType ConditionRateValue ConditionCurrency ConditionQuantity ConditionQuantityUnit"
    ),
    (PARTNERS, "A_BusinessPartner"): "BusinessPartnerGrouping CorrespondenceLanguage FirstName LastName",
    (PARTNERS, "A_BusinessPartnerAddress"): "AddressIDByExternalSystem Language HouseNumber",
    (PARTNERS, "A_BuPaAddressUsage"): "AddressUsage",
    (PARTNERS, "A_BusinessPartnerRole"): "BusinessPartnerRole",
    (PARTNERS, "A_CustomerSalesArea"): "SalesOrganization DistributionChannel Division",
    (PARTNERS, "A_CustomerCompany"): "CompanyCode ReconciliationAccount",
}


@pytest.mark.parametrize(("place", "methods"), MADE.items(), ids=[place[1] for place in MADE])
def test_sets_take_what_is_done_to_them(contracts: dict[str, Contract], place: tuple[str, str], methods: str) -> None:
    assert set(methods.split()) <= contracts[place[0]].sets[place[1]].may


@pytest.mark.parametrize(("place", "names"), CREATED.items(), ids=[place[1] for place in CREATED])
def test_what_is_added_to_a_payload_may_be_created(
    contracts: dict[str, Contract], place: tuple[str, str], names: str
) -> None:
    known = contracts[place[0]].sets[place[1]].properties
    assert [name for name in names.split() if not known[name].may_be_created] == []


def test_the_only_reference_of_an_order_has_35_characters(contracts: dict[str, Contract]) -> None:
    """Others exist and cannot be written."""
    known = contracts[ORDERS].sets["A_SalesOrder"].properties
    assert known["PurchaseOrderByCustomer"].length == 35
    assert not known["ExternalDocumentID"].may_be_created
    assert contracts[PARTNERS].sets["A_BusinessPartner"].properties["BusinessPartnerIDByExtSystem"].length == 20


def test_an_order_has_a_version_and_its_items_have_none(contracts: dict[str, Contract]) -> None:
    """So a changeset carries If-Match at the header; a partner has none at all."""
    assert contracts[ORDERS].sets["A_SalesOrder"].etag == ("LastChangeDateTime",)
    assert contracts[ORDERS].sets["A_SalesOrderItem"].etag == ()
    assert contracts[PARTNERS].sets["A_BusinessPartner"].etag == ()


# -- the simulator ----------------------------------------------------------------------------------------------------

PUBLISHED = [
    one
    for one in ENTITY_SETS.values()
    if one.service not in ("API_CRDTMBUSINESSPARTNER", "API_SALES_ORDER_SIMULATION_SRV")
]
"""The two others have no EDMX that anybody may read."""


@pytest.mark.parametrize("schema", PUBLISHED, ids=[one.name for one in PUBLISHED])
def test_the_simulator_is_no_more_generous_than_the_real_one(contracts: dict[str, Contract], schema: EntitySet) -> None:
    known = contracts[schema.service].sets[schema.name]
    assert schema.entity_type == f"{schema.service}.{known.entity_type}"
    assert schema.key == known.key
    assert (schema.etag,) == (known.etag or (None,))
    assert schema.may <= known.may
    for name, one in schema.properties.items():
        found = known.properties[name]
        assert one.kind == found.kind, name
        if one.kind is Kind.TEXT:
            assert one.length == found.length, name
        if one.kind is Kind.NUMBER:
            assert (one.precision, one.scale) == (found.precision, found.scale), name
        is_ours = name in schema.key and len(schema.key) > 1
        if not found.may_be_created and not found.may_be_changed and not is_ours and schema.may:
            assert name in schema.read_only, name
    for name, navigation in schema.navigations.items():
        target, is_many = known.navigations[name]
        assert (ENTITY_SETS[navigation.target].name + "Type", navigation.many) == (target, is_many), name
