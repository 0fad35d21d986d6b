"""A lease is kept while its holder works, however long a page takes; it ends when the process dies or is stopped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from crm_core.errors import RunStopped, StoreFault
from crm_core.store.database import Database
from crm_core.store.session import Session

log = logging.getLogger("counterfoil.jobs")

RENEW_SECONDS = 5.0


@contextmanager
def kept(database: Database, name: str, renew: Callable[[Session], None]) -> Iterator[None]:
    """Within: a thread of its own renews the lease every few seconds. Work that is done sooner costs no session.

    When somebody else has taken over it ends without a word: the next page of the one who lost it is refused anyway.
    While the database is not there it goes on trying.
    """
    done = threading.Event()

    def keep() -> None:
        while not done.wait(RENEW_SECONDS):
            try:
                with closing(database.open()) as session:
                    while True:
                        with session.transaction():
                            renew(session)
                        if done.wait(RENEW_SECONDS):
                            return
            except RunStopped:
                return
            except StoreFault as fault:
                log.warning("the lease of %s could not be renewed: %s", name, fault)

    thread = threading.Thread(target=keep, name=f"lease of {name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
