"""The keys by which a write is known on the other side: short, found in any text, never the same twice.

A client reference names one record of our CRM (an order, an account) in every back office that it is pushed to:
`CF7K3QX9M2WD4TQ`, 15 characters, so that it fits the 20 of the shortest field that we know (SAP's
BusinessPartnerIDByExtSystem). It is drawn at random, not made from our ids: a CRM that is restored from a backup, or a
second CRM on the same back office, would otherwise give an old key to a new record and adopt somebody else's order.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from crm_core.ids import ClientReference, IdempotencyKey

PREFIX = "CF"
CHARACTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O and U, which people misread."""
_RANDOM_CHARACTERS = 12  # 60 bits: a million references share one with a probability of 4 in 10 million
_JOINTS = " /;,-"
REFERENCE_LENGTH = len(PREFIX) + _RANDOM_CHARACTERS + 1
_REFERENCE = re.compile(rf"(?<![0-9A-Za-z]){PREFIX}[{CHARACTERS}]{{{_RANDOM_CHARACTERS + 1}}}(?![0-9A-Za-z])")


def new_client_reference(draw: Callable[[int], int] = secrets.randbelow) -> ClientReference:
    """A reference that nobody has. draw: a random number below its argument."""
    body = "".join(CHARACTERS[draw(len(CHARACTERS))] for _ in range(_RANDOM_CHARACTERS))
    return ClientReference(f"{PREFIX}{body}{_check_character(body)}")


def find_client_reference(text: str | None) -> ClientReference | None:
    """The reference that stands in a text, alone or among other words (`PO-4711/CF7K3QX9M2WD4TQ`); None for none.

    A text that only looks like one (its check character is wrong) is none.
    """
    for found in _REFERENCE.finditer(text or ""):
        body = found[0][len(PREFIX) : -1]
        if _check_character(body) == found[0][-1]:
            return ClientReference(found[0])
    return None


def without_client_reference(text: str | None) -> str | None:
    """What a text says beside our reference, without the sign that joined the two; None for nothing.

    `PO-4711/CF7K3QX9M2WD4TQ` is `PO-4711`: the customer's own reference, where a system has one field for both.
    """
    ours = find_client_reference(text)
    if text is None or ours is None:
        return text
    before, _, after = text.partition(ours)
    return " ".join(part for part in (before.rstrip(_JOINTS), after.lstrip(_JOINTS)) if part) or None


def idempotency_key(reference: ClientReference, revision: int) -> IdempotencyKey:
    """The key of one content of a record, `CF7K3QX9M2WD4TQ-1`: a new revision is for a new content only."""
    if revision < 1:
        raise ValueError(f"revisions count from 1, not {revision}")
    return IdempotencyKey(f"{reference}-{revision}")


def _check_character(body: str) -> str:
    """Finds every single wrong character (the weights are odd, the modulus is 32)."""
    return CHARACTERS[sum((2 * place + 1) * CHARACTERS.index(c) for place, c in enumerate(body)) % len(CHARACTERS)]
