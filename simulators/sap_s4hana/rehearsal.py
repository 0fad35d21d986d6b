"""A small company in the simulated S/4HANA, as the conformance suite and the chaos run see any back office."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from simulators.rehearsal import Held, Sellable
from simulators.sap_s4hana.seed import add_contact, add_customer
from simulators.sap_s4hana.seed_goods import add_condition, add_product, add_stock
from simulators.sap_s4hana.server import SapSimulator
from simulators.sap_s4hana.values import Value
from simulators.server import LoopbackServer

_OURS = re.compile(r"(?<![0-9A-Za-z])CF[0-9A-HJKMNP-TV-Z]{13}(?![0-9A-Za-z])")
"""What our references look like; the simulators know nobody of the other packages."""

_INVOICED = ("M", "O", "P")
_KINDS = ("PriceListType", "CustomerPriceGroup", "Customer")


class Rehearsal:
    """Six customers, twelve products with units and prices, two plants, some documents; Basic authentication.

    Base units and plants are values of other records: `touch` raises KeyError for them, as a user cannot change them. A
    price list is touched by a change of one of its conditions, of which the list itself shows nothing. An order is
    removed by rejecting its items, a price by deleting its condition record.
    """

    connector = "sap_s4hana"
    answer_seconds = 0.4
    entities: Sequence[str] = (
        "unit_group",
        "product",
        "price_list",
        "price",
        "warehouse",
        "stock_level",
        "account",
        "contact",
        "credit",
        "order",
        "invoice",
    )

    def __init__(self) -> None:
        self.simulator = SapSimulator.seeded(products=12, customers=6)
        self.http: LoopbackServer = self.simulator.http
        self._added = 0

    def __enter__(self) -> Self:
        self.simulator.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.simulator.stop()

    def options(self) -> dict[str, Any]:
        """See `Rehearsal.options`."""
        settings = self.simulator.settings
        return {
            "base_url": self.simulator.url,
            "user": settings.user,
            "password": settings.password,
            "sales_organization": "1010",
            "distribution_channel": "10",
            "division": "00",
            "rejection_reason": "61",
            "discount_condition_type": "DRN1",
        }

    def sellable(self) -> Sellable:
        """See `Rehearsal.sellable`: customers without a limit or block that pay in EUR, products sold in the area."""
        free = [
            row["BusinessPartner"]
            for row in self.simulator.rows("CreditManagementAccount", CreditAccountIsBlocked=False)
            if not row["CreditLimitAmount"] and not row["CreditLimitIsZero"]
        ]
        paying = {row["Customer"] for row in self.simulator.rows("A_CustomerSalesArea", Currency="EUR")}
        customers = [row for row in self._customers() if row["BusinessPartner"] in free and row["Customer"] in paying]
        sold = {row["Product"] for row in self.simulator.rows("A_ProductSalesDelivery", ProductSalesStatus="")}
        products = self.simulator.rows("A_Product", IsMarkedForDeletion=False, BaseUnit="PC")
        numbers = [str(row["Product"]) for row in products if row["Product"] in sold]
        return Sellable([str(row["Customer"]) for row in customers], numbers, "EUR", "1010")

    def ids(self, entity: str) -> set[str]:
        """See `Rehearsal.ids`."""
        rows = self.simulator.rows
        match entity:
            case "unit_group":
                return {str(row["BaseUnit"]) for row in rows("A_Product")}
            case "product":
                return {str(row["Product"]) for row in rows("A_Product")}
            case "price_list":
                return {_list_of(condition, validity) for condition, validity, _ in self._prices()}
            case "price":
                return {
                    f"{condition['ConditionRecord']}/1/{line}"
                    for condition, _, lines in self._prices()
                    for line in range(max(lines, 1))
                }
            case "warehouse":
                return {str(row["Plant"]) for row in self._stock()}
            case "stock_level":
                return {f"{row['Material']}/{row['Plant']}" for row in self._stock()}
            case "account":
                return {str(row["Customer"]) for row in self._customers()}
            case "contact":
                return {str(row["RelationshipNumber"]) for row in rows("A_BusinessPartnerContact")}
            case "credit":
                numbers = {row["BusinessPartner"]: str(row["Customer"]) for row in self._customers()}
                return {numbers[row["BusinessPartner"]] for row in rows("CreditManagementAccount")}
            case "order":
                return {str(row["SalesOrder"]) for row in rows("A_SalesOrder")}
            case "invoice":
                documents = rows("A_BillingDocument")
                return {str(row["BillingDocument"]) for row in documents if row["SDDocumentCategory"] in _INVOICED}
        raise KeyError(entity)

    def touch(self, entity: str, external_id: str) -> None:
        """See `Rehearsal.touch`."""
        simulator, number = self.simulator, self._next()
        match entity:
            case "product":
                simulator.change_product(external_id, ProductOldID=f"T{number}")
            case "price":
                record = external_id.partition("/")[0]
                simulator.change_condition(record, ConditionRateValue=Decimal(number))
                for line in simulator.rows("A_SlsPrcgCndnRecordScale", ConditionRecord=record):
                    rate = Decimal(number * 10 - int(str(line["ConditionScaleLine"])))
                    simulator.add("A_SlsPrcgCndnRecordScale", **{**line, "ConditionRateValue": rate})
            case "price_list":
                of_list = [one for one, key, _ in self._prices() if _list_of(one, key) == external_id]
                simulator.change_condition(str(of_list[0]["ConditionRecord"]))
            case "stock_level":
                material, _, plant = external_id.rpartition("/")
                row = next(row for row in self._stock() if (row["Material"], row["Plant"]) == (material, plant))
                quantity = row["MatlWrhsStkQtyInMatlBaseUnit"]
                assert isinstance(quantity, Decimal)
                simulator.add("A_MatlStkInAcctMod", **{**row, "MatlWrhsStkQtyInMatlBaseUnit": quantity + 1})
            case "account":
                simulator.change_partner(self._partner_of(external_id), SearchTerm1=f"T{number}")
            case "contact":
                (row,) = simulator.rows("A_BPContactToFuncAndDept", RelationshipNumber=external_id)
                simulator.add("A_BPContactToFuncAndDept", **{**row, "PhoneNumber": f"40 {number}"})
            case "credit":
                key = (self._partner_of(external_id), "1000")
                simulator.change("CreditManagementAccount", *key, CreditLimitAmount=Decimal(number * 1_000))
            case "order":
                before = simulator.get("A_SalesOrder", external_id)["DeliveryBlockReason"]
                simulator.change_order(external_id, DeliveryBlockReason="02" if before == "01" else "01")
            case "invoice":
                simulator.change_invoice(external_id, CustomerPaymentTerms=f"{number:04d}")
            case _:
                raise KeyError(f"nothing of a {entity} can be changed")

    def add(self, entity: str) -> str:
        """See `Rehearsal.add`."""
        number = 100 + 10 * self._next()  # of ten products the first is as any other, of customers as well
        match entity:
            case "product":
                with self.simulator.at_work() as office:
                    product = add_product(office, number)
                    office.books.change("A_Product", product, {"LastChangeDateTime": office.now})
                    return product.text("Product")
            case "price":
                product_number = self.sellable().products[0]
                with self.simulator.at_work() as office:
                    condition = add_condition(office, product_number, Decimal(number), table="308", PriceListType="02")
                    office.books.change("A_SlsPrcgConditionRecord", condition, {"LastChangeDateTime": office.now})
                    return f"{condition['ConditionRecord']}/1/0"
            case "stock_level":
                with self.simulator.at_work() as office:
                    product = add_product(office, number)
                    add_stock(office, product.text("Product"), "1010", Decimal(number))
                    return f"{product['Product']}/1010"
            case "account":
                with self.simulator.at_work() as office:
                    partner = add_customer(office, number)
                    office.books.change("A_BusinessPartner", partner, {"CreationDate": office.today})
                    return partner.text("Customer")
            case "contact":
                with self.simulator.at_work() as office:
                    return add_contact(office, 0)
            case "order" | "invoice":
                order = self._order(number)
                return order if entity == "order" else self.simulator.bill(order)
        raise KeyError(entity)

    def _order(self, number: int) -> str:
        sellable = self.sellable()
        return self.simulator.create_order(
            {
                "SalesOrderType": "OR",
                "SalesOrganization": "1010",
                "DistributionChannel": "10",
                "OrganizationDivision": "00",
                "SoldToParty": sellable.accounts[0],
                "PurchaseOrderByCustomer": f"PO-{number}",
                "to_Item": [{"Material": sellable.products[0], "RequestedQuantity": "2"}],
            }
        )

    def remove(self, entity: str, external_id: str) -> None:
        """See `Rehearsal.remove`."""
        simulator = self.simulator
        match entity:
            case "product":
                simulator.change_product(external_id, IsMarkedForDeletion=True)
            case "price":
                simulator.change_condition(external_id.partition("/")[0], ConditionIsDeleted=True)
            case "stock_level":
                material, _, plant = external_id.rpartition("/")
                with simulator.at_work() as office:
                    table = office.books.tables["A_MatlStkInAcctMod"]
                    found = [one for one in table.in_order() if (one["Material"], one["Plant"]) == (material, plant)]
                    for one in found:
                        office.books.remove("A_MatlStkInAcctMod", one)
            case "account":
                simulator.change_partner(self._partner_of(external_id), IsMarkedForArchiving=True)
            case "contact":
                (row,) = simulator.rows("A_BusinessPartnerContact", RelationshipNumber=external_id)
                names = ("RelationshipNumber", "BusinessPartnerCompany", "BusinessPartnerPerson", "ValidityEndDate")
                simulator.remove("A_BusinessPartnerContact", *(row[name] for name in names))
            case "credit":
                simulator.remove("CreditManagementAccount", self._partner_of(external_id), "1000")
            case "order":
                simulator.reject_order(external_id)
            case "invoice":
                simulator.cancel_invoice(external_id)
            case _:
                raise KeyError(f"no {entity} can be removed")

    def expire_credentials(self) -> None:
        """See `Rehearsal.expire_credentials`: sessions and their tokens; the password stays."""
        self.simulator.expire_credentials()

    def held(self, entity: str) -> list[Held]:
        """See `Rehearsal.held`."""
        if entity != "order":
            return [self._held_account(row) for row in self._customers()]
        items = self._by_order("A_SalesOrderItem")
        prices = self._by_order("A_SalesOrderItemPrElement", ConditionType="PPR0")
        orders = self.simulator.rows("A_SalesOrder")
        return [_held_order(row, items[row["SalesOrder"]], prices[row["SalesOrder"]]) for row in orders]

    def _by_order(self, entity_set: str, **values: Value) -> Mapping[Value, list[dict[str, Value]]]:
        """A set read once: thousands of orders are held after a chaos run."""
        found: dict[Value, list[dict[str, Value]]] = defaultdict(list)
        for row in self.simulator.rows(entity_set, **values):
            found[row["SalesOrder"]].append(row)
        return found

    def _held_account(self, row: Mapping[str, Value]) -> Held:
        number = row["BusinessPartner"]
        addresses = self.simulator.rows("A_BusinessPartnerAddress", BusinessPartner=number)
        address = addresses[0] if addresses else {}
        place = {"AddressID": address.get("AddressID", "")}
        emails = self.simulator.rows("A_AddressEmailAddress", **place)
        phones = self.simulator.rows("A_AddressPhoneNumber", **place)
        taxes = self.simulator.rows("A_BusinessPartnerTaxNumber", BusinessPartner=number)
        names = ("OrganizationBPName1", "OrganizationBPName2", "OrganizationBPName3", "OrganizationBPName4")
        if row["BusinessPartnerCategory"] == "1":
            names = ("FirstName", "LastName", "", "")
        return Held(
            str(row["Customer"]),
            _reference_in(row["BusinessPartnerIDByExtSystem"]),
            {
                "name": " ".join(str(row[name]) for name in names if name and row[name]),
                "email": emails[0]["EmailAddress"] if emails else None,
                "phone": phones[0]["PhoneNumber"] if phones else None,
                "tax_id": taxes[0]["BPTaxNumber"] if taxes else None,
                "city": address.get("CityName"),
            },
        )

    # -- small parts --------------------------------------------------------------------------------------------------

    def _customers(self) -> list[dict[str, Value]]:
        return [row for row in self.simulator.rows("A_BusinessPartner") if row["Customer"]]

    def _partner_of(self, customer: str) -> str:
        (row,) = self.simulator.rows("A_BusinessPartner", Customer=customer)
        return str(row["BusinessPartner"])

    def _stock(self) -> list[dict[str, Value]]:
        return self.simulator.rows("A_MatlStkInAcctMod", InventoryStockType="01", InventorySpecialStockType="")

    def _prices(self) -> list[tuple[dict[str, Value], dict[str, Value], int]]:
        """Conditions in force, each with its validity and the number of its scale's lines."""
        found = []
        for condition in self.simulator.rows("A_SlsPrcgConditionRecord", ConditionIsDeleted=False):
            place = {"ConditionRecord": condition["ConditionRecord"]}
            (validity,) = self.simulator.rows("A_SlsPrcgCndnRecdValidity", **place)
            found.append((condition, validity, len(self.simulator.rows("A_SlsPrcgCndnRecordScale", **place))))
        return found

    def _next(self) -> int:
        self._added += 1
        return self._added


