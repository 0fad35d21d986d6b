"""A real browser: Debian's Chromium, without a window, driven by Playwright. Playwright's own browsers are not used."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox",  # it sees our own pages only, and in CI there is no user to fall back to
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

HOW_TO_GET_ONE = "no Chromium: `apt-get install chromium`, or name one in COUNTERFOIL_TEST_CHROMIUM"


def find_chromium() -> str | None:
    """The path of a Chromium: as COUNTERFOIL_TEST_CHROMIUM says, else on PATH."""
    return os.environ.get("COUNTERFOIL_TEST_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def running_chromium(path: str) -> Iterator[Browser]:
    """A browser for as long as the block lasts."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=list(_FLAGS))
        yield browser
        browser.close()
