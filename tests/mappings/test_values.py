"""What each kind of field takes, and how it says no. A wrong conversion here would put a wrong value into the CRM."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.errors import InvalidValue, UnmappedCode, UnresolvedReference
from crm_core.ids import EntityType
from mappings.compiler import compile_mapping
from mappings.documents import load_document
from tests.mappings.samples import mapped, product, product_text

PRICE = product("list_price: price")
LEAD = product("lead_time_days: lead")


@given(sign=st.sampled_from(["", "-"]), digits=st.text("0123456789", min_size=1, max_size=38), point=st.integers(0, 37))
def test_whatever_decimal_text_a_price_is_it_arrives_exactly(sign: str, digits: str, point: int) -> None:
    point = min(point, len(digits))
    text = f"{sign}{digits[: len(digits) - point] or '0'}.{digits[len(digits) - point :]}" if point else sign + digits
    value = mapped(PRICE, {"price": text})["list_price"]
    assert type(value) is Decimal
    assert value == Decimal(text)
    assert mapped(PRICE, {"price": Decimal(text)})["list_price"] == Decimal(text)


@given(st.integers(-(10**38) + 1, 10**38 - 1))
def test_whatever_whole_number_a_price_is_it_arrives_exactly(number: int) -> None:
    assert mapped(PRICE, {"price": number})["list_price"] == Decimal(number)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("12.50", "12.50"),
        (12, "12"),
        (Decimal("0.1"), "0.1"),
        ("1E3", "1E+3"),
        ("-2.5e-3", "-0.0025"),
        ("12345678901234567890.12", "12345678901234567890.12"),
        ("99999999999999999999999999999999999999", "99999999999999999999999999999999999999"),
    ],
)
def test_a_number_is_taken_as_sent(raw: Any, value: str) -> None:
    assert str(mapped(PRICE, {"price": raw})["list_price"]) == value


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("NaN", "'NaN' is not a finite number"),
        (Decimal("NaN"), "NaN is not a finite number"),
        ("sNaN", "'sNaN' is not a"),
        ("Infinity", "'Infinity' is not a finite number"),
        ("-inf", "'-inf' is not a finite number"),
        ("1,5", "'1,5' is not a number"),
        (" 7 ", "' 7 ' is not a number"),
        ("1_000", "'1_000' is not a number"),
        ("١٢", "is not a number"),
        ("abc", "'abc' is not a number"),
        ("", "empty"),
        (True, "true is not a number"),
        (1.5, "1.5 is not a number"),
        ({"amount": 1}, "an object of 1 names is not a number"),
        ([1], "a list of 1 is not a number"),
        ("1" * 39, "has more than 38 digits"),
        ("1E38", "has more than 38 digits"),
        ("1E-80", "has more than 38 digits"),
        ("1E999999999", "is not a number"),
        (Decimal("1e400"), "has more than 38 digits"),
        ("9" * 5000, "is not a number"),
    ],
)
def test_what_is_no_exact_number_never_becomes_a_price(raw: Any, reason: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        mapped(PRICE, {"price": raw})
    assert reason in str(caught.value) or (raw == "1E999999999" and "38 digits" in str(caught.value))
    assert (caught.value.field, caught.value.source) == ("list_price", "price")
    assert str(caught.value).startswith("list_price: ")
    assert str(caught.value).endswith("(from price)")
    assert len(str(caught.value)) < 160


@pytest.mark.parametrize(("raw", "value"), [(5, 5), ("5", 5), (Decimal("5.00"), 5), ("-3", -3), (2**63 - 1, 2**63 - 1)])
def test_an_integer_is_exact(raw: Any, value: int) -> None:
    found = mapped(LEAD, {"lead": raw})["lead_time_days"]
    assert (type(found), found) == (int, value)


@pytest.mark.parametrize("raw", ["5.5", Decimal("0.1"), True, "five", 2**63, "1E30", []])
def test_what_is_no_integer_is_refused_not_rounded(raw: Any) -> None:
    with pytest.raises(InvalidValue, match=r"^lead_time_days: "):
        mapped(LEAD, {"lead": raw})


@pytest.mark.parametrize(
    ("rule", "raw", "value"),
    [
        ("list_price: {from: price, decimals: 2}", "2.345", "2.35"),
        ("list_price: {from: price, decimals: 2}", "-2.345", "-2.35"),
        ("list_price: {from: price, decimals: 4}", Decimal("0.30000000000000004"), "0.3000"),
        ("list_price: {from: price, decimals: 0}", "0.5", "1"),
    ],
)
def test_decimals_round_half_up(rule: str, raw: Any, value: str) -> None:
    assert str(mapped(product(rule), {"price": raw})["list_price"]) == value


@pytest.mark.parametrize(
    ("rule", "raw", "value"),
    [
        ("x", "2026-01-31T10:00:00Z", "2026-01-31T10:00:00+00:00"),
        ("x", "2026-01-31T10:00:00.1234567Z", "2026-01-31T10:00:00.123456+00:00"),
        ("x", "2026-01-31T10:00:00.5+02:00", "2026-01-31T08:00:00.500000+00:00"),
        ("x", "2026-01-31 10:00:00-05:30", "2026-01-31T15:30:00+00:00"),
        ("{from: x, zone: Europe/Berlin}", "2026-07-01T10:00:00", "2026-07-01T08:00:00+00:00"),
        ("{from: x, zone: Europe/Berlin}", "2026-01-01", "2025-12-31T23:00:00+00:00"),
        ("{from: x, zone: Europe/Berlin}", "2026-01-01T10:00:00Z", "2026-01-01T10:00:00+00:00"),
        # clocks go back at 03:00 on 25 October: 02:30 is there twice, the first one counts
        ("{from: x, zone: Europe/Berlin}", "2026-10-25T02:30:00", "2026-10-25T00:30:00+00:00"),
        ('{from: x, zone: UTC, format: "%d.%m.%Y %H:%M"}', "31.01.2026 10:05", "2026-01-31T10:05:00+00:00"),
        ("{from: x, format: unix_seconds}", 1767225600, "2026-01-01T00:00:00+00:00"),
        ("{from: x, format: unix_milliseconds}", "1767225600123", "2026-01-01T00:00:00.123000+00:00"),
    ],
)
def test_instants_become_utc(rule: str, raw: Any, value: str) -> None:
    found = stock_level(rule, raw)
    assert found.isoformat() == value
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    ("rule", "raw", "reason"),
    [
        ("x", "2026-01-31T10:00:00", "has no time zone; `zone:`"),
        ("x", "2026-01-31", "is not a date and time with a zone"),
        ("x", "2026-02-30T10:00:00Z", "is not a date and time"),
        ("x", "2026-W05-1T10:00:00Z", "is not a date and time"),
        ("x", "20260131T100000Z", "is not a date and time"),
        ("x", 1767225600, "is not a date and time"),
        ("x", "0001-01-01T00:00:00+14:00", "is out of range"),
        ("x", None, "is null"),
        ('{from: x, format: "%d.%m.%Y"}', "01.02.2026", "has no time zone"),
        ("{from: x, format: unix_seconds}", "1E20", "is not a date or time"),
    ],
)
def test_a_moment_that_is_not_sure_is_refused(rule: str, raw: Any, reason: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        stock_level(rule, raw)
    assert reason in str(caught.value)
    assert caught.value.field == "as_of"


def stock_level(rule: str, raw: Any) -> datetime:
    text = f"""
