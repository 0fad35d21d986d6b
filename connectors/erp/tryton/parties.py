"""Parties as accounts and contacts, and what they owe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

from connectors.envelopes import Page, SourceRecord
from connectors.erp.tryton.catalogue import COMPANY
from connectors.erp.tryton.client import ALSO_INACTIVE, Domain, TrytonClient
from connectors.erp.tryton.receivables import open_items, overdue_by_age
from connectors.erp.tryton.records import Row, tagged
from connectors.erp.tryton.streams import (
    STAMPS,
    Position,
    Table,
    TableStream,
    as_of_now,
    batches,
    changed_since,
    found,
    id_of,
    of_company,
    page_of,
    record_of,
)
from connectors.ports import Replication
from connectors.shapes import Shape
from crm_core.errors import ProtocolViolation
from crm_core.ids import ExternalId

MECHANISM: Shape = {"id": "integer", "type": "text", "value": "text", "name": "text", "active": "boolean"}
ADDRESS_ASKED: Shape = {
    "id": "integer",
    "active": "boolean",
    "party_name": "text",
    "attn": "text",
    "street": "text",
    "postal_code": "text",
    "city": "text",
    "country": {"id": "integer", "code": "text"},
    "subdivision": {"id": "integer", "name": "text", "code": "text"},
    "invoice": "boolean",
    "delivery": "boolean",
}
ADDRESS: Shape = {**ADDRESS_ASKED, "is_bill_to": "boolean", "is_ship_to": "boolean"}
PARTY_ASKED: Shape = {
    "id": "integer",
    "code": "text",
    "name": "text",
    "active": "boolean",
    "lang": {"id": "integer", "code": "text"},
    "tax_identifier": {"id": "integer", "type": "text", "code": "text"},
    "identifiers": [{"id": "integer", "type": "text", "code": "text"}],
    "addresses": [ADDRESS_ASKED],
    "contact_mechanisms": [MECHANISM],
    "customer_payment_term": {"id": "integer", "name": "text"},
    "sale_price_list": {"id": "integer", "name": "text"},
    "replaced_by": "integer",
}
ACCOUNT: Shape = {**PARTY_ASKED, "addresses": [ADDRESS], "is_customer": "boolean", "company": COMPANY}
PERSON_ASKED: Shape = {"id": "integer", "code": "text", "name": "text", "active": "boolean"}
CONTACTS_ASKED: Shape = {**PERSON_ASKED, "contact_mechanisms": [MECHANISM]}
RELATION: Shape = {
    "id": "integer",
    "to": "integer",
    "active": "boolean",
    "type": {"id": "integer", "name": "text"},
    "from_": {**PERSON_ASKED, "contact_mechanisms": [MECHANISM]},
}
CONTACT: Shape = {
    "party": PERSON_ASKED,
    "name": "text",
    "role": "text",
    "active": "boolean",
    "mechanisms": [MECHANISM],
}
OWED_ASKED: Shape = {
    **PERSON_ASKED,
    "receivable": "number",
    "credit_amount": "number",
    "credit_limit_amount": "number",
    "currency": {"id": "integer", "code": "text"},
}
CREDIT: Shape = {
    "party": PERSON_ASKED,
    "currency": "text",
    "credit_limit_amount": "number",
    "credit_amount": "number",
    "receivable": "number",
    "open_orders": "number",
    "overdue": "number",
    "overdue_1_30": "number",
    "overdue_31_60": "number",
    "overdue_61_90": "number",
    "overdue_over_90": "number",
    "company": COMPANY,
    "@as_of": "instant",
}
SOLD_STATES = ["confirmed", "processing", "done"]
BILLED_STATES = ["posted", "paid"]


def not_ourselves(client: TrytonClient) -> Domain:
    """All parties but the company's own."""
    return [["id", "!=", client.company.party_id]]


def customers_among(client: TrytonClient, ids: Sequence[int]) -> set[int]:
    """Those parties that have a confirmed order or a posted invoice.

    Asks for a page of documents at a time and leaves out whom it has found, so that a customer with many documents
    costs no more than one with a single one.
    """
    customers: set[int] = set()
    for model, domain in (
        ("sale.sale", [["state", "in", SOLD_STATES]]),
        ("account.invoice", [["state", "in", BILLED_STATES], ["type", "=", "out"]]),
    ):
        wanted = set(ids) - customers
        while wanted:
            asked = [*domain, ["company", "=", client.company.id], ["party", "in", sorted(wanted)]]
            rows = client.search_read(model, asked, {"party": "integer"}, limit=client.page_size)
            customers |= {row["party"] for row in rows}
            wanted -= customers
            if len(rows) < client.page_size:
                break
    return customers


