"""An answer that is written without making its shape is the same, byte by byte."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from crm_core.credit import AGEING_BUCKETS
from crm_core.ids import ConnectionName, CrmId
from http_api.sales.shapes import AccountCreditShape, credit_data, credit_shape
from http_api.shapes import answered, answered_plainly
from sync_jobs.live.answers import CREDIT_PARTS, CreditAnswer, Provenance, Source

amounts = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20)
moments = st.datetimes(timezones=st.just(UTC))
sources = st.builds(
    Source,
    st.builds(ConnectionName, st.text(max_size=20)),
    st.sampled_from(Provenance),
    st.none() | moments,
    st.none() | st.floats(min_value=0, max_value=10**9),
    st.text(max_size=40),
)
answers = st.builds(
    CreditAnswer,
    account_id=st.just(CrmId(7)),
    currency=st.none() | st.just("EUR"),
    limit=st.none() | amounts,
    is_unlimited=st.booleans(),
    parts=st.dictionaries(st.sampled_from(CREDIT_PARTS), amounts),
    unknown=st.lists(st.text(max_size=20), max_size=3).map(tuple),
    exposure=st.none() | amounts,
    available=st.none() | amounts,
    overdue=st.none() | amounts,
    ageing=st.dictionaries(st.sampled_from(AGEING_BUCKETS), amounts),
    is_on_hold=st.none() | st.booleans(),
    sources=st.lists(sources, max_size=2).map(tuple),
)


@given(st.lists(answers, max_size=2))
def test_a_credit_is_told_as_its_shape_says(found: list[CreditAnswer]) -> None:
    """A program that reads by the description would stumble over the answer that it gets most often."""
    plain = answered_plainly({"account_id": 7, "credit": [credit_data(one) for one in found]})
    shaped = answered(AccountCreditShape(account_id=7, credit=[credit_shape(one) for one in found]))
    assert bytes(plain.body) == bytes(shaped.body)
    assert plain.headers == shaped.headers


def test_an_amount_keeps_its_digits() -> None:
    """1E+3 is a number that few readers of a text field know."""
    told = Source(ConnectionName("erp"), Provenance.LIVE, datetime(2026, 11, 27, tzinfo=UTC), 0.0004)
    answer = CreditAnswer(
        account_id=CrmId(7),
        currency="EUR",
        limit=Decimal("1E+3"),
        is_unlimited=False,
        parts={"open_orders": Decimal("0.10")},
        unknown=(),
        exposure=Decimal("0.10"),
        available=Decimal("999.90"),
        overdue=None,
        ageing={},
        is_on_hold=False,
        sources=(told,),
    )
    assert bytes(answered_plainly(credit_data(answer)).body) == (
        b'{"currency":"EUR","limit":"1000","is_unlimited":false,"parts":{"open_orders":"0.10"},"exposure":"0.10",'
        b'"available":"999.90","overdue":null,"ageing":{},"is_on_hold":false,"is_known":true,"unknown":[],"sources":'
        b'[{"connection":"erp","provenance":"live","as_of":"2026-11-27T00:00:00Z","age_seconds":0.0,"reason":""}]}'
    )
