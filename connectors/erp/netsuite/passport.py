"""The token passport: NetSuite's token-based authentication, a fresh signature for every request.

Sources: "TokenPassport Complex Type", "The Signature for Web Services" (base string and key, HMAC-SHA256, base64).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ALGORITHM = "HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with the secrets of an integration and of a token. clock: seconds since the epoch. nonce: never twice."""

    account: str
    consumer_key: str = field(repr=False)
    consumer_secret: str = field(repr=False)
    token_id: str = field(repr=False)
    token_secret: str = field(repr=False)
    clock: Callable[[], float] = time.time
    nonce: Callable[[], str] = lambda: secrets.token_hex(16)

    def passport(self) -> dict[str, Any]:
        """The header element `tokenPassport` of one request."""
        nonce, timestamp = self.nonce(), int(self.clock())
        return {
            "account": self.account,
            "consumerKey": self.consumer_key,
            "token": self.token_id,
            "nonce": nonce,
            "timestamp": timestamp,
            "signature": {"_value_1": self.signature(nonce, timestamp), "algorithm": ALGORITHM},
        }

    def signature(self, nonce: str, timestamp: int) -> str:
        """Of account, consumer key, token, nonce and timestamp, by both secrets."""
        base = "&".join((self.account, self.consumer_key, self.token_id, nonce, str(timestamp)))
        key = f"{self.consumer_secret}&{self.token_secret}"
        return base64.b64encode(hmac.new(key.encode(), base.encode(), hashlib.sha256).digest()).decode()