def in_use(items: Sequence[Row]) -> list[Row]:
    """Addresses or contact mechanisms without the deactivated ones, which Tryton itself no longer offers."""
    return [item for item in items if item["active"] is not False]


def with_roles(addresses: Sequence[Row]) -> list[Row]:
    """Addresses that say what they are for. Where none is flagged Tryton takes the first, and so do we."""
    roles = {"is_bill_to": "invoice", "is_ship_to": "delivery"}
    flagged = {role: any(address[flag] for address in addresses) for role, flag in roles.items()}
    return [
        {**address, **{role: bool(address[flag]) if flagged[role] else n == 0 for role, flag in roles.items()}}
        for n, address in enumerate(addresses)
    ]


def accounts(client: TrytonClient, shape: Shape = PARTY_ASKED) -> TableStream:
    """Every party but our own, whether or not it has bought yet."""
    follows = ("addresses", "contact_mechanisms", "identifiers", "sale_price_lists", "payment_terms", "langs")
    clocks = ("party.address", "party.contact_mechanism", "sale.sale", "account.invoice")
    table = Table("party.party", shape, not_ourselves(client), follows=follows, clocks=clocks)

    def make(rows: list[Row]) -> list[SourceRecord]:
        customers = customers_among(client, [row["id"] for row in rows])
        company = of_company(client)
        made = []
        for row in rows:
            payload = {
                **row,
                "addresses": with_roles(in_use(row["addresses"])),
                "contact_mechanisms": in_use(row["contact_mechanisms"]),
                "is_customer": row["id"] in customers,
                "company": company,
            }
            made.append(record_of(row["id"], payload))
        return made

    def with_documents(begin: datetime) -> list[int]:
        """Parties whose orders or invoices changed: the first makes a customer, a cancelled one may make a prospect."""
        parties: set[int] = set()
        for model, domain in (("sale.sale", []), ("account.invoice", [["type", "=", "out"]])):
            asked = [*domain, ["company", "=", client.company.id], changed_since(begin, ())]
            parties |= {row["party"] for row in client.search_all(model, asked, {"party": "integer"})}
        return sorted(parties)

    return TableStream(client, table, make, extra=with_documents)


class Contacts(TableStream):
    """Persons and desks at a party: the names on its contact mechanisms, and parties related to it as contacts.

    An id is `<party>:<name>` for the first kind (a name has no id of its own in Tryton), `r<relation>` for the second.
    """

    def __init__(self, client: TrytonClient, relation_names: Sequence[str]) -> None:
        self._has_relations = bool(relation_names) and client.has_module("party_relationship")
        self._relation_names = list(relation_names)
        table = Table(
            "party.party",
            CONTACTS_ASKED,
            not_ourselves(client),
            follows=("contact_mechanisms",),
            clocks=("party.contact_mechanism",),
        )
        super().__init__(client, table, self._contacts, extra=self._with_changed_relations)

    def get(self, external_id: ExternalId) -> SourceRecord:
        """One contact. Raises RecordNotFound."""
        if external_id[:1] != "r":
            return self.get_by_row(id_of(external_id.partition(":")[0], "party"), external_id)
        if not self._has_relations:
            return found([], external_id, "contact")
        number = id_of(external_id[1:], "relation")
        rows = self._client.search_read(
            "party.relation.all", [["id", "=", number]], {"to": "integer"}, context=ALSO_INACTIVE
        )
        return self.get_by_row(rows[0]["to"] if rows else 0, external_id)

    def _with_changed_relations(self, begin: datetime) -> list[int]:
        if not self._has_relations:
            return []
        changed = changed_since(begin, ("from_", "from_.contact_mechanisms"))
        domain = [["type.name", "in", self._relation_names], changed]
        rows = self._client.search_read("party.relation.all", domain, {"to": "integer"}, context=ALSO_INACTIVE)
        return sorted({row["to"] for row in rows})

    def _contacts(self, rows: list[Row]) -> list[SourceRecord]:
        made = [contact for row in rows for contact in _named(row)]
        if not rows or not self._has_relations:
            return made
        by_id = {row["id"]: row for row in rows}
        domain = [["to", "in", list(by_id)], ["type.name", "in", self._relation_names]]
        relations = self._client.search_read("party.relation.all", domain, RELATION, context=ALSO_INACTIVE)
        return made + [_related(by_id[relation["to"]], relation) for relation in relations]


def _head(party: Row) -> Row:
    return {name: party[name] for name in PERSON_ASKED}