entity: stock_level
connector: tryton
fields:
  warehouse_id: {{reference: warehouse, from: wh}}
  product_id: {{reference: product, from: p}}
  on_hand: q
  as_of: {rule}
"""
    mapping = compile_mapping(load_document(text), {"wh": "any", "p": "any", "q": "any", "x": "any"})
    values = mapping.apply({"wh": 1, "p": 2, "q": 3, "x": raw}, lambda entity, key: int(key))
    result: datetime = dict(zip(mapping.fields, values, strict=True))["as_of"]
    return result


@pytest.mark.parametrize(
    ("rule", "raw", "value"),
    [
        ("x", "2026-01-31", date(2026, 1, 31)),
        ("x", "2026-01-31T00:00:00", date(2026, 1, 31)),
        ("x", None, None),
        ("x", "", None),
        ('{from: x, empty: ["0001-01-01"]}', "0001-01-01", None),
        # midnight in Berlin, sent as UTC, is the next day there
        ("{from: x, zone: Europe/Berlin}", "2026-01-31T23:00:00Z", date(2026, 2, 1)),
        ("{from: x, zone: Europe/Berlin}", "2026-01-31T23:00:00", date(2026, 1, 31)),
        ('{from: x, format: "%d.%m.%Y"}', "31.01.2026", date(2026, 1, 31)),
    ],
)
def test_dates(rule: str, raw: Any, value: date | None) -> None:
    assert price_list(rule, raw) == value


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("2026-01-31T10:00:00", "has a time of day"),
        ("2026-01-31T00:00:00Z", "its date depends on the zone"),
        ("2026-13-01", "is not a date"),
        ("2026-W05-1", "is not a date"),
        ("31.01.2026", "is not a date"),
        (20260131, "is not a date"),
    ],
)
def test_a_date_is_not_guessed(raw: Any, reason: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        price_list("x", raw)
    assert reason in str(caught.value)


def price_list(rule: str, raw: Any) -> date | None:
    text = f"""
