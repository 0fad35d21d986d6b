"""The pictures in docs/desk/: `python -m tests.desk.pictures` takes them anew, over the demo's real Tryton.

They are looked at before they are committed; nothing compares them, since fonts differ from machine to machine.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from crm_core.access import Scope
from crm_core.ids import EntityType
from http_api.app import create_app
from simulators.tryton_server.server import TrytonServer
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.operations import opened, pull, replay
from sync_jobs.reconcile_operations import reconcile
from tests.desk.chromium import HOW_TO_GET_ONE, find_chromium, running_chromium
from tests.desk.conftest import id_of, key_for, serving

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "desk"

_CONFIG = """\
[connections.erp]
connector = "tryton"
url = "{url}"
database = "{database}"
user = "{user}"
password = "{password}"
push = ["order"]

[jobs.nightly]
connection = "erp"

[jobs.stock]
connection = "erp"
entities = ["stock_level", "credit"]
"""

_MAPPED = """
[connections.erp.mappings]
account = "account.yaml"
"""
_MAPPING = """\
entity: account
connector: tryton
extends: default
fields:
  payment_terms: {from: customer_payment_term.name, map: {30 days net: NET30, 60 days net: NET60, Due at once: NOW}}
"""
"""One of Tryton's payment terms has no line, so that there are dead letters to look at."""


def main() -> None:
    """Take every picture."""
    path = find_chromium()
    if path is None:
        sys.exit(HOW_TO_GET_ONE)
    server = TrytonServer(Path(os.environ.get("COUNTERFOIL_TRYTON_HOME", ROOT / ".tryton")))
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            hub = _filled(Path(folder), server)
            with serving(create_app(hub)) as url, running_chromium(path) as browser:
                _take(hub, url, browser)
    finally:
        server.stop()


def _filled(folder: Path, server: TrytonServer) -> Hub:
    file = folder / "counterfoil.toml"
    told = {"url": server.url, "database": server.database, "user": server.user, "password": server.password}
    file.write_text(_CONFIG.format(**told), encoding="utf-8")
    hub = open_hub(file)
    pull(hub, "nightly")
    pull(hub, "stock")
    server.change()
    pull(hub, "stock")
    pull(hub, "nightly")
    (folder / "account.yaml").write_text(_MAPPING, encoding="utf-8")
    file.write_text(f"{_CONFIG.format(**told)}{_MAPPED}", encoding="utf-8")
    hub = open_hub(file)
    replay(hub, "nightly")
    reconcile(hub, "nightly")
    with opened(hub) as session, session.transaction():
        session.run("UPDATE accounts SET name = 'Northwind' WHERE code = 'CUST-004'")
        session.run("UPDATE products SET name = 'Bolt, zinc' WHERE code = 'FAS-004'")
    reconcile(hub, "nightly")
    return hub


def _take(hub: Hub, url: str, browser: Browser) -> None:
    FOLDER.mkdir(exist_ok=True)
    key = key_for(hub, Scope.ADMIN)
    account = id_of(hub, EntityType.ACCOUNT, "CUST-004")
    product = id_of(hub, EntityType.PRODUCT, "FAS-004")

    def window(**options: Any) -> Page:
        chosen = {"viewport": {"width": 960, "height": 640}, "locale": "en-GB", "device_scale_factor": 1.5, **options}
        page = browser.new_context(**chosen).new_page()
        page.goto(f"{url}/desk/sign-in")
        page.fill("#key", key)
        page.press("#key", "Enter")
        page.wait_for_url("**/desk/accounts")
        return page

    def keep(page: Page, name: str, *, whole: bool = True) -> None:
        page.screenshot(path=FOLDER / f"{name}.png", full_page=whole)

    def check(page: Page, *lines: tuple[str, str]) -> None:
        page.goto(f"{url}/desk/orders/new?account={account}")
        for place, (code, quantity) in enumerate(lines):
            if place:
                page.click("#add")
                page.wait_for_selector(f"#product-{place}")
            page.fill(f"#product-{place}", code)
            page.fill(f"#quantity-{place}", quantity)
        page.click("#check")
        page.wait_for_selector(".verdict")

    page = window()
    check(page, ("TOO-003", "30"))
    page.click("#place")
    page.wait_for_selector(".notice")
    page.goto(f"{url}/desk/accounts/{account}?freshness=live")
    keep(page, "credit")
    page.goto(f"{url}/desk/products/{product}")
    keep(page, "product")
    check(page, ("FAS-004", "20"), ("TOO-003", "12"))
    keep(page, "order-check")
    page.goto(f"{url}/desk/runs")
    keep(page, "runs")
    page.goto(f"{url}/desk/set-aside")
    keep(page, "set-aside", whole=False)
    page.click("text=unknown code")
    page.locator(".hits a").first.click()
    page.wait_for_selector("#payload")
    keep(page, "dead-letter", whole=False)
    page.goto(f"{url}/desk/drift")
    keep(page, "drift", whole=False)
    page.click("th[scope=row] a")
    page.wait_for_selector("code")
    keep(page, "drift-records", whole=False)
    page = window(color_scheme="dark")
    page.goto(f"{url}/desk/accounts/{account}")
    keep(page, "dark", whole=False)
    page = window(locale="fa")
    page.goto(f"{url}/desk/accounts/{account}")
    keep(page, "persian", whole=False)
    page = window(viewport={"width": 320, "height": 640}, device_scale_factor=2)
    page.goto(f"{url}/desk/accounts/{account}")
    keep(page, "phone", whole=False)


if __name__ == "__main__":
    main()
