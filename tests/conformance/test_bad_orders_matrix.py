"""Which test shows what becomes of which bad order: refused by its field, nothing of it written, nothing else stopped.

`MATRIX` names, for every kind of bad input, the tests that show it, as `file::function` below `tests/`; a test that is
renamed or removed is missed here. The first is through the whole hub, the others are of single parts.
"""

from __future__ import annotations

import pytest

from tests.support.matrix import functions_of, missing_tests

HERE = "conformance/test_bad_orders.py"
ENTERED = f"{HERE}::test_it_is_refused_by_its_field_and_nothing_of_it_is_written"

MATRIX: dict[str, tuple[str, ...]] = {
    "an unknown customer": (
        ENTERED,
        "sync_jobs/test_push.py::test_a_prospect_stays_here_and_so_does_its_order_until_it_becomes_a_customer",
        "business_central/test_order_sink.py::test_a_refused_order_names_its_field_and_nothing_is_there",
        "xero/test_order_sink.py::test_each_refusal_names_its_field_and_stops_no_other_order",
    ),
    "an unknown product": (
        ENTERED,
        f"{HERE}::test_a_product_that_was_deleted_over_there_is_named_by_its_line",
        "sync_jobs/test_push.py::test_an_order_for_a_product_that_they_do_not_know_goes_out_by_itself_once_they_do",
    ),
    "a unit that cannot be converted": (
        ENTERED,
        "crm_core/test_orders.py::test_what_is_wrong_is_told_by_its_field",
        "business_central/test_order_sink.py::test_a_refused_order_names_its_field_and_nothing_is_there",
        "tryton/test_sinks.py::test_a_refusal_names_the_field_and_writes_nothing",
    ),
    "a closed period": (
        f"{HERE}::test_an_order_in_a_closed_period_is_refused_by_its_date_and_goes_out_when_it_is_opened",
        "netsuite/test_sinks.py::test_a_closed_month_takes_no_order",
        "sap_s4hana/test_orders.py::test_a_closed_period_is_told_from_other_refusals",
        "xero/test_order_sink.py::test_a_closed_period_is_told_with_its_date",
    ),
    "a currency mismatch": (
        f"{HERE}::test_an_order_in_another_currency_than_the_prices_of_its_account_is_refused",
        "xero/test_order_sink.py::test_each_refusal_names_its_field_and_stops_no_other_order",
    ),
    "a total that is off by a rounding unit": (
        ENTERED,
        "crm_core/test_orders.py::test_an_amount_that_is_off_by_a_rounding_unit_is_refused",
        "crm_core/test_orders.py::test_whatever_the_lines_their_own_sum_is_accepted_and_a_cent_more_is_not",
        "xero/test_order_sink.py::test_what_would_be_booked_otherwise_is_refused_by_its_field",
    ),
    "10,000 lines": (
        f"{HERE}::test_ten_thousand_lines_go_out_as_one_order",
        "sync_jobs/test_push.py::test_ten_thousand_lines_go_out_as_one_order",
    ),
    "a reference that is longer than the field": (
        f"{HERE}::test_a_reference_that_does_not_fit_is_refused_and_never_cut",
        f"{HERE}::test_our_own_key_fits_wherever_it_is_put",
        "business_central/test_bc_push.py::test_a_reference_that_does_not_fit_is_refused_before_anything_is_sent",
        "netsuite/test_sinks.py::test_a_reference_that_is_too_long_is_not_cut",
        "sap_s4hana/test_orders.py::test_what_does_not_fit_is_refused_with_its_field_and_never_cut",
        "xero/test_lost_answers.py::test_xero_itself_refuses_a_reference_that_is_too_long",
    ),
    "text in Thai, Persian and emoji": (
        f"{HERE}::test_a_text_of_any_script_arrives_as_it_is",
        "business_central/test_order_sink.py::test_texts_of_every_script_arrive_as_they_are",
        "netsuite/test_sinks.py::test_every_script_arrives_letter_for_letter",
        "sap_s4hana/test_orders.py::test_texts_of_all_scripts_arrive_whole",
        "sync_jobs/test_push.py::test_texts_of_every_script_arrive_as_they_are",
    ),
    "a customer that was deleted over there": (
        f"{HERE}::test_a_customer_that_was_deleted_over_there_is_named",
        "business_central/test_order_sink.py::test_blocked_and_deleted_parties_and_items_are_refused_with_their_field",
        "netsuite/test_sinks.py::test_a_deleted_or_inactive_customer_gets_no_order",
        "sap_s4hana/test_orders.py::test_a_customer_who_must_not_order_is_said_to_be_so",
        "tryton/test_sinks.py::test_a_customer_that_was_deactivated_gets_no_order",
        "xero/test_order_sink.py::test_an_archived_customer_cannot_order",
    ),
}


@pytest.mark.parametrize("item", MATRIX)
def test_every_kind_of_bad_order_has_its_tests(item: str) -> None:
    """A promise without a test is a hope."""
    assert MATRIX[item]
    assert missing_tests(MATRIX[item]) == []


def test_every_test_of_bad_orders_belongs_to_a_kind() -> None:
    """A test that nobody finds again is not maintained."""
    named = {name for names in MATRIX.values() for name in names}
    here = {f"{HERE}::{function}" for function in functions_of(HERE) if function.startswith("test_")}
    assert here - named == set()