entity: price_list
connector: tryton
fields: {{code: c, name: c, currency: {{value: EUR}}, valid_from: {rule if rule[0] == "{" else f"{{from: {rule}}}"}}}
"""
    mapping = compile_mapping(load_document(text), {"c": "text", "x": "any"})
    values = mapping.apply({"c": "L", "x": raw}, lambda entity, key: 1)
    result: date | None = dict(zip(mapping.fields, values, strict=True))["valid_from"]
    return result


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"code": None}, "code: is null (from code)"),
        ({"code": ""}, "code: is empty (from code)"),
        ({"code": "x" * 201}, "code: has 201 characters, may have 1 to 200 (from code)"),
        ({"code": "a\0b"}, "code: 'a\\x00b' holds a NUL character (from code)"),
        ({"code": True}, "code: true is not a text (from code)"),
        ({"code": Decimal("1.0")}, "code: 1.0 is not a text (from code)"),
        ({"currency": "eur"}, "currency: 'eur' does not look like ^[A-Z]{3}$ (from currency)"),
        ({"currency": "EUR\n"}, "currency: 'EUR\\n' does not look like ^[A-Z]{3}$ (from currency)"),
        ({"type": "kit"}, "kind: 'kit' is not one of goods, service, assembly, other (from type)"),
        ({"template": "T"}, "category: 'T' is not an object with 'name' (from template.name)"),
    ],
)
def test_a_text_keeps_to_its_field(record: dict[str, Any], reason: str) -> None:
    mapping = product("currency: currency\nkind: {from: type, default: goods}\ncategory: template.name")
    with pytest.raises(InvalidValue) as caught:
        mapped(mapping, record)
    assert str(caught.value) == reason


def test_a_number_in_a_code_field_becomes_its_text() -> None:
    assert mapped(product(""), {"code": 4711})["code"] == "4711"


def test_a_missing_name_says_so_and_null_says_so() -> None:
    mapping = product("")
    with pytest.raises(InvalidValue, match=r"^name: is missing from the record"):
        mapping.apply({"code": "a"}, lambda entity, key: 1)
    with pytest.raises(InvalidValue, match=r"^name: is null"):
        mapping.apply({"code": "a", "name": None}, lambda entity, key: 1)
    with pytest.raises(InvalidValue, match=r"^name: is empty"):
        mapping.apply({"code": "a", "name": ""}, lambda entity, key: 1)


@pytest.mark.parametrize(
    ("rule", "record", "value"),
    [
        ("x", {}, None),
        ("x", {"x": None}, None),
        ("x", {"x": ""}, None),
        ("x", {"x": "text"}, "text"),
        ("{from: x, default: none told}", {}, "none told"),
        ("{from: x, default: none told}", {"x": None}, "none told"),
        ("{from: x, default: none told}", {"x": ""}, "none told"),
        ('{from: x, empty: ["-", "0"], default: none told}', {"x": 0}, "none told"),
        ('{from: x, empty: ["-"]}', {"x": "-"}, None),
        ("{from: x, missing: error}", {"x": None}, None),
    ],
)
def test_missing_null_and_empty_where_nothing_is_allowed(rule: str, record: dict[str, Any], value: Any) -> None:
    assert mapped(product(f"description: {rule}"), record)["description"] == value


def test_missing_can_be_an_error_though_null_is_not() -> None:
    with pytest.raises(InvalidValue, match=r"^description: is missing from the record \(from x\)$"):
        mapped(product("description: {from: x, missing: error}"), {})
    with pytest.raises(InvalidValue, match=r"^description: is null"):
        mapped(product("description: {from: x, required: true}"), {"x": None})


def test_a_credit_limit_that_is_not_told_never_reads_as_no_limit() -> None:
    text = """