def _named(party: Row) -> Iterator[SourceRecord]:
    by_name: dict[str, list[Row]] = {}
    for mechanism in party["contact_mechanisms"]:
        if name := (mechanism["name"] or "").strip():
            by_name.setdefault(name, []).append(mechanism)
    for name, mechanisms in by_name.items():
        is_active = party["active"] and any(mechanism["active"] for mechanism in mechanisms)
        ways = in_use(mechanisms) or mechanisms
        payload = {"party": _head(party), "name": name, "role": None, "active": is_active, "mechanisms": ways}
        yield record_of(f"{party['id']}:{name}", payload, stamps=party)


def _related(party: Row, relation: Row) -> SourceRecord:
    person = relation["from_"]
    payload = {
        "party": _head(party),
        "name": person["name"] or person["code"],
        "role": relation["type"]["name"],
        "active": party["active"] and person["active"] and relation["active"],
        "mechanisms": in_use(person["contact_mechanisms"]),
    }
    return record_of(f"r{relation['id']}", payload, stamps=party)


class Credits:
    """Limit and debts of every account, in the company's currency. Read whole: being overdue comes with time alone.

    credit_limit_amount: null = no limit agreed, 0 = no credit; believed only when the company's currency comes back
    in the same row, because without a company in its context Tryton answers null. receivable: posted and not yet
    reconciled. open_orders: credit_amount - receivable, which is Tryton's own figure for what is confirmed and not yet
    invoiced (untaxed), null where the module sale_credit_limit is not activated. An id is that of the party.
    """

    replication = Replication.FULL

    def __init__(self, client: TrytonClient, shape: Shape = OWED_ASKED) -> None:
        self._client = client
        self._table = Table("party.party", shape, not_ourselves(client))

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        """The credit of all accounts; `since` makes no difference."""
        last_id = Position.parse(resume).last_id if resume is not None else 0
        counts_orders = self._client.has_module("sale_credit_limit")
        for batch in batches(self._client, self._table, [], last_id, self._client.page_size):
            made = self._credits(batch.rows, counts_orders=counts_orders)
            yield page_of(made, resume=None if batch.is_last else str(Position(None, batch.last_id)))

    def get(self, external_id: ExternalId) -> SourceRecord:
        """The credit of one account, now. Raises RecordNotFound."""
        domain = [["id", "=", id_of(external_id, "party")], self._table.domain]
        rows = self._client.search_read("party.party", domain, {**self._table.shape, **STAMPS}, context=ALSO_INACTIVE)
        counts_orders = self._client.has_module("sale_credit_limit")
        return found(self._credits(rows, counts_orders=counts_orders), external_id, "party")

    def _credits(self, parties: list[Row], *, counts_orders: bool) -> list[SourceRecord]:
        if not parties:
            return []
        as_of, company = as_of_now(self._client), self._client.company
        today = date.fromisoformat(self._client.today())
        lines = self._open_lines([row["id"] for row in parties], today)
        made = []
        for row in parties:
            if (row["currency"] or {}).get("id") != company.currency_id:
                raise ProtocolViolation(
                    f"party {row['id']} comes back without the currency of company {company.id}: the company in the "
                    "context was not taken, so that a limit of null would say nothing",
                    operation="party.party.read",
                )
            receivable = _needed(row, "receivable")
            payload = {
                "party": _head(row),
                **{name: value for name, value in row.items() if name not in PERSON_ASKED},
                "currency": company.currency,
                "receivable": receivable,
                "open_orders": _needed(row, "credit_amount") - receivable if counts_orders else None,
                **overdue_by_age(open_items(lines.get(row["id"], ())), today),
                "company": of_company(self._client),
            }
            made.append(record_of(row["id"], payload, as_of=as_of))
        return made

    def _open_lines(self, parties: list[int], today: date) -> Mapping[int, Sequence[Row]]:
        """Receivable lines that are open, as Tryton counts them: a reconciliation of a later date does not close."""
        domain = [
            ["party", "in", parties],
            ["account.type.receivable", "=", True],
            ["account.company", "=", self._client.company.id],
            ["OR", ["reconciliation", "=", None], ["reconciliation.date", ">", tagged(today)]],
        ]
        shape: Shape = {
            "party": "integer",
            "debit": "number",
            "credit": "number",
            "maturity_date": "date",
            "date": "date",
            "invoice_payments": "any",
            "move": {"id": "integer", "origin": "text"},
        }
        by_party: dict[int, list[Row]] = {}
        for line in self._client.search_all("account.move.line", domain, shape):
            by_party.setdefault(line["party"], []).append(line)
        return by_party


def _needed(row: Row, name: str) -> Decimal:
    value = row[name]
    if not isinstance(value, Decimal):
        raise ProtocolViolation(f"party {row['id']} comes back without {name}", operation="party.party.read")
    return value
