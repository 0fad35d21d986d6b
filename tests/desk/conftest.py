"""A small company in a simulated Business Central, pulled into a real store, and the pages over it."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from crm_core.access import Scope, new_key
from crm_core.ids import CrmId, EntityType
from crm_core.store import repository
from crm_core.store.access import add_key
from http_api.app import create_app
from simulators.business_central.rehearsal import Rehearsal
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.operations import opened, pull

_MAPPING = """\
entity: account
connector: business_central
extends: default
fields:
  custom.salesperson: {from: salespersonCode, map: {JO: Jo Berry, MH: Mia Hartmann}}
"""
"""As an integrator has it: a salesperson without a line here is a dead letter."""
_CSRF = re.compile(r'name="csrf" value="([0-9a-f]{48})"')


@dataclass
class Desk:
    """The hub, its application and its back office."""

    hub: Hub
    app: FastAPI
    office: Rehearsal

    def key(self, *scopes: Scope) -> str:
        """The text of a new key."""
        return key_for(self.hub, *scopes)

    def id_of(self, entity: EntityType, code: str) -> CrmId:
        """Our id of a record by its code."""
        return id_of(self.hub, entity, code)


@dataclass
class Visitor:
    """Somebody with a browser that has no JavaScript: keeps cookies, sends forms with the token of the page."""

    client: TestClient

    def get(self, path: str, *, expect: int = 200, **options: Any) -> str:
        """The text of a page; its status is asserted. Redirects are followed."""
        answer = self.client.get(path, **options)
        assert answer.status_code == expect, answer.text
        return answer.text

    def post(self, path: str, page: str, fields: dict[str, Any], *, expect: int = 200, **options: Any) -> str:
        """Send a form of `page`; gives the page that it leads to."""
        found = _CSRF.search(page)
        token = {"csrf": found[1]} if found else {}
        answer = self.client.post(path, data={**token, **fields}, **options)
        assert answer.status_code == expect, answer.text
        return answer.text

    def sign_in(self, key: str) -> str:
        """The page that follows."""
        return self.post("/desk/sign-in", self.get("/desk/sign-in"), {"key": key})


def key_for(hub: Hub, *scopes: Scope) -> str:
    """The text of a new key."""
    drawn = new_key()
    with opened(hub) as session:
        add_key(session, drawn, "the sales desk", scopes, hub.clock())
    return drawn.text


def id_of(hub: Hub, entity: EntityType, code: str) -> CrmId:
    """Our id of a record by its code."""
    found = repository.find_by_code(hub.database.engine, entity, code)
    assert found is not None, code
    assert found.id is not None
    return found.id


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """A real server on loopback; its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
    assert not thread.is_alive()


def settings_text(office: Rehearsal) -> str:
    """A configuration with the office as its one connection, which takes orders."""
    options = "\n".join(f'{name} = "{value}"' for name, value in office.options().items())
    return (
        f'[connections.erp]\nconnector = "business_central"\npush = ["order"]\n{options}\n'
        '[connections.erp.mappings]\naccount = "account.yaml"\n'
    )


@contextmanager
def opened_desk(folder: Path) -> Iterator[Desk]:
    """A hub that was pulled once, and its application, which is not running yet."""
    with Rehearsal() as office:
        file = folder / "counterfoil.toml"
        (folder / "account.yaml").write_text(_MAPPING, encoding="utf-8")
        file.write_text(settings_text(office), encoding="utf-8")
        hub = open_hub(file)
        assert pull(hub, "erp").status == "succeeded"
        yield Desk(hub, create_app(hub), office)
        hub.database.engine.dispose()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One for the tests of a file: they look, or change what no other looks at."""
    with opened_desk(tmp_path_factory.mktemp("desk")) as made, TestClient(made.app):
        yield made  # the application runs from here to the end; visitors come and go meanwhile


@pytest.fixture
def stranger(desk: Desk) -> Visitor:
    """Somebody who has not signed in."""
    return Visitor(TestClient(desk.app, base_url="http://127.0.0.1"))


@pytest.fixture
def visitor(desk: Desk, stranger: Visitor) -> Visitor:
    """Somebody who may do everything."""
    stranger.sign_in(desk.key(Scope.ADMIN))
    return stranger
