"""SOAP: zeep owns the WSDL, the requests and the faults; the wire is our HttpClient; long lists go the typed way.

Importing this module imports zeep and lxml (100 ms and more): only connectors that speak SOAP do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
import zeep
import zeep.exceptions
import zeep.helpers
from lxml import etree
from zeep.transports import Transport

from connectors.envelopes import UnreadableRecord
from connectors.transport.errors import ErrorRows, Refusal, error_for, shortened
from connectors.transport.errors import read_refusal as read_any_refusal
from connectors.transport.http import HttpClient
from connectors.transport.redaction import redact
from connectors.transport.soap_rows import UNKNOWN_TYPE, RowReader, TypedRows, cut_rows, parse_safely
from crm_core.errors import (
    ConfigurationFault,
    ConnectorError,
    OutcomeUnknown,
    ProtocolViolation,
    ValidationRejected,
)

# zeep says that it is typed, and is not where it matters.
_zeep: Any = zeep

FAULT_ROWS: ErrorRows = {
    "Client": ValidationRejected,
    "Sender": ValidationRejected,
    "VersionMismatch": ProtocolViolation,
    "MustUnderstand": ProtocolViolation,
    "DataEncodingUnknown": ProtocolViolation,
}
"""SOAP's own fault codes (1.1, section 4.4.1; 1.2, section 5.4.6); `Server` and `Receiver` are left to the status."""


@dataclass(frozen=True, slots=True)
class RowsReply:
    """A list reply. value: zeep's object of the reply without its rows (status, totals)."""

    value: Any
    rows: Sequence[Any]
    unreadable: Sequence[UnreadableRecord]


