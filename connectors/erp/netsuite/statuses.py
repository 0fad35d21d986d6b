"""What a status or a fault of NetSuite means for us.

Two kinds of refusal. A *fault* comes in place of an answer and holds for the whole request. A *status* stands inside
a successful answer, one for each record: `isSuccess="false"` with details of code and message. The codes are those of
the contract's `StatusDetailCodeType` and `FaultCodeType`; a test holds them against it.

The message is text for people; a field is named in it and nowhere else ("SOAP Web Services Error Handling").
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.transport.errors import Refusal, error_for, shortened
from connectors.transport.redaction import redact
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

log = logging.getLogger("counterfoil.netsuite")


class SearchTooSlow(ServiceUnavailable):
    """A search that NetSuite gave up; over fewer records it may succeed."""


_CODES: Mapping[type[ConnectorError], tuple[str, ...]] = {
    AuthenticationFailed: (
        "INVALID_ACCT",
        "INVALID_LOGIN",
        "INVALID_LOGIN_ATTEMPT",
        "INVALID_LOGIN_CREDENTIALS",
        "INVALID_LOGIN_IP",
        "INVALID_ROLE",
        "INVALID_SIGNATURE",
        "LOGIN_DISABLED",
        "LOGIN_REQD",
        "PSWD_REQD",
        "ROLE_REQD",
        "ROLE_REQUIRED",
        "SIGNATURE_VERIFICATION_FAILED",
        "USER_DISABLED",
        "WS_LOG_IN_REQD",
    ),
    PermissionDenied: (
        "ACCESS_DENIED",
        "DISALLWD_IP_ADDRESS",
        "FEATURE_DISABLED",
        "INSUFFICIENT_FLD_PERMISSION",
        "INSUFFICIENT_PERMISSION",
        "NOT_ENOUGH_PERMISSIONS",
        "PERMISSION_VIOLATION",
        "WS_FEATURE_REQD",
        "WS_PERMISSION_REQD",
    ),
    RateLimited: (
        "CONCUR_SEARCH_DISALLWD",
        "CONCURRENCY_LIMIT_EXCEEDED",
        "EXCEEDED_MAX_CONCUR_RQST",
        "EXCEEDED_MAX_SESSIONS",
        "SSS_REQUEST_LIMIT_EXCEEDED",
        "WS_CONCUR_SESSION_DISALLWD",
        "WS_EXCEEDED_CONCUR_USERS_ALLWD",
        "WS_REQUEST_BLOCKED",
    ),
    ServiceUnavailable: (
        "ACCT_TEMP_DISABLED",
        "ACCT_TEMP_UNAVAILABLE",
        "DATA_RETRIEVAL_ERROR",
        "EXCEEDED_MAX_TIME",
        "RESPONSE_GENERATION_FAILED",
        "SESSION_TIMED_OUT",
        "SSS_CONNECTION_TIME_OUT",
        "SSS_REQUEST_TIME_EXCEEDED",
        "SSS_TIME_LIMIT_EXCEEDED",
        "UNEXPECTED_ERROR",
        "UNEXPECTED_FAILURE",
    ),
    SearchTooSlow: ("ABORT_SEARCH_EXCEEDED_MAX_TIME", "SEARCH_TIMED_OUT", "SSS_SEARCH_TIMEOUT"),
    DuplicateRecord: (
        "CANT_CREATE_NON_UNIQUE_RCRD",
        "DATA_MUST_BE_UNIQUE",
        "DUP_ENTITY",
        "DUP_ENTITY_EMAIL",
        "DUP_ENTITY_NAME",
        "DUP_NAME",
        "DUP_RCRD",
        "DUP_TRANS",
        "NAME_ALREADY_IN_USE",
        "UNIQUE_CUST_EMAIL_REQD",
        "UNIQUE_CUST_ID_REQD",
        "UNIQUE_ENTITY_NAME_REQD",
        "UNIQUE_RCRD_ID_REQD",
    ),
    RecordNotFound: (
        "CANT_FIND_RCRD",
        "COMP_DELETED_OR_MERGED",
        "NONEXISTENT_EXTERNAL_ID",
        "NONEXISTENT_ID",
        "ORDER_DSNT_EXIST",
        "RCRD_DELETED_SINCE_RETRIEVED",
        "RCRD_DSNT_EXIST",
        "RCRD_NOT_FOUND",
        "RCRD_PREVSLY_DELETED",
        "TIMEOUT_THE_RECORD_DOESNT_EXIST_ANYMORE",
        "TRANS_DOES_NOT_EXIST",
        "TRANS_DSNT_EXIST",
        "TRANSACTION_DELETED",
    ),
    StaleVersion: ("CANT_UPDATE_RECRD_HAS_CHANGED", "RCRD_EDITED_SINCE_RETRIEVED", "RCRD_HAS_BEEN_CHANGED"),
    PeriodClosed: ("CLOSED_TRAN_PRD", "TRAN_PERIOD_CLOSED", "TRAN_PRD_CLOSED"),
    ValidationRejected: (
        "BALANCE_EXCEEDS_CREDIT_LIMIT",
        "CANT_CHANGE_UNITS_TYP",
        "CANT_DELETE_LINE",
        "CANT_EDIT_TRAN",
        "CANT_MODIFY_LOCKED_FLD",
        "CANT_SET_INTERNALID",
        "CANT_SET_STATUS",
        "COUNTRY_STATE_MISMATCH",
        "CRNCY_REQD",
        "DATE_EXPECTED",
        "DATE_PRD_MISMATCH",
        "EXCEEDED_MAX_FIELD_LENGTH",
        "EXCEEDED_MAX_TRANS_LINES",
        "EXCEEDED_RQST_SIZE_LIMIT",
        "EXTERNALID_NOT_SUPPORTED",
        "EXTERNALID_REQD",
        "FIELD_REQD",
        "FLD_VALUE_REQD",
        "FLD_VALUE_TOO_LARGE",
        "INVALID_ACCT_PRD",
        "INVALID_CURRENCY_CODE",
        "INVALID_DATE",
        "INVALID_EMAIL",
        "INVALID_FLD_VALUE",
        "INVALID_ID",
        "INVALID_KEY_OR_REF",
        "INVALID_LINE_ID",
        "INVALID_NUMBER",
        "INVALID_ORD_STATUS",
        "INVALID_QTY",
        "INVALID_QUANTITY",
        "INVALID_RCRD_REF",
        "INVALID_RCRD_TYPE",
        "INVALID_REF_KEY",
        "INVALID_UNIT_TYP",
        "INVALID_URL",
        "INVALID_VALUE",
        "ITEM_IS_UNAVAILABLE",
        "LOCATION_REQD",
        "MAX_RCRDS_EXCEEDED",
        "MISSING_CRNCY_EXCH_RATE",
        "MISSING_MANDATORY_FIELDS",
        "MISSING_REQD_FLD",
        "NAME_REQD",
        "NO_UPSERT",
        "RCRD_UNEDITABLE",
        "SALES_ORDER_EDIT_NOT_ALLOWED",
        "SUBSIDIARY_MISMATCH",
        "TAX_CODE_REQD",
        "TRAN_DATE_REQD",
        "TRANS_EDIT_DISALLWD",
        "UNDEFINED_ACCTNG_PRD",
        "USER_ERROR",
        "VALID_LINE_ITEM_REQD",
        "WARNING",
    ),
    ProtocolViolation: ("INVALID_WS_VERSION", "UNSUPPORTED_WS_VERSION"),
}

ROWS: Mapping[int | str, type[ConnectorError]] = {code: kind for kind, codes in _CODES.items() for code in codes}
"""Rows of the error table, for faults and for statuses alike."""

_FIELD_PATTERNS = (
    re.compile(r"\bfield:? (\w+) contained more than", re.IGNORECASE),
    re.compile(r"\bInvalid (\w+) reference key", re.IGNORECASE),
    re.compile(r"\bfor the following field: (\w+)", re.IGNORECASE),
    re.compile(r"\bfield (\w+) is read-only", re.IGNORECASE),
    re.compile(r"\benter value\(s\) for: ([\w ,/]+)", re.IGNORECASE),
)
"""How messages name fields: by id in lower case, or by the label of the form (`enter value(s) for: Customer`)."""


_UNSURE = re.compile(r"\bstatus (?:of the record )?is unknown\b|\btimed out\b", re.IGNORECASE)
"""A list that takes 15 minutes is ended, and says so of the record under way ("Handling of Lengthy Requests")."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a status answers. names: of the fields that were sent, by their letters in lower case (`companyname`)."""

    operation: str
    is_safe_to_repeat: bool
    request_id: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)


