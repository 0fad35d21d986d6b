"""The application of a hub with a small company in it, and clients with keys of every kind."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from connectors import registry
from crm_core.access import Scope, new_key
from crm_core.store.access import add_key
from http_api.app import create_app
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.operations import opened, pull
from tests.cli.office import SECRET, Desk, Office


@dataclass
class Api:
    """A hub, its application, and whoever asks."""

    hub: Hub
    app: FastAPI
    client: TestClient
    keys: dict[str, str] = field(default_factory=dict)

    def key(self, *scopes: Scope) -> str:
        """The text of a new key."""
        drawn = new_key()
        with opened(self.hub) as session:
            add_key(session, drawn, "a test", scopes, self.hub.clock())
        return drawn.text

    def ask(self, method: str, path: str, *, expect: int = 200, key: str | None = None, **options: Any) -> Any:
        """The JSON of an answer whose status is asserted; asks with a key that opens everything."""
        headers = {"Authorization": f"Bearer {key or self.keys['admin']}", **options.pop("headers", {})}
        answer = self.client.request(method, path, headers=headers, **options)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def get(self, path: str, **options: Any) -> Any:
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        return self.ask("POST", path, **options)


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """A real server on loopback; its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
    assert not thread.is_alive()


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A folder with a configuration for the office in memory, filled; nothing pulled yet."""
    monkeypatch.setenv("OFFICE_PASSWORD", SECRET)
    monkeypatch.setattr(registry, "BUILT_IN", {**registry.BUILT_IN, "memory": "tests.cli.office:Office"})
    Office.sources.clear()
    made = Desk(tmp_path)
    made.write_settings()
    made.fill()
    yield made
    Office.sources.clear()


@pytest.fixture
def hub(office: Desk) -> Hub:
    """The hub of that folder, with everything pulled once."""
    made = open_hub(office.folder / "counterfoil.toml")
    pull(made, "all")
    return made


@pytest.fixture
def api(hub: Hub) -> Iterator[Api]:
    """The application with one key that opens everything."""
    app = create_app(hub)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        made = Api(hub, app, client)
        made.keys["admin"] = made.key(Scope.ADMIN)
        yield made
