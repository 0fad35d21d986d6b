"""Keys of the HTTP face, sessions of its pages, and the log of who asked for what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from crm_core.access import NewKey, Scope
from crm_core.errors import RowMissing
from crm_core.store.page import get_moment, stamp, unstamp
from crm_core.store.session import Row, Session

# -- keys -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept: of its secret only a salted digest."""

    id: str
    name: str
    scopes: frozenset[Scope]
    salt: bytes
    digest: bytes
    created_at: datetime
    revoked_at: datetime | None


_KEY = "SELECT id, name, scopes, salt, digest, created_at, revoked_at FROM api_keys"


def add_key(session: Session, new: NewKey, name: str, scopes: Iterable[Scope], moment: datetime) -> ApiKey:
    """Keep a new key. Raises RowTaken when its id is another one's."""
    with session.transaction():
        session.run(
            "INSERT INTO api_keys (id, name, scopes, salt, digest, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            (new.id, name, " ".join(sorted(scopes)), new.salt, new.digest, stamp(session, moment)),
        )
    return get_key(session, new.id)


def list_keys(session: Session) -> list[ApiKey]:
    """Every key in the order in which they were made, revoked ones too."""
    return [_key(session, row) for row in session.all(f"{_KEY} ORDER BY created_at, id")]


def find_key(session: Session, key_id: str) -> ApiKey | None:
    """The key with this id, revoked or not."""
    return next((_key(session, row) for row in session.all(f"{_KEY} WHERE id = ?", (key_id,))), None)


def get_key(session: Session, key_id: str) -> ApiKey:
    """Raises RowMissing when there is none."""
    found = find_key(session, key_id)
    if found is None:
        raise RowMissing(f"there is no key {key_id}; see `counterfoil keys list`")
    return found


def has_active_keys(session: Session) -> bool:
    """Whether any key is in use."""
    return bool(session.all("SELECT 1 FROM api_keys WHERE revoked_at IS NULL LIMIT 1"))


def revoke_key(session: Session, key_id: str, moment: datetime) -> ApiKey:
    """The key opens nothing any more, and its sessions end. Raises RowMissing for one that is not there."""
    get_key(session, key_id)
    with session.transaction():
        session.run(
            "UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (stamp(session, moment), key_id)
        )
        session.run("DELETE FROM web_sessions WHERE key_id = ?", (key_id,))
    return get_key(session, key_id)


def _key(session: Session, row: Row) -> ApiKey:
    key_id, name, scopes, salt, digest, created, revoked = row
    return ApiKey(
        key_id,
        name,
        frozenset(Scope(scope) for scope in scopes.split()),
        bytes(salt),
        bytes(digest),
        get_moment(session, created),
        unstamp(session, revoked),
    )


# -- sessions of pages ------------------------------------------------------------------------------------------------


def add_web_session(session: Session, digest: bytes, key_id: str, moment: datetime, expires_at: datetime) -> None:
    """Somebody signed in with a key; sessions that have expired are forgotten."""
    with session.transaction():
        session.run("DELETE FROM web_sessions WHERE expires_at <= ?", (stamp(session, moment),))
        session.run(
            "INSERT INTO web_sessions (digest, key_id, created_at, expires_at) VALUES (?, ?, ?, ?)",
            (digest, key_id, stamp(session, moment), stamp(session, expires_at)),
        )


def find_web_session(session: Session, digest: bytes, moment: datetime) -> ApiKey | None:
    """The key that a session was opened with; None when it has ended, or the key was revoked."""
    rows = session.all(
        "SELECT key_id FROM web_sessions WHERE digest = ? AND expires_at > ?", (digest, stamp(session, moment))
    )
    key = find_key(session, rows[0][0]) if rows else None
    return key if key is not None and key.revoked_at is None else None


def end_web_session(session: Session, digest: bytes) -> None:
    """Somebody signed out."""
    with session.transaction():
        session.run("DELETE FROM web_sessions WHERE digest = ?", (digest,))


# -- audit ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One request. id: the request's. who: `key:ID`, `oidc:SUBJECT`, `webhook:CONNECTION`, `local`.

    action: method and route; subject: the path, never the query (it may hold a name). status: as answered; None: it
    was begun, and its answer was not recorded.
    """

    id: str
    at: datetime
    who: str
    action: str
    subject: str | None
    status: int | None = None


def note_asked(session: Session, entries: Sequence[AuditEntry]) -> None:
    """Keep who asked for what; the answer's status of those that were noted when they began."""
    with session.transaction():
        session.run_many(
            "INSERT INTO audit_log (id, at, who, action, subject, status) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET status = excluded.status",
            [(one.id, stamp(session, one.at), one.who, one.action, one.subject, one.status) for one in entries],
        )


def list_asked(session: Session, *, limit: int = 100, who: str | None = None) -> list[AuditEntry]:
    """Who asked for what, the newest first."""
    where, parameters = ("WHERE who = ?", [who]) if who is not None else ("", [])
    rows = session.all(
        f"SELECT id, at, who, action, subject, status FROM audit_log {where} ORDER BY at DESC, id DESC LIMIT ?",
        (*parameters, limit),
    )
    return [AuditEntry(row[0], get_moment(session, row[1]), *row[2:]) for row in rows]


def forget_asked(session: Session, before: datetime) -> int:
    """Drop what is older; how many entries that were."""
    with session.transaction():
        return session.run("DELETE FROM audit_log WHERE at < ?", (stamp(session, before),))