def error_of_status(status: Any, asked: Asked) -> ConnectorError | None:
    """The error that a status stands for; None for success, whose warnings are logged.

    A record that is refused with a code that we do not know is refused all the same: ValidationRejected. Where a
    script failed after the record was saved, and where nobody can tell, a write is OutcomeUnknown.
    """
    if not isinstance(status, Mapping) or not isinstance(status.get("isSuccess"), bool):
        kind = ProtocolViolation if asked.is_safe_to_repeat else OutcomeUnknown
        return kind("the answer has no status", operation=asked.operation, request_id=asked.request_id)
    details = [detail for detail in status.get("statusDetail") or () if isinstance(detail, Mapping)]
    if status["isSuccess"]:
        for detail in details:
            log.warning(
                "%s: %s (code %s)",
                asked.operation,
                shortened(redact(_message_of(detail))),
                detail.get("code") or "none",
            )
        return None
    refusals = [detail for detail in details if detail.get("type") not in ("WARN", "INFO")] or details
    code = next((str(detail["code"]) for detail in refusals if detail.get("code")), None)
    message = "; ".join(dict.fromkeys(map(_message_of, refusals))) or "refused without a word"
    is_saved = any(detail.get("afterSubmitFailed") for detail in refusals)
    if not asked.is_safe_to_repeat and (is_saved or _UNSURE.search(message)):
        return OutcomeUnknown(
            shortened(redact(f"saved, but a script failed afterwards: {message}" if is_saved else message)),
            vendor_code=code,
            request_id=asked.request_id,
            operation=asked.operation,
        )
    fields = fields_in(message, asked.names)
    if not fields and code is not None and ROWS.get(code) is PeriodClosed:
        fields = ("tranDate",)  # what NetSuite goes by, and does not say
    refusal = Refusal(message, code=code or "", request_id=asked.request_id, fields=fields)
    return error_for(
        refusal,
        operation=asked.operation,
        is_safe_to_repeat=asked.is_safe_to_repeat,
        rows={refusal.code or "": ValidationRejected, **ROWS},
    )


def fields_in(message: str, names: Mapping[str, str]) -> tuple[str, ...]:
    """The fields that a message names, by the names under which they were sent; unknown ones as they stand there."""
    found: list[str] = []
    for pattern in _FIELD_PATTERNS:
        for match in pattern.finditer(message):
            for label in match[1].split(","):
                word = "".join(label.lower().split())
                if word:
                    found.append(names.get(word, label.strip()))
    return tuple(dict.fromkeys(found))


def _message_of(detail: Mapping[str, Any]) -> str:
    return str(detail.get("message") or detail.get("code") or "")
