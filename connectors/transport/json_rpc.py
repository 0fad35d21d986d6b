"""JSON-RPC with positional parameters, as Tryton speaks it.

Tryton answers only to an envelope of exactly id, method and params (anything else is not recognised as a call), and
reports its errors inside HTTP 200 (seen on a 8.2 server).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from connectors.transport.http import HttpClient
from connectors.transport.json_pages import decode, encode
from crm_core.errors import ConnectorError, OutcomeUnknown, ProtocolViolation


class _Reply(msgspec.Struct, gc=False):
    id: int | str | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_reply = msgspec.json.Decoder(_Reply)

ErrorOf = Callable[[Any, str], ConnectorError]
"""(the `error` of the envelope, our name for the call) -> the error to raise; its texts already redacted."""


class JsonRpc:
    """Calls of one endpoint. path: below the client's base address."""

    def __init__(self, client: HttpClient, path: str, error_of: ErrorOf) -> None:
        self._client, self._path, self._error_of = client, path, error_of
        # not from 1: the answer to another client's call must not pass for the answer to ours
        self._last_id = secrets.randbelow(1 << 30)

    def call(self, method: str, *params: Any, is_safe_to_repeat: bool, operation: str | None = None) -> Any:
        """The result of a call, its fractions as Decimal.

        operation: our name for it in errors; default: the method. Raises what `error_of` makes of an error in the
        envelope, ProtocolViolation for an answer that is no envelope of this call, and what HttpClient raises.
        """
        named = operation or method
        return decode(
            self.call_raw(method, *params, is_safe_to_repeat=is_safe_to_repeat, operation=operation), operation=named
        )

    def call_raw(self, method: str, *params: Any, is_safe_to_repeat: bool, operation: str | None = None) -> msgspec.Raw:
        """The same, the result left as JSON text: for a page reader with `list_key=None`."""
        named = operation or method
        self._last_id += 1
        sent_id = self._last_id
        answer = self._client.post(
            self._path,
            operation=named,
            body=encode({"id": sent_id, "method": method, "params": params}),
            headers={"Content-Type": "application/json"},
            is_safe_to_repeat=is_safe_to_repeat,
        )
        try:
            reply = _reply.decode(answer.body)
        except (ValueError, RecursionError):
            raise _nonsense("the answer is no JSON-RPC envelope", named, is_safe_to_repeat) from None
        is_error = isinstance(reply.error, msgspec.Raw) and bytes(reply.error) != b"null"
        if reply.id != sent_id and not (is_error and reply.id is None):
            raise _nonsense(f"the answer is that of call {reply.id!r}, not of {sent_id}", named, is_safe_to_repeat)
        if isinstance(reply.error, msgspec.Raw) and is_error:
            raise self._error_of(decode(reply.error, operation=named), named)
        if not isinstance(reply.result, msgspec.Raw):
            raise _nonsense("the answer has neither result nor error", named, is_safe_to_repeat)
        return reply.result


def _nonsense(message: str, operation: str, is_safe_to_repeat: bool) -> ConnectorError:
    # After a write an answer that makes no sense says nothing about what happened.
    kind = ProtocolViolation if is_safe_to_repeat else OutcomeUnknown
    return kind(message, operation=operation)