entity: credit
connector: tryton
fields: {account_id: {reference: account, from: id}, currency: {value: EUR}, limit: limit, as_of: at}
"""
    mapping = compile_mapping(load_document(text), {"id": "integer", "limit": "number", "at": "instant"})
    record = {"id": 1, "at": "2026-01-01T00:00:00Z"}
    with pytest.raises(InvalidValue, match=r"^limit: is missing from the record"):
        mapping.apply(record, lambda entity, key: 1)
    with pytest.raises(InvalidValue, match=r"^limit: "):
        mapping.apply({**record, "limit": ""}, lambda entity, key: 1)
    place = mapping.fields.index("limit")
    assert mapping.apply({**record, "limit": None}, lambda entity, key: 1)[place] is None
    assert mapping.apply({**record, "limit": 0}, lambda entity, key: 1)[place] == Decimal(0)


@pytest.mark.parametrize("raw", [1, 0, "true", "yes", None, ""])
def test_a_boolean_is_true_or_false_only(raw: Any) -> None:
    text = product_text().replace("product", "price_list") + "  currency: {value: EUR}\n  is_tax_included: x\n"
    mapping = compile_mapping(load_document(text), {"code": "text", "name": "text", "x": "any"})
    with pytest.raises(InvalidValue, match=r"^is_tax_included: "):
        mapped(mapping, {"x": raw})
    assert mapped(mapping, {"x": True})["is_tax_included"] is True


@pytest.mark.parametrize(
    ("raw", "value"),
    [(True, "active"), (False, "inactive"), ("true", "active"), ("gone", "inactive"), (None, "active")],
)
def test_value_maps_compare_codes_as_text(raw: Any, value: str) -> None:
    rule = "status: {from: x, map: {true: active, false: inactive, gone: inactive, null: active}}"
    assert mapped(product(rule), {"x": raw})["status"] == value


@pytest.mark.parametrize("raw", [30, "30", Decimal("30")])
def test_a_number_as_code_matches_whatever_its_type(raw: Any) -> None:
    assert (
        mapped(product("tax_code: {from: x, map: terms}", maps="terms: {30: full, 010: reduced}"), {"x": raw})[
            "tax_code"
        ]
        == "full"
    )


def test_an_unknown_code_is_never_guessed() -> None:
    mapping = product("kind: {from: type, map: kinds}", maps="kinds: {goods: goods, service: service}")
    with pytest.raises(UnmappedCode) as caught:
        mapped(mapping, {"type": "servise"})
    assert str(caught.value) == "kind: no line for code 'servise'; did you mean 'service'?"
    assert (caught.value.field, caught.value.source) == ("kind", "type")
    with pytest.raises(UnmappedCode):
        mapped(mapping, {"type": ["goods"]})
    with pytest.raises(UnmappedCode) as caught:
        mapped(mapping, {"type": "y" * 5000})
    assert len(str(caught.value)) < 200


def test_otherwise_takes_unknown_codes_but_not_an_empty_one() -> None:
    mapping = product("kind: {from: type, map: {A: assembly}, otherwise: other}")
    assert mapped(mapping, {"type": "Z"})["kind"] == "other"
    with pytest.raises(InvalidValue, match=r"^kind: is null"):
        mapped(mapping, {"type": None})


def test_references_go_by_external_id_or_by_natural_key() -> None:
    asked: list[tuple[EntityType, str]] = []

    def resolve(entity: EntityType, key: str) -> int:
        asked.append((entity, key))
        return 40 + len(asked)

    by_id = product("unit_group_id: {reference: unit_group, from: template.uom.id}")
    by_code = product("unit_group_id: {reference: unit_group, by: code, from: template.uom.symbol}")
    record = {"template": {"uom": {"id": 3, "symbol": "kg"}}}
    assert mapped(by_id, record, resolve)["unit_group_id"] == 41
    assert mapped(by_code, record, resolve)["unit_group_id"] == 42
    assert asked == [(EntityType.UNIT_GROUP, "3"), (EntityType.UNIT_GROUP, "?code=kg")]
    assert by_id.references({"code": "a", **record}) == asked[:1]
    assert by_code.references({"code": None, "name": 5, **record}) == asked[1:]
    assert mapped(by_id, {"template": None}, resolve)["unit_group_id"] is None
    with pytest.raises(InvalidValue, match=r"a leading"):
        mapped(by_id, {"template": {"uom": {"id": "?code=kg"}}}, resolve)


@pytest.mark.parametrize("error", [UnresolvedReference("unit_group", "3"), KeyError("3")])
def test_an_unresolved_reference_names_our_field_and_theirs(error: Exception) -> None:
    def resolve(entity: EntityType, key: str) -> int:
        raise error

    with pytest.raises(UnresolvedReference) as caught:
        mapped(product("unit_group_id: {reference: unit_group, from: x}"), {"x": "3"}, resolve)
    fault = caught.value
    assert (fault.field, fault.source, fault.entity, fault.external_id) == ("unit_group_id", "x", "unit_group", "3")


def test_an_amount_in_another_currency_than_its_record_is_refused() -> None:
    mapping = product(
        "currency: currency\nlist_price: {from: price, currency: x}\ncost_price: {from: price, currency: EUR}"
    )
    assert mapped(mapping, {"price": 1, "currency": "EUR", "x": "EUR"})["list_price"] == 1
    with pytest.raises(InvalidValue) as caught:
        mapped(mapping, {"price": 1, "currency": "EUR", "x": "USD"})
    assert str(caught.value) == "list_price: is in 'USD', but the currency of the record is 'EUR' (from x)"
    with pytest.raises(InvalidValue, match=r"^cost_price: is in 'EUR', but the currency of the record is 'USD'"):
        mapped(mapping, {"price": 1, "currency": "USD", "x": "USD"})
    assert mapped(mapping, {"price": None, "currency": "USD", "x": "EUR"})["list_price"] is None
