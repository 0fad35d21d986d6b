"""Who uses a connection: one process at a time, until it gives the lease back or is silent for too long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

from crm_core.errors import LeaseUnavailable
from crm_core.store.owners import is_dead_here, owner_of_this_process
from crm_core.store.page import get_moment, stamp
from crm_core.store.session import Session

LEASE_DURATION = timedelta(seconds=20)
"""How long the world waits for a process that is silent. One that is alive renews its lease every few seconds, whatever
a page takes (`sync_jobs/leases.py`), so that this is longer than a machine is ever busy with something else.
"""

_held: set[tuple[str, int]] = set()
"""The leases (name, token) that this process has not given back; its threads may run different jobs."""


@dataclass(slots=True)
class Lease:
    """The right to use a connection. The token grows with every owner, so that one who lost it is told."""

    name: str
    token: int

    def renew(self, session: Session, moment: datetime) -> None:
        """Part of each page's transaction. Raises LeaseUnavailable when somebody else has taken over."""
        touched = session.run(
            "UPDATE leases SET expires_at = ? WHERE name = ? AND token = ? AND owner = ?",
            (stamp(session, moment + LEASE_DURATION), self.name, self.token, owner_of_this_process()),
        )
        if touched != 1:
            raise LeaseUnavailable(
                f"connection {self.name!r}: another process has taken over; this page was not stored"
            )

    def renewed_at(self, clock: Callable[[], datetime]) -> Callable[[Session], None]:
        """A function that renews it as of now."""
        return lambda session: self.renew(session, clock())

    def release(self, session: Session, moment: datetime) -> None:
        """Let the next one in at once, whatever our clock does until then, and even when the database fails now."""
        _held.discard((self.name, self.token))
        with session.transaction():
            session.run(
                "UPDATE leases SET owner = '', expires_at = ? WHERE name = ? AND token = ?",
                (stamp(session, moment), self.name, self.token),
            )


def take_lease(session: Session, name: str, moment: datetime) -> Lease:
    """Become the one that uses this connection. Raises LeaseUnavailable naming the process that does.

    name: the connection's. Its jobs share bindings, checkpoints and letters, so that only one of them runs at a time.

    A lease whose process is dead on this machine is taken over at once; elsewhere when it expires. What a silent one
    has open in PostgreSQL is ended then: it would keep its rows from the next one for as long as it is stopped.
    """
    me = owner_of_this_process()
    for token, owner, expires_at in session.all(_HOLDER, (name,)):
        # without its lock: the page that its holder has open keeps the row
        _refuse_while_in_use(name, token, owner, get_moment(session, expires_at), moment)
        if owner and owner != me:
            session.end_silent(owner, LEASE_DURATION.total_seconds())
    with session.transaction():
        session.run(
            "INSERT INTO leases (name, token, owner, expires_at) VALUES (?, 0, '', ?) ON CONFLICT (name) DO NOTHING",
            (name, stamp(session, moment)),
        )
        # PostgreSQL takes the row lock here; SQLite's transaction has the whole file already
        session.run("UPDATE leases SET token = token WHERE name = ?", (name,))
        token, owner, expires_at = session.all(_HOLDER, (name,))[0]
        _refuse_while_in_use(name, token, owner, get_moment(session, expires_at), moment)
        # a PostgreSQL that crashed may have forgotten who took it last; two of this process must not have one token
        new = next(number for number in count(token + 1) if (name, number) not in _held)
        session.run(
            "UPDATE leases SET token = ?, owner = ?, expires_at = ? WHERE name = ?",
            (new, me, stamp(session, moment + LEASE_DURATION), name),
        )
    _held.add((name, new))
    return Lease(name, new)


_HOLDER = "SELECT token, owner, expires_at FROM leases WHERE name = ?"


def _refuse_while_in_use(name: str, token: int, owner: str, expires: datetime, moment: datetime) -> None:
    is_lost = owner == owner_of_this_process() and (name, token) not in _held
    if owner and expires > moment and not is_lost and not is_dead_here(owner):
        raise LeaseUnavailable(
            f"connection {name!r} is in use by {owner.rpartition(':')[0]}; its lease ends {expires:%H:%M:%S} UTC"
            " unless it is renewed"
        )


def is_leased(session: Session, name: str, moment: datetime) -> bool:
    """Whether a process that may well be alive has this lease."""
    rows = session.all("SELECT owner, expires_at FROM leases WHERE name = ?", (name,))
    return any(owner and not is_dead_here(owner) and get_moment(session, expires) > moment for owner, expires in rows)
