"""The way to Acme: its token, its lists and records, its errors in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from connectors.transport.auth import ClientCredentials
from connectors.transport.errors import Refusal, read_refusal
from connectors.transport.http import Answer, HttpClient
from connectors.transport.json_pages import decode
from crm_core.errors import ConnectorError, DuplicateRecord, PeriodClosed, ProtocolViolation

from .config import AcmeConfig

ERROR_ROWS: Mapping[int | str, type[ConnectorError]] = {"duplicate": DuplicateRecord, "period_closed": PeriodClosed}
"""Codes of their error bodies that say more than the HTTP status."""


class AcmeClient:
    """One connection. Time-outs, repeated reads and redaction of secrets are the transport's business."""

    def __init__(self, config: AcmeConfig) -> None:
        """Opens nothing yet."""
        secret = config.client_secret.get_secret_value()
        self._tokens = HttpClient(config, config.url, secrets=(secret,))
        auth = ClientCredentials(self._tokens, "/token", client_id=config.client_id, client_secret=secret)
        self.http = HttpClient(
            config, config.url, auth=auth, rows=ERROR_ROWS, refusal_reader=_read_refusal, secrets=(secret,)
        )

    def close(self) -> None:
        """Closes all connections."""
        self.http.close()
        self._tokens.close()

    def read(self, path: str, *, operation: str, **params: str | int) -> dict[str, Any]:
        """A JSON object. Raises RecordNotFound, Transient, ConnectionBlocked, ProtocolViolation."""
        return object_of(self.http.get(path, operation=operation, params=params), operation)


def object_of(answer: Answer, operation: str) -> dict[str, Any]:
    """The JSON object of an answer. Raises ProtocolViolation when it is none."""
    said = decode(answer.body, operation=operation)
    if not isinstance(said, dict):
        raise ProtocolViolation("the answer is no JSON object", operation=operation)
    return said


def _read_refusal(status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    """Acme names the field that it refuses: {"error": {"code": ..., "field": ..., "message": ...}}."""
    plain = read_refusal(status, headers, body)
    try:
        field = msgspec.json.decode(body)["error"]["field"]
    except (ValueError, KeyError, TypeError):
        return plain
    fields = (field,) if isinstance(field, str) else ()
    return Refusal(plain.message, plain.status, plain.code, plain.request_id, fields=fields)
