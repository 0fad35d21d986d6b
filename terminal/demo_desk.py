"""The end of the demo: the desk over what was pulled, on loopback, with a key of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import requests
from rich.console import Console

from crm_core.access import Scope, new_key
from crm_core.store.access import add_key
from sync_jobs import operations
from sync_jobs.bootstrap import Hub

_STARTS_WITHIN_SECONDS = 30
_ENDS_WITHIN_SECONDS = 15
_ADDRESS = re.compile(r"listening on (http://\S+)")
_TOKEN = re.compile(r'name="csrf" value="([0-9a-f]+)"')


class DeskFailed(Exception):
    """The pages did not answer as they must."""


def show_desk(console: Console, hub: Hub, *, looks_for: str) -> None:
    """Start `counterfoil serve`, sign in, find an account; then, at a terminal, leave it open until Ctrl-C.

    looks_for: the code of an account that must be found. Raises DeskFailed.
    """
    if find_spec("fastapi") is None:
        console.print("  `pip install counterfoil[http]` brings the desk, too")
        return
    drawn = new_key()
    with operations.opened(hub) as session:
        add_key(session, drawn, "demo", [Scope.ADMIN], hub.clock())
    with _serving(hub) as url:
        _look(url, drawn.text, looks_for)
        console.print(f"  [bold]{url}/desk/[/bold]  sign in with this key, which ends with the demo:", soft_wrap=True)
        console.print(f"  [bold]{drawn.text}[/bold]", soft_wrap=True, highlight=False)
        if console.file.isatty():
            console.print("  Look up CUST-002, ask Tryton now, check an order. [dim]Ctrl-C ends the demo.[/dim]")
            _wait()
        else:
            console.print(f"  signed in, and {looks_for} was found; at a terminal it would stay open now")


@contextmanager
def _serving(hub: Hub) -> Iterator[str]:
    """The address of the hub's pages, served by a process of its own."""
    command = [sys.executable, "-m", "cli", "--config", str(hub.settings.file), "serve", "--port", "0"]
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[1]), PYTHONUNBUFFERED="1")
    log = hub.settings.file.parent / "serve.log"  # a file: nobody would empty a pipe
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        try:
            process.wait(_ENDS_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + _STARTS_WITHIN_SECONDS
    while time.monotonic() < end:
        is_over = process.poll() is not None
        found = _ADDRESS.search(log.read_text(encoding="utf-8", errors="replace"))
        if found:
            return found[1]
        if is_over:
            break
        time.sleep(0.05)
    raise DeskFailed(f"the desk did not start: {log.read_text(encoding='utf-8', errors='replace').strip()[-300:]}")


def _look(url: str, key: str, looks_for: str) -> None:
    """The way of a person: sign in, search."""
    with requests.Session() as browser:
        form = _TOKEN.search(browser.get(f"{url}/desk/sign-in", timeout=10).text)
        if form is None:
            raise DeskFailed("the sign-in page has no form")
        browser.post(f"{url}/desk/sign-in", data={"csrf": form[1], "key": key}, timeout=10)
        found = browser.get(f"{url}/desk/accounts", params={"q": looks_for}, timeout=10)
        if found.status_code != 200 or looks_for not in found.text.partition('id="found"')[2]:
            raise DeskFailed(f"the desk does not find {looks_for} (HTTP {found.status_code})")


def _wait() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return
