"""What a failure below HTTP means: for a read it is transient, for a write that was sent its outcome is unknown."""

from __future__ import annotations

from http.client import HTTPException, InvalidURL

import urllib3.exceptions

from connectors.transport.bodies import BodyTooSlow, BodyTruncated
from connectors.transport.errors import shortened
from connectors.transport.redaction import redact
from crm_core.errors import (
    ConnectionBlocked,
    ConnectorError,
    OutcomeUnknown,
    ProtocolViolation,
    RequestTimeout,
    ServiceUnavailable,
)

_TIMEOUTS = (urllib3.exceptions.ReadTimeoutError, TimeoutError, BodyTooSlow)
_BROKEN = (urllib3.exceptions.HTTPError, HTTPException, OSError, BodyTruncated)
_CANNOT_BE_SENT = (
    urllib3.exceptions.LocationValueError,
    urllib3.exceptions.InvalidHeader,
    InvalidURL,
)
_NEVER_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.NameResolutionError,
    urllib3.exceptions.ProxyError,
)


def error_of_failure(error: Exception, *, operation: str, is_safe_to_repeat: bool) -> ConnectorError | None:
    """Our error for one of urllib3 or the socket; None for any other (a bug, an error of ours)."""
    if isinstance(error, ConnectorError):
        return None
    operation = redact(operation)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return ConnectionBlocked("the server's certificate is not trusted (ca_bundle)", operation=operation)
    if isinstance(error, _CANNOT_BE_SENT):
        return ProtocolViolation(shortened(redact(str(error))), operation=operation)
    if isinstance(error, _NEVER_SENT):
        return ServiceUnavailable("no connection to the server", operation=operation)
    if isinstance(error, _TIMEOUTS):
        what = "no complete answer in time"
        kind: type[ConnectorError] = RequestTimeout
    elif isinstance(error, _BROKEN):
        truncated = isinstance(error, BodyTruncated | urllib3.exceptions.IncompleteRead)
        what = shortened(str(error)) if isinstance(error, BodyTruncated) else "the connection broke"
        what = "the answer was cut short" if truncated and not isinstance(error, BodyTruncated) else what
        kind = ServiceUnavailable
    else:
        return None
    if not is_safe_to_repeat:
        return OutcomeUnknown(f"{what}; it may have been carried out", operation=operation)
    return kind(what, operation=operation)