class SoapClient:
    """Calls of one port of one WSDL. Used by one thread at a time."""

    def __init__(
        self,
        http: HttpClient,
        wsdl: Path,
        *,
        path: str = "",
        binding: str | None = None,
        rows: ErrorRows | None = None,
        may_fetch_from_host: bool = False,
    ) -> None:
        """Reads the WSDL (0.1 to 0.4 s for a large one).

        http: made with `soap_http_options`.
        wsdl: a local file; what it imports must lie in its folder or below. path: of the port, below the client's base
        address (the address in the WSDL is not used). binding: `{namespace}Name`; default: the first of the WSDL.
        rows: for faults that come with HTTP 200. may_fetch_from_host: imports may also be read from the client's host.
        Raises ConfigurationFault when the WSDL cannot be used.
        """
        self._transport = _Transport(http, wsdl.resolve().parent, may_fetch_from_host)
        self._rows = fault_rows(rows)
        settings = zeep.Settings(
            strict=False,
            xml_huge_tree=True,
            forbid_dtd=True,
            forbid_entities=True,
            forbid_external=not may_fetch_from_host,
        )
        try:
            self.zeep = _zeep.Client(str(wsdl), transport=self._transport, settings=settings)
            names = [str(name) for name in self.zeep.wsdl.bindings]
            if not names:
                raise ConfigurationFault(f"{wsdl.name} has no binding")
            self._service = self.zeep.create_service(binding or names[0], http.address(path))
        except (zeep.exceptions.Error, etree.Error, OSError, ValueError, KeyError) as error:
            raise ConfigurationFault(f"{wsdl.name} cannot be used: {shortened(str(error))}") from error

    def call(
        self,
        operation: str,
        *arguments: Any,
        is_safe_to_repeat: bool,
        soap_headers: Sequence[Any] | Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Any:
        """zeep's object of the reply. Raises what HttpClient raises, a fault as the error of its table row."""
        return self._call(operation, arguments, fields, is_safe_to_repeat, soap_headers, None)

    def call_rows(
        self,
        operation: str,
        *arguments: Any,
        rows_at: str,
        reader: RowReader,
        soap_headers: Sequence[Any] | Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> RowsReply:
        """A call that only reads a list; its rows are read by `reader`, the rest of the reply by zeep.

        rows_at: local names from the SOAP body down to a row, `searchResponse/searchResult/recordList/record`.
        """
        cut: list[TypedRows] = []

        def take_rows(root: etree._Element, body: bytes) -> None:
            cut.append(cut_rows(root, rows_at, reader, has_types=b":type=" in body))

        value = self._call(operation, arguments, fields, True, soap_headers, take_rows)
        rows = [row for part in cut[-1:] for row in part.rows]
        return RowsReply(value, rows, [row for part in cut[-1:] for row in part.unreadable])

    def row_reader(self, type_name: str, *, type_key: str | None = None) -> RowReader:
        """A reader for rows of a type, `{namespace}Name`; keep it: making it costs. Raises ConfigurationFault."""
        return RowReader(self.zeep.wsdl.types, type_name, type_key=type_key)

    def make(self, type_name: str, **fields: Any) -> Any:
        """An object of a type of the WSDL, for arguments. Raises ConfigurationFault for a type that is not there."""
        try:
            return self.zeep.get_type(type_name)(**fields)
        except (*UNKNOWN_TYPE, ValueError) as error:
            raise ConfigurationFault(f"the WSDL has no type {type_name!r}") from error

    def _call(
        self,
        operation: str,
        arguments: tuple[Any, ...],
        fields: dict[str, Any],
        is_safe_to_repeat: bool,
        soap_headers: Any,
        take_rows: Callable[[etree._Element, bytes], None] | None,
    ) -> Any:
        transport = self._transport
        transport.operation, transport.is_safe_to_repeat, transport.take_rows = operation, is_safe_to_repeat, take_rows
        try:
            method = self._service[operation]
        except AttributeError as error:
            raise ConfigurationFault(f"the WSDL has no operation {operation!r}") from error
        failure: ConnectorError
        try:
            return method(*arguments, _soapheaders=soap_headers, **fields)
        except zeep.exceptions.Fault as fault:
            failure = error_for(
                refusal_of_fault(fault.code, fault.message, fault.detail, status=None),
                operation=operation,
                is_safe_to_repeat=is_safe_to_repeat,
                rows=self._rows,
            )
        except zeep.exceptions.ValidationError as error:
            # Raised before anything is sent.
            failure = ValidationRejected(redact(str(error)), operation=operation)
        except (zeep.exceptions.Error, etree.Error) as error:
            kind = ProtocolViolation if is_safe_to_repeat else OutcomeUnknown
            failure = kind(shortened(redact(f"the reply does not fit the WSDL: {error}")), operation=operation)
        # Outside of the except block: zeep's error may hold the request, with its credentials.
        raise failure


def plain(value: Any) -> Any:
    """zeep's objects as dicts, lists and plain values."""
    return _zeep.helpers.serialize_object(value, target_cls=dict)


def fault_rows(rows: ErrorRows | None = None) -> dict[int | str, type[ConnectorError]]:
    """The rows for SOAP faults, a vendor's own on top."""
    return {**FAULT_ROWS, **(rows or {})}


def soap_http_options(rows: ErrorRows | None = None) -> dict[str, Any]:
    """What an HttpClient needs to speak SOAP: `HttpClient(config, url, **soap_http_options(rows))`."""
    return {
        "headers": {"Accept": "text/xml, application/soap+xml"},
        "refusal_reader": read_fault,
        "rows": fault_rows(rows),
    }


def read_fault(status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    """The refusal in a SOAP fault (1.1 or 1.2); a refusal reader for HttpClient."""
    fallback = read_any_refusal(status, headers, body)
    try:
        root = parse_safely(body)
    except ProtocolViolation:
        return fallback
    fault = next(root.iter("{*}Fault"), None)
    if fault is None:
        return fallback
    code = fault.findtext("{*}Code/{*}Value") or fault.findtext("faultcode")
    message = fault.findtext("{*}Reason/{*}Text") or fault.findtext("faultstring")
    detail = fault.find("{*}Detail")
    found = detail if detail is not None else fault.find("detail")
    return refusal_of_fault(code, message, found, status=status, request_id=fallback.request_id)


def refusal_of_fault(
    code: Any, message: Any, detail: Any, *, status: int | None, request_id: str | None = None
) -> Refusal:
    """A fault as a refusal.

    Its code is the `code` inside the detail where there is one (NetSuite, e-conomic), else the fault code without
    prefix and without what follows its first dot (`soapenv:Server.userException` -> `Server`).
    """
    named = str(code or "").rpartition(":")[2].partition(".")[0] or None
    if isinstance(detail, etree._Element):
        inner = next((node for node in detail.iter("{*}code") if node.text and node.text.strip()), None)
        if inner is not None:
            named = (inner.text or "").strip()
        if not message:
            message = detail.findtext(".//{*}message")
    return Refusal(str(message or "a fault without a text"), status=status, code=named, request_id=request_id)


class _Transport(Transport):
    """zeep's way out: local files for the WSDL, our HttpClient for the calls."""

    operation = "SOAP"
    is_safe_to_repeat = False
    take_rows: Callable[[etree._Element, bytes], None] | None = None

    def __init__(self, http: HttpClient, folder: Path, may_fetch_from_host: bool) -> None:
        # Not zeep's own __init__: it opens a session and has no bounds.
        self._http, self._folder, self._may_fetch = http, folder, may_fetch_from_host

    def __del__(self) -> None:
        """Nothing of zeep's to close."""

    def load(self, url: str) -> bytes:
        """A part of the WSDL."""
        parts = urlsplit(str(url))
        if parts.scheme in ("http", "https"):
            if not self._may_fetch:
                raise ConfigurationFault(f"the WSDL refers to {redact(str(url))}; put the file beside it")
            return self._http.get(str(url), operation="GET WSDL").body
        file = Path(url2pathname(parts.path) if parts.scheme == "file" else str(url)).resolve()
        if not file.is_relative_to(self._folder):
            raise ConfigurationFault(f"the WSDL refers to {file.name}, which is outside of its folder")
        return file.read_bytes()

    def get(self, address: str, params: Any, headers: Mapping[str, str]) -> requests.Response:
        """For bindings over HTTP GET, which are no SOAP."""
        raise ConfigurationFault("this binding is no SOAP binding")

    def post(self, address: str, message: bytes, headers: Mapping[str, str]) -> requests.Response:
        """Sends an envelope; the reply is checked, and its rows are taken out, before zeep sees it."""
        answer = self._http.post(
            address,
            operation=self.operation,
            body=message,
            headers=headers,
            is_safe_to_repeat=self.is_safe_to_repeat,
        )
        body = answer.body
        if body:
            try:
                root = parse_safely(body)
                if self.take_rows is not None:
                    self.take_rows(root, body)
                    body = etree.tostring(root, encoding="UTF-8", xml_declaration=True)
            except ProtocolViolation as error:
                kind = ProtocolViolation if self.is_safe_to_repeat else OutcomeUnknown
                raise kind(redact(error.message), operation=self.operation) from None
        response = requests.Response()
        response.status_code = answer.status
        response.headers.update(answer.headers)
        response.headers.pop("Content-Encoding", None)
        response.encoding = "utf-8"
        response._content = body
        return response
