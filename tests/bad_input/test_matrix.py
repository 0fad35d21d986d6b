"""Which test shows what becomes of which bad input.

Each gets a clear error or a dead letter with its cause, and nothing is lost or doubled. `MATRIX` names, for every kind
of bad input, the tests that show it, as `file::function` below `tests/`; a test that is renamed or removed is missed
here. What a test loses to a user when it fails stands in its docstring.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.matrix import functions_of, missing_tests

MATRIX: dict[str, tuple[str, ...]] = {
    "Tryton without a company in the context": (
        "tryton/test_refusals.py::test_a_user_without_a_company_reads_nothing",
        "tryton/test_refusals.py::test_a_company_that_gets_lost_on_the_way_stops_the_read",
        "tryton/test_client.py::test_nothing_is_read_before_the_company_is_proved",
        "tryton/test_against_truth.py::test_credit_tells_no_limit_from_no_credit",
        "bad_input/test_values.py::test_missing_null_and_empty_limits_are_three_things",
    ),
    "errors inside HTTP 200": (
        "tryton/test_client.py::test_an_error_inside_an_accepted_answer",
        "transport/test_transport_json_rpc.py::test_an_error_inside_http_200_is_raised",
        "bad_input/test_answers.py::test_a_disturbed_page_is_not_written_and_the_next_pull_goes_on_there",
        "bad_input/test_whatever.py::test_whatever_faults_healthy_pulls_lose_and_double_nothing",
    ),
    "gzip on a plain body": (
        "transport/test_transport_http.py::test_the_bytes_are_believed_rather_than_the_content_encoding",
        "bad_input/test_answers.py::test_a_body_is_what_its_bytes_say_whatever_its_header_claims",
        "bad_input/test_answers.py::test_a_packed_body_that_is_damaged_stops_the_read",
    ),
    "HTML error pages": (
        "transport/test_transport_http.py::test_an_html_error_page_gives_its_title",
        "bad_input/test_answers.py::test_a_disturbed_page_is_not_written_and_the_next_pull_goes_on_there",
    ),
    "a page that repeats": (
        "bad_input/test_answers.py::test_a_disturbed_page_is_not_written_and_the_next_pull_goes_on_there",
        "bad_input/test_whatever.py::test_whatever_faults_a_full_pull_puts_everything_right",
        "bad_input/test_whatever.py::test_an_answer_from_a_cache_that_ignores_the_query_is_refused",
        "bad_input/test_whatever.py::test_what_a_held_sweep_missed_is_looked_for_again_before_anything_is_deleted",
    ),
    "truncated JSON": (
        "transport/test_transport_http.py::test_a_body_that_is_cut_short_is_never_taken_for_whole",
        "bad_input/test_answers.py::test_a_disturbed_page_is_not_written_and_the_next_pull_goes_on_there",
    ),
    "NaN, exponent and 20-digit decimals": (
        "bad_input/test_answers.py::test_a_disturbed_page_is_not_written_and_the_next_pull_goes_on_there",
        "bad_input/test_values.py::test_whatever_decimal_the_source_sends_is_stored_exactly_or_refused_by_name",
        "bad_input/test_values.py::test_a_price_of_the_back_office_keeps_all_its_digits",
        "bad_input/test_values.py::test_what_is_no_exact_number_is_a_dead_letter_and_not_a_price",
    ),
    "missing, null and empty": (
        "mappings/test_values.py::test_missing_null_and_empty_where_nothing_is_allowed",
        "bad_input/test_values.py::test_missing_null_and_empty_limits_are_three_things",
        "bad_input/test_values.py::test_a_field_that_is_not_sent_is_not_taken_for_an_emptied_one",
    ),
    "duplicate ids in a page": (
        "bad_input/test_records.py::test_a_record_twice_in_a_page_is_one_product_as_given_last",
        "bad_input/test_records.py::test_a_record_that_moves_to_the_next_page_during_the_read_is_one_product",
        "bad_input/test_records.py::test_two_records_without_an_id_that_are_alike_make_one_letter",
        "bad_input/test_values.py"
        "::test_whatever_the_ids_their_order_their_doubles_and_the_page_size_each_is_one_product",
    ),
    "a unit with factor 0": (
        "crm_core/test_units.py::test_a_factor_of_zero_never_gets_in",
        "bad_input/test_values.py::test_a_unit_that_cannot_convert_is_refused_and_the_group_we_know_stays",
    ),
    "a price in a currency that the list does not have": (
        "sync_jobs/test_pull.py::test_a_price_in_another_currency_than_its_list_is_refused",
        "bad_input/test_values.py::test_a_price_in_a_currency_that_its_list_does_not_have_leaves_the_known_price",
    ),
    "a cycle of references": (
        "sync_jobs/test_pull.py::test_a_circle_of_references_ends_as_dead_letters_that_name_it",
        "bad_input/test_values.py::test_an_account_that_is_its_own_parent_is_a_circle_too",
        "bad_input/test_values.py::test_a_long_circle_of_parents_ends_as_letters_and_heals",
        "bad_input/test_values.py::test_a_long_chain_of_parents_comes_in_whole",
        "bad_input/test_values.py::test_more_waiting_records_than_are_looked_at_at_once_hide_none",
    ),
    "invalid UTF-8": (
        "bad_input/test_records.py::test_invalid_utf8_sets_one_record_aside_and_the_next_full_read_brings_it_in",
        "bad_input/test_records.py::test_a_known_record_that_becomes_unreadable_is_not_taken_for_deleted",
        "bad_input/test_records.py::test_a_full_read_with_a_record_without_an_id_deletes_nothing",
        "bad_input/test_values.py::test_an_id_that_no_database_can_hold_is_one_dead_letter",
    ),
    "a 50 MB record": (
        "bad_input/test_records.py::test_a_record_of_50_mb_is_set_aside_and_the_others_arrive",
        "bad_input/test_records.py::test_an_answer_over_the_bound_is_refused_before_it_fills_the_memory",
        "transport/test_transport_http.py::test_a_gzip_bomb_is_refused_before_it_is_unpacked",
    ),
    "a clock that runs backwards": (
        "sync_jobs/test_pull.py::test_a_clock_that_runs_backwards_never_moves_the_watermark_back",
        "bad_input/test_whatever.py::test_a_back_office_whose_clock_is_set_back_loses_nothing_within_the_look_back",
        "bad_input/test_whatever.py::test_a_clock_set_back_by_more_than_the_look_back_is_caught_up_by_a_full_pull",
        "bad_input/test_store.py::test_a_lease_that_was_given_back_is_free_whatever_the_clock_does",
        "bad_input/test_store.py::test_a_pull_survives_our_own_clock_going_back",
    ),
    "a full disk or a locked database": (
        "bad_input/test_store.py::test_a_full_disk_ends_the_run_and_room_lets_it_go_on",
        "bad_input/test_store.py::test_a_database_that_another_program_holds_ends_the_run_and_loses_nothing",
        "bad_input/test_store.py::test_a_row_that_another_session_locks_ends_the_run_on_postgresql",
        "bad_input/test_store.py::test_a_database_server_that_goes_away_in_mid_pull_loses_nothing",
        "bad_input/test_store.py::test_what_postgresql_says_becomes_one_clear_line",
    ),
    "two pulls of the same job at once": (
        "sync_jobs/test_pull.py::test_two_pulls_of_one_job_do_not_run_at_once",
        "bad_input/test_processes.py::test_of_two_pulls_of_one_job_one_runs_and_the_other_says_who",
        "bad_input/test_processes.py::test_a_pull_that_lost_its_job_to_another_machine_writes_nothing_more",
        "bad_input/test_store.py::test_two_first_starts_at_once_make_one_schema",
    ),
    "kill -9 anywhere": (
        "sync_jobs/test_crash.py::test_whatever_statement_it_dies_at_the_end_state_is_the_same",
        "sync_jobs/test_crash.py::test_whatever_the_page_size_and_the_crash_points",
        "bad_input/test_processes.py::test_kill_9_at_any_request_and_the_next_pull_ends_as_if_nothing_had_been",
        "bad_input/test_store.py::test_an_upgrade_that_is_killed_leaves_no_half_made_schema",
    ),
}


@pytest.mark.parametrize("item", MATRIX)
def test_every_kind_of_bad_input_has_its_tests(item: str) -> None:
    """A promise without a test is a hope."""
    assert MATRIX[item]
    assert missing_tests(MATRIX[item]) == []


def test_every_test_of_this_folder_belongs_to_a_kind_of_bad_input() -> None:
    """A test that nobody finds again is not maintained."""
    named = {name for names in MATRIX.values() for name in names}
    here = {
        f"bad_input/{file.name}::{function}"
        for file in Path(__file__).parent.glob("test_*.py")
        if file.name != Path(__file__).name
        for function in functions_of(f"bad_input/{file.name}")
        if function.startswith("test_")
    }
    assert here - named == set()
