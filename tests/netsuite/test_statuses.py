"""What a status inside an answer means: refused, not now, nobody knows; which field; and warnings that are not lost."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from connectors.erp.netsuite.accounts import AccountTranslation
from connectors.erp.netsuite.answers import result_in, written_as
from connectors.erp.netsuite.orders import OrderTranslation
from connectors.erp.netsuite.statuses import ROWS, Asked, SearchTooSlow, error_of_status, fields_in
from crm_core.errors import (
    AuthenticationFailed,
    ConnectorError,
    DuplicateRecord,
    OutcomeUnknown,
    PeriodClosed,
    PermissionDenied,
    ProtocolViolation,
    RateLimited,
    RecordNotFound,
    ServiceUnavailable,
    StaleVersion,
    ValidationRejected,
)

READ = Asked("get", is_safe_to_repeat=True)
WRITE = Asked("upsert", is_safe_to_repeat=False, request_id="WEBSERVICES_1_7", names=OrderTranslation.names)


def status(code: str | None, message: str = "no", **others: Any) -> dict[str, Any]:
    detail = {"type": "ERROR", "code": code, "message": message, **others}
    return {"isSuccess": False, "statusDetail": [detail]}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("DUP_RCRD", DuplicateRecord),
        ("DUP_ENTITY", DuplicateRecord),
        ("UNIQUE_CUST_ID_REQD", DuplicateRecord),
        ("RCRD_DSNT_EXIST", RecordNotFound),
        ("RCRD_HAS_BEEN_CHANGED", StaleVersion),
        ("CLOSED_TRAN_PRD", PeriodClosed),
        ("INVALID_KEY_OR_REF", ValidationRejected),
        ("USER_ERROR", ValidationRejected),
        ("BALANCE_EXCEEDS_CREDIT_LIMIT", ValidationRejected),
        ("INSUFFICIENT_PERMISSION", PermissionDenied),
        ("INVALID_LOGIN_CREDENTIALS", AuthenticationFailed),
        ("WS_CONCUR_SESSION_DISALLWD", RateLimited),
        ("WS_REQUEST_BLOCKED", RateLimited),
        ("SSS_REQUEST_LIMIT_EXCEEDED", RateLimited),
        ("UNEXPECTED_ERROR", OutcomeUnknown),
        ("SESSION_TIMED_OUT", OutcomeUnknown),
        ("A_CODE_OF_TOMORROW", ValidationRejected),
        (None, ValidationRejected),
    ],
)
def test_a_refused_write_is_the_error_of_its_code(code: str | None, expected: type[ConnectorError]) -> None:
    """A repeated order, a closed month and a short credit need three different people."""
    error = error_of_status(status(code, "because"), WRITE)
    assert type(error) is expected
    assert (error.vendor_code or None, error.request_id, error.operation) == (code, "WEBSERVICES_1_7", "upsert")
    assert "because" in error.message


def test_what_a_write_may_have_done_is_only_a_failed_question_for_a_read() -> None:
    assert type(error_of_status(status("UNEXPECTED_ERROR"), READ)) is ServiceUnavailable
    assert type(error_of_status(status("SEARCH_TIMED_OUT"), READ)) is SearchTooSlow


@pytest.mark.parametrize(
    ("message", "is_saved"),
    [
        ("The request timed out while the record was written.", False),
        ("The status of the record is unknown.", False),
        ("a script failed", True),
    ],
)
def test_a_write_that_may_be_saved_is_not_told_as_refused(message: str, is_saved: bool) -> None:
    """Corrected and sent again it would be there twice. `afterSubmitFailed` is a script after the record was saved."""
    refused = status("USER_ERROR", message, afterSubmitFailed=is_saved)
    error = error_of_status(refused, WRITE)
    assert type(error) is OutcomeUnknown
    assert error.vendor_code == "USER_ERROR"
    assert type(error_of_status(refused, READ)) is ValidationRejected


@pytest.mark.parametrize("said", [None, {}, {"isSuccess": None}, {"isSuccess": "true"}, "ok"])
def test_an_answer_without_a_status_says_nothing_of_a_write(said: Any) -> None:
    assert type(error_of_status(said, WRITE)) is OutcomeUnknown
    assert type(error_of_status(said, READ)) is ProtocolViolation


def test_a_warning_inside_a_success_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """NetSuite saved the record and changed something of it: somebody has to be able to see what."""
    detail = {"type": "WARN", "code": "WARNING", "message": "The customer is over the limit: ada@example.com"}
    with caplog.at_level(logging.WARNING, "counterfoil.netsuite"):
        assert error_of_status({"isSuccess": True, "statusDetail": [detail]}, WRITE) is None
    assert "upsert: The customer is over the limit" in caplog.text
    assert "ada@example.com" not in caplog.text


def test_a_warning_beside_an_error_is_not_taken_for_the_reason() -> None:
    refused = status("DUP_ENTITY", "exists")
    refused["statusDetail"].insert(0, {"type": "WARN", "code": "WARNING", "message": "by the way"})
    error = error_of_status(refused, WRITE)
    assert type(error) is DuplicateRecord
    assert error.message == "exists"


def test_several_reasons_are_all_told() -> None:
    refused = status("USER_ERROR", "first")
    refused["statusDetail"] += [{"type": "ERROR", "code": "USER_ERROR", "message": "second"}]
    error = error_of_status(refused, WRITE)
    assert error is not None
    assert error.message == "first; second"


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("The field memo contained more than the maximum number ( 999 ) of characters allowed.", ("memo",)),
        ("Invalid entity reference key 77.", ("entity",)),
        ("Invalid billaddresslist reference key 9.", ("billAddressList",)),
        ("You have entered an Invalid Field Value x for the following field: orderstatus", ("orderStatus",)),
        ("Please enter value(s) for: Customer", ("entity",)),
        ("Please enter value(s) for: Customer, Date", ("entity", "tranDate")),
        ("Invalid item reference key 5.", ("itemList.item",)),
        ("Invalid units reference key 5.", ("itemList.units",)),
        ("Please enter value(s) for: Cost Centre", ("Cost Centre",)),
        ("Something else went wrong.", ()),
    ],
)
def test_the_field_that_a_message_names_is_ours(message: str, fields: tuple[str, ...]) -> None:
    """Nobody finds `billaddresslist` in a mapping; a label that we do not know is told as it stands there."""
    error = error_of_status(status("USER_ERROR", message), WRITE)
    assert isinstance(error, ValidationRejected)
    assert error.fields == fields


def test_labels_of_an_account_s_form_are_its_own() -> None:
    names = AccountTranslation.names
    assert fields_in("Please enter value(s) for: Company Name", names) == ("companyName",)
    assert fields_in("The field firstname contained more than the maximum", names) == ("lastName",)
    assert fields_in("The field addr1 contained more than the maximum", names) == ("addressbookList.addr1",)


def test_no_code_stands_for_two_errors() -> None:
    assert ROWS["DUP_RCRD"] is DuplicateRecord
    assert len(ROWS) > 100


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (None, "without an internalId"),
        ({"internalId": None, "externalId": "CF-1"}, "without an internalId"),
        ({"internalId": "5", "externalId": "CF-2"}, "'CF-2', which was not sent"),
    ],
)
def test_a_success_that_does_not_name_our_record_is_none(reference: Any, said: str) -> None:
    """It would tie our order to another one, for ever."""
    record = SimpleNamespace(externalId="CF-1", internalId=None)
    told = written_as({"status": {"isSuccess": True}, "baseRef": reference}, record, WRITE)
    assert type(told) is OutcomeUnknown
    assert said in told.message


def test_a_success_for_another_record_than_the_one_changed_is_none() -> None:
    record = SimpleNamespace(externalId=None, internalId="4")
    told = written_as({"status": {"isSuccess": True}, "baseRef": {"internalId": "5"}}, record, WRITE)
    assert type(told) is OutcomeUnknown


def test_external_ids_are_the_same_in_capitals() -> None:
    """NetSuite does not tell them apart."""
    record = SimpleNamespace(externalId="cf-1", internalId=None)
    assert (
        written_as({"status": {"isSuccess": True}, "baseRef": {"internalId": "5", "externalId": "CF-1"}}, record, WRITE)
        == "5"
    )


def test_an_answer_that_lacks_its_result_is_told() -> None:
    with pytest.raises(ProtocolViolation, match="no searchResult"):
        result_in({"body": {}, "header": None}, "searchResult", READ)
