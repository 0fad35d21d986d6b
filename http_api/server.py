"""`counterfoil serve`: the application on an address, by uvicorn, until somebody stops it."""

from __future__ import annotations

import gc
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from threading import Event, Thread

import uvicorn

from crm_core.errors import ConfigurationFault, NewerSchema, StoreFault
from crm_core.store.access import has_active_keys
from crm_core.store.database import refuse_newer, version_of
from http_api.app import create_app
from http_api.settings import HttpSettings
from sync_jobs.bootstrap import Hub
from sync_jobs.live.sessions import Sessions
from sync_jobs.process import tuned_for_throughput

log = logging.getLogger("counterfoil.http")

LOOKS_EVERY_SECONDS = 2.0
"""So long an older release may go on answering beside a newer one that has just changed the tables."""

_GOODBYE_SECONDS = 10
_WAITING_CONNECTIONS = 2048


def serve(hub: Hub, settings: HttpSettings, *, told: Callable[[str], None]) -> None:
    """Answer until SIGINT or SIGTERM; requests under way are finished. told: is given the address once it is open.

    Raises ConfigurationFault for an address that cannot be taken, and for one that others can reach while there is no
    key: then anybody could ask. Raises NewerSchema when a newer release has taken the database over: what this one
    would write there is not what that one reads.
    """
    refuse_open_door(hub, settings)
    app = create_app(hub, settings)
    with closing(_listening(settings)) as listener:
        port = listener.getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        told(f"http://{host}:{port}")
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=_GOODBYE_SECONDS,
            backlog=_WAITING_CONNECTIONS,
        )
        # What is here now stays: the collector need not look at it again and again.
        gc.collect()
        with tuned_for_throughput():
            server = uvicorn.Server(config)
            with _ended_by_a_newer_release(hub, server):
                server.run(sockets=[listener])


@contextmanager
def _ended_by_a_newer_release(hub: Hub, server: uvicorn.Server) -> Iterator[None]:
    done, found, sessions = Event(), list[NewerSchema](), Sessions(hub.database)

    def look() -> None:
        while not done.wait(LOOKS_EVERY_SECONDS):
            try:
                with sessions.one() as session:
                    refuse_newer(version_of(session))
            except NewerSchema as fault:
                log.error("outgrown", extra={"error": str(fault)})
                found.append(fault)
                server.should_exit = True
                return
            except StoreFault:
                continue  # a database that is away is told of by /readyz, and may come back

    thread = Thread(target=look, name="schema", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(LOOKS_EVERY_SECONDS)
        sessions.close()
    if found:
        raise found[0]


def refuse_open_door(hub: Hub, settings: HttpSettings) -> None:
    """Raises ConfigurationFault when others could reach a hub without a key."""
    if settings.is_for_this_machine_only or settings.oidc is not None:
        return
    with closing(hub.database.open()) as session:
        if has_active_keys(session):
            return
    where = settings.host if not settings.allowed_hosts else ", ".join(settings.allowed_hosts)
    raise ConfigurationFault(
        f"{where} can be reached from elsewhere, and there is no key yet: anybody could ask;"
        " `counterfoil keys create NAME --scope sales.read` makes one"
    )


def _listening(settings: HttpSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(_WAITING_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise ConfigurationFault(f"{settings.host}:{settings.port} cannot be listened to: {error.strerror}") from error
    listener.set_inheritable(True)
    return listener
