"""A plain HTTP client of the simulated S/4HANA, as anybody would write one: no code of ours that reads OData."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

import requests

from simulators.sap_s4hana.server import BASE_PATH, SapSimulator

TIMEOUT_SECONDS = 5


class Client(requests.Session):
    """A session with a user, a base address and a time-out on every call; writes fetch a token when there is none."""

    def __init__(self, simulator: SapSimulator) -> None:
        super().__init__()
        self.trust_env = False
        self.simulator = simulator
        self.auth = (simulator.settings.user, simulator.settings.password)

    def request(self, method: str, url: str, *args: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        """`url` below the services, unless it is a whole one."""
        if not url.startswith("http"):
            url = f"{self.simulator.url}{BASE_PATH}/{url}"
        return super().request(method, url, *args, **({"timeout": TIMEOUT_SECONDS} | options))

    def rows(self, path: str, **options: Any) -> list[dict[str, Any]]:
        """The rows of one page."""
        answer = self.get(asked(path, **options))
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["d"]["results"]
        return found

    def fetch_token(self, service: str) -> str:
        """A token; its cookies stay in the session."""
        answer = self.get(f"{service}/", headers={"X-CSRF-Token": "Fetch"})
        return str(answer.headers["x-csrf-token"])

    def write(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        """One write with a fresh token."""
        token = self.fetch_token(path.partition("/")[0])
        return self.request(method, path, json=body, headers={"X-CSRF-Token": token, **headers})

    def batch(self, service: str, body: str, **headers: str) -> requests.Response:
        """A `$batch` whose boundary is `b`."""
        token = self.fetch_token(service)
        kind = {"Content-Type": "multipart/mixed; boundary=b", "X-CSRF-Token": token, **headers}
        return self.post(f"{service}/$batch", data=body.replace("\n", "\r\n").encode(), headers=kind)


def asked(path: str, **options: Any) -> str:
    """A path with query options: `filter="..."` is `$filter`."""
    query = urlencode({f"${name}": value for name, value in options.items()})
    return f"{path}?{query}" if query else path


def error_of(answer: requests.Response) -> tuple[int, str, str]:
    """Status, code, and the property that the error is about."""
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["innererror"]["errordetails"][0]["target"]


def statuses(text: str) -> list[int]:
    """The statuses in the answer to a batch."""
    return [int(status) for status in re.findall(r"HTTP/1\.1 (\d{3})", text)]
