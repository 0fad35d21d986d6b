"""Who may ask the HTTP face for what: scopes, and API keys as people hold them and as we keep them.

A key is `cfk_7K3QX9M2_` and 43 more characters, 256 random bits. The eight characters are its id, which may be shown;
of the rest only a digest is kept. A fast hash is right here: a slow one protects what people choose and others guess,
which nobody can do with 256 random bits, and it would let anybody who sends nonsense keep our processor busy.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from crm_core.errors import ConfigurationFault, did_you_mean
from crm_core.keys import CHARACTERS

KEY_PREFIX = "cfk"
SALT_BYTES = 16
_ID_CHARACTERS = 8
_SECRET_BYTES = 32
_KEY = re.compile(rf"{KEY_PREFIX}_(?P<id>[{CHARACTERS}]{{{_ID_CHARACTERS}}})_(?P<secret>[A-Za-z0-9_-]{{43}})")


class Scope(StrEnum):
    """What a key opens."""

    SALES_READ = "sales.read"
    """Accounts, credit, products, stock, prices, orders; checking an order."""
    ORDERS_WRITE = "orders.write"
    """Placing an order."""
    OPERATIONS = "operations"
    """Runs, connections, dead letters and the outbox, with their actions; metrics."""
    ADMIN = "admin"
    """Everything."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just drawn. `text` is shown once and kept nowhere."""

    id: str
    text: str
    salt: bytes
    digest: bytes


def new_key(draw: Callable[[int], bytes] = secrets.token_bytes) -> NewKey:
    """A key that nobody has. draw: that many random bytes."""
    key_id = "".join(CHARACTERS[byte % len(CHARACTERS)] for byte in draw(_ID_CHARACTERS))
    secret = _base64(draw(_SECRET_BYTES))
    salt = draw(SALT_BYTES)
    return NewKey(key_id, f"{KEY_PREFIX}_{key_id}_{secret}", salt, key_digest(secret, salt))


def split_key(text: str) -> tuple[str, str] | None:
    """The id and the secret of a key; None for what is no key."""
    found = _KEY.fullmatch(text)
    return (found["id"], found["secret"]) if found else None


def key_digest(secret: str, salt: bytes) -> bytes:
    """What is kept of a key's secret: BLAKE2b, keyed with the salt of its row."""
    return hashlib.blake2b(secret.encode(), key=salt, digest_size=32).digest()


def is_same(one: bytes, other: bytes) -> bool:
    """Whether two digests are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)


def scopes_of(names: Iterable[str]) -> frozenset[Scope]:
    """The scopes of these names. Raises ConfigurationFault that names the nearest one."""
    known = [scope.value for scope in Scope]
    found = set()
    for name in names:
        if name not in known:
            raise ConfigurationFault(f"there is no scope {name!r}{did_you_mean(name, known)}")
        found.add(Scope(name))
    return frozenset(found)


def may(held: Iterable[Scope], wanted: Scope) -> bool:
    """Whether these scopes open what `wanted` opens."""
    return wanted in held or Scope.ADMIN in held


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
