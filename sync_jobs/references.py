"""Finding the CRM ids that records refer to: one query per page and entity, then once by id from the back office."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from crm_core.errors import UnresolvedReference
from crm_core.ids import ConnectionName, CrmId, EntityType
from crm_core.store.page import crm_ids_by_field, crm_ids_of
from crm_core.store.session import Session

Token = tuple[EntityType, str]
"""What a mapping asks for: an entity with an external id, or with `?field=value` for a natural key."""

_CACHE_BOUND = 20_000


@dataclass(slots=True)
class References:
    """The known CRM ids of one connection. Bounded: forgets everything when it has grown too large."""

    session: Session
    connection: ConnectionName
    _known: dict[Token, CrmId] = field(default_factory=dict)

    def look_up(self, tokens: Iterable[Token]) -> set[Token]:
        """Ask the store for those not known yet; returns the ones that it does not have."""
        known = self._known
        if len(known) > _CACHE_BOUND:
            known.clear()
        missing: dict[tuple[EntityType, str], list[str]] = {}
        for token in tokens:
            if token not in known:
                entity, key = token
                name, equals, value = key.partition("=")
                is_natural = key.startswith("?") and bool(equals)
                missing.setdefault((entity, name[1:] if is_natural else ""), []).append(value if is_natural else key)
        absent: set[Token] = set()
        for (entity, name), keys in missing.items():
            unique = list(dict.fromkeys(keys))
            if name:
                found = crm_ids_by_field(self.session, self.connection, entity, name, unique)
            else:
                found = crm_ids_of(self.session, self.connection, entity, unique)
            for key in unique:
                token = (entity, f"?{name}={key}" if name else key)
                if key in found:
                    known[token] = found[key]
                else:
                    absent.add(token)
        return absent

    def learn(self, token: Token, crm_id: CrmId) -> None:
        """A record that was just taken in."""
        self._known[token] = crm_id

    def resolve(self, entity: EntityType, key: str) -> CrmId:
        """For the mapping. Raises UnresolvedReference."""
        crm_id = self._known.get((entity, key))
        if crm_id is None:
            raise UnresolvedReference(entity.value, key)
        return crm_id
