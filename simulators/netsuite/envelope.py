"""SOAP 1.1 around a request and an answer: the passport and preferences on the way in, statuses and faults back."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from simulators.exchange import Response
from simulators.netsuite.schema import Schema, SchemaError
from simulators.netsuite.xml_text import XSI, BadXml, Node, escape, parse

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_XML = (("Content-Type", "text/xml; charset=utf-8"),)
CLOCKS_MAY_DIFFER = timedelta(minutes=5)


class Fault(Exception):
    """A request that gets no answer: the fault's element of the contract, its code, its text."""

    def __init__(self, element: str, code: str, message: str) -> None:
        self.element, self.code, self.message = element, code, message
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Credentials:
    """An integration record and a token of it (token-based authentication)."""

    account: str
    consumer_key: str
    consumer_secret: str
    token_id: str
    token_secret: str


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the operation, the node of its body, the header elements by local name."""

    operation: str
    body: Node
    headers: Mapping[str, Node]


def read_call(body: bytes) -> Call:
    """The call in an envelope. Raises Fault."""
    try:
        root = parse(body)
    except BadXml as problem:
        raise Fault("unexpectedErrorFault", "USER_ERROR", f"The request is no XML: {problem}") from None
    inside = root.find("Body")
    if root.name != (_SOAP, "Envelope") or inside is None or len(inside.children) != 1:
        raise Fault("unexpectedErrorFault", "USER_ERROR", "The request is no SOAP 1.1 envelope of one call.")
    header = root.find("Header")
    headers = {} if header is None else {node.name[1]: node for node in header.children}
    return Call(inside.children[0].name[1], inside.children[0], headers)


class Doorkeeper:
    """Checks passports: signed by the token, by a clock like ours, and never seen before."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._key = f"{credentials.consumer_secret}&{credentials.token_secret}".encode()
        self._seen: dict[str, float] = {}

    def check(self, schema: Schema, call: Call, now: datetime) -> None:
        """Raises Fault."""
        node = call.headers.get("tokenPassport")
        if node is None:
            raise _no_entry("INVALID_LOGIN_CREDENTIALS", "Invalid login attempt.")
        try:
            passport: dict[str, Any] = schema.read(node, "core:TokenPassport")
        except SchemaError as problem:
            raise _no_entry("USER_ERROR", f"The passport does not fit: {problem}") from None
        known = self._credentials
        if passport["account"] != known.account:
            raise Fault("invalidAccountFault", "INVALID_ACCT", "Invalid account.")
        nonce, timestamp = passport["nonce"], passport["timestamp"]
        base = "&".join((known.account, passport["consumerKey"], passport["token"], nonce, str(timestamp)))
        signature = base64.b64encode(hmac.new(self._key, base.encode(), hashlib.sha256).digest()).decode()
        is_ours = (passport["consumerKey"], passport["token"]) == (known.consumer_key, known.token_id)
        signed = passport["signature"]
        if not is_ours or signed["algorithm"] != "HMAC-SHA256" or not hmac.compare_digest(signed["text"], signature):
            raise _no_entry("INVALID_LOGIN_CREDENTIALS", "Invalid login attempt.")
        if abs(now.timestamp() - timestamp) > CLOCKS_MAY_DIFFER.total_seconds():
            raise _no_entry("INVALID_LOGIN_CREDENTIALS", "Invalid login attempt: the timestamp is not of now.")
        if not 6 <= len(nonce) <= 64 or nonce in self._seen:
            raise _no_entry("INVALID_LOGIN_CREDENTIALS", "Invalid login attempt: the nonce was used before.")
        self._remember(nonce, now.timestamp())

    def _remember(self, nonce: str, at: float) -> None:
        if len(self._seen) > 50_000:
            oldest = at - 2 * CLOCKS_MAY_DIFFER.total_seconds()
            self._seen = {known: since for known, since in self._seen.items() if since >= oldest}
        self._seen[nonce] = at


def _no_entry(code: str, message: str) -> Fault:
    return Fault("invalidCredentialsFault", code, message)


def answer(schema: Schema, account: str, number: int, body: str) -> Response:
    """An envelope with the answer's element."""
    request_id = f"WEBSERVICES_{account}_{number:06d}"
    text = (
        f'<?xml version="1.0" encoding="utf-8"?><soapenv:Envelope xmlns:soapenv="{_SOAP}" xmlns:xsi="{XSI}" '
        f"{schema.declarations}><soapenv:Header><messages:documentInfo><messages:nsId>{request_id}</messages:nsId>"
        f"</messages:documentInfo></soapenv:Header><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    )
    return Response(200, text.encode(), _XML)


def fault_response(fault: Fault) -> Response:
    """A SOAP fault: HTTP 500, code and message in its detail."""
    text = (
        f'<?xml version="1.0" encoding="utf-8"?><soapenv:Envelope xmlns:soapenv="{_SOAP}"><soapenv:Body>'
        f"<soapenv:Fault><faultcode>soapenv:Server.userException</faultcode><faultstring>{escape(fault.message)}"
        f'</faultstring><detail><platformFaults:{fault.element} xmlns:platformFaults="{_FAULTS}">'
        f"<platformFaults:code>{fault.code}</platformFaults:code>"
        f"<platformFaults:message>{escape(fault.message)}</platformFaults:message>"
        f"</platformFaults:{fault.element}></detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>"
    )
    return Response(500, text.encode(), _XML)


_FAULTS = "urn:faults_2023_2.platform.webservices.netsuite.com"

OK: dict[str, Any] = {"isSuccess": True}


def refused(code: str, message: str) -> dict[str, Any]:
    """A status that says no."""
    return {"isSuccess": False, "statusDetail": [{"type": "ERROR", "code": code, "message": message}]}
