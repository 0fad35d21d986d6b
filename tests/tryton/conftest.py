"""A real Tryton server for the session, its own witness, and ways to ask it as the administrator."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from connectors.envelopes import SourceRecord
from connectors.erp.tryton.client import TrytonClient
from connectors.erp.tryton.config import TrytonConfig
from connectors.erp.tryton.connector import Tryton
from connectors.ports import SourceStream
from connectors.transport.json_pages import decode
from crm_core.ids import EntityType
from simulators.tryton_server.server import TrytonServer

HOME = Path(os.environ.get("COUNTERFOIL_TRYTON_HOME") or Path(__file__).resolve().parents[2] / ".tryton")

Connect = Callable[..., Tryton]
Whole = Callable[[EntityType], list[SourceRecord]]


def config_for(server: TrytonServer, **changes: Any) -> TrytonConfig:
    """How the hub reaches this server; `changes` are settings of the connection."""
    known = {"url": server.url, "database": server.database, "user": server.user, "password": server.password}
    return TrytonConfig.model_validate({**known, **changes})


def records_of(stream: SourceStream, since: str | None = None) -> dict[str, dict[str, Any]]:
    """All records of a read, parsed, by their id."""
    return {record.external_id: decode(record.payload) for record in raw_records(stream, since)}


def raw_records(stream: SourceStream, since: str | None = None) -> list[SourceRecord]:
    """All records of a read, in its order."""
    return [record for page in stream.pages(since) for record in page.records]


def content_of(record: SourceRecord) -> bytes:
    """The bytes that count for the fingerprint: all but the moment at the end."""
    return bytes(record.payload).partition(b',"@as_of"')[0]


def as_administrator(server: TrytonServer) -> TrytonClient:
    """A client that may change everything."""
    return TrytonClient(config_for(server, user=server.admin_user, password=server.admin_password))


def ask(client: TrytonClient, model: str, method: str, *params: Any, **context: Any) -> Any:
    """One call, whatever it does."""
    client._session.headers()
    full = {**client.context, **context}
    return client._rpc.call(f"model.{model}.{method}", *params, full, is_safe_to_repeat=False)


@pytest.fixture(scope="session")
def server() -> Iterator[TrytonServer]:
    """A server that no test changes. The first start on a machine installs Tryton and seeds its database."""
    with TrytonServer(HOME) as running:
        yield running


@pytest.fixture(scope="session")
def truth(server: TrytonServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Tryton's own client says, by another protocol and as another user. It takes its time, so that the first of
    several test processes leaves it to the others, whose servers hold the same.
    """
    base = tmp_path_factory.getbasetemp()
    kept = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "truth.json"
    if not kept.exists():
        made = tmp_path_factory.mktemp("truth") / "truth.json"
        made.write_text(json.dumps(server.truth()), encoding="utf-8")
        made.replace(kept)
    told: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return told


@pytest.fixture(scope="session")
def tryton(server: TrytonServer) -> Iterator[Tryton]:
    """A connection that is signed in."""
    with Tryton(config_for(server)) as connector:
        connector.check()
        yield connector


@pytest.fixture(scope="session")
def whole(tryton: Tryton) -> Whole:
    """All records of an entity, read once: no test changes this server."""
    return cache(lambda entity: raw_records(tryton.stream(entity)))