def _held_order(row: Mapping[str, Value], items: list[dict[str, Value]], prices: list[dict[str, Value]]) -> Held:
    open_items = [item for item in items if not item["SalesDocumentRjcnReason"]]
    requested = row["RequestedDeliveryDate"]
    price_of = {price["SalesOrderItem"]: price["ConditionRateValue"] for price in reversed(prices)}
    return Held(
        str(row["SalesOrder"]),
        _reference_in(row["PurchaseOrderByCustomer"]),
        {
            "account": row["SoldToParty"],
            "currency": row["TransactionCurrency"],
            "requested_date": requested.isoformat() if isinstance(requested, date) else None,
            "lines": [
                {
                    "product": item["Material"],
                    "quantity": item["RequestedQuantity"],
                    "unit": item["RequestedQuantityUnit"],
                    "unit_price": price_of.get(item["SalesOrderItem"]),
                }
                for item in open_items or items
            ],
        },
        is_cancelled=bool(items) and not open_items,
    )


def _list_of(condition: Mapping[str, Value], validity: Mapping[str, Value]) -> str:
    kinds = [f"{kind}/{validity[kind]}" for kind in _KINDS if validity[kind]]
    return "/".join([str(condition["ConditionType"]), *(kinds or ["all"]), str(condition["ConditionCurrency"])])


def _reference_in(text: Value) -> str | None:
    found = _OURS.search(str(text))
    return found[0] if found else None
