"""NetSuite as any other SOAP client would speak to it: envelopes written by hand, nothing of the connector."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
from typing import Any

import requests
from lxml import etree

from simulators.netsuite.server import PATH, NetSuiteSimulator, Settings

NAMESPACES = {
    "s": "http://schemas.xmlsoap.org/soap/envelope/",
    "m": "urn:messages_2023_2.platform.webservices.netsuite.com",
    "c": "urn:core_2023_2.platform.webservices.netsuite.com",
    "k": "urn:common_2023_2.platform.webservices.netsuite.com",
    "f": "urn:faults_2023_2.platform.webservices.netsuite.com",
    "r": "urn:relationships_2023_2.lists.webservices.netsuite.com",
    "sales": "urn:sales_2023_2.transactions.webservices.netsuite.com",
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
}
_DECLARED = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
_nonces = itertools.count(1)


def passport(settings: Settings, timestamp: int, *, nonce: str | None = None, **changes: str) -> str:
    """A signed token passport; `changes` replace settings before it is signed."""
    nonce = nonce or f"nonce-{next(_nonces):06d}"
    given = {
        name: changes.get(name, getattr(settings, name))
        for name in ("account", "consumer_key", "consumer_secret", "token_id", "token_secret")
    }
    base = "&".join((given["account"], given["consumer_key"], given["token_id"], nonce, str(timestamp)))
    key = f"{given['consumer_secret']}&{given['token_secret']}".encode()
    signature = base64.b64encode(hmac.new(key, base.encode(), hashlib.sha256).digest()).decode()
    return (
        f"<m:tokenPassport><c:account>{given['account']}</c:account>"
        f"<c:consumerKey>{given['consumer_key']}</c:consumerKey><c:token>{given['token_id']}</c:token>"
        f"<c:nonce>{nonce}</c:nonce><c:timestamp>{timestamp}</c:timestamp>"
        f'<c:signature algorithm="HMAC-SHA256">{signature}</c:signature></m:tokenPassport>'
    )


class Caller:
    """Calls of one simulator."""

    def __init__(self, simulator: NetSuiteSimulator, clock: Any) -> None:
        self.simulator, self.clock = simulator, clock
        self.session = requests.Session()
        self.session.trust_env = False

    def post(self, operation: str, body: str, *, header: str | None = None, extra: str = "") -> requests.Response:
        """One call. header: instead of a right passport; extra: further header elements."""
        signed = passport(self.simulator.settings, int(self.clock().timestamp())) if header is None else header
        text = (
            f"<s:Envelope {_DECLARED}><s:Header>{signed}{extra}</s:Header>"
            f"<s:Body><m:{operation}>{body}</m:{operation}></s:Body></s:Envelope>"
        )
        return self.session.post(
            f"{self.simulator.url}{PATH}",
            data=text.encode(),
            headers={"Content-Type": "text/xml; charset=utf-8", "SOAPAction": operation},
            timeout=5,
        )

    def call(self, operation: str, body: str, *, extra: str = "") -> etree._Element:
        """The element of an answer that must come."""
        answer = self.post(operation, body, extra=extra)
        assert answer.status_code == 200, answer.text
        return etree.fromstring(answer.content).find("s:Body", NAMESPACES)[0]

    def search(self, criteria: str, *, size: int = 1000, body_only: bool = False) -> etree._Element:
        """The result of a search."""
        preferences = (
            f"<m:searchPreferences><m:bodyFieldsOnly>{str(body_only).lower()}</m:bodyFieldsOnly>"
            f"<m:pageSize>{size}</m:pageSize></m:searchPreferences>"
        )
        return self.call("search", criteria, extra=preferences)[0]


def fault_of(answer: requests.Response) -> tuple[str, str]:
    """Element and code of a fault."""
    assert answer.status_code == 500
    detail = etree.fromstring(answer.content).find(".//detail")[0]
    return etree.QName(detail).localname, detail.findtext("f:code", namespaces=NAMESPACES)


def status_of(result: etree._Element) -> tuple[bool, str | None]:
    """Whether a status is a success, and its code."""
    status = next(result.iter(f"{{{NAMESPACES['c']}}}status"))
    return status.get("isSuccess") == "true", status.findtext(".//c:code", namespaces=NAMESPACES)


def ids_of(result: etree._Element) -> list[int]:
    """The internal ids of the records of a result, in its order."""
    return [int(record.get("internalId")) for record in result.iterfind(".//c:record", NAMESPACES)]
