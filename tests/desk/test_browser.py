"""A real browser walks the pages: with a mouse, with the keyboard alone, without JavaScript, on a phone, in the dark,
from right to left. Skipped, with the reason, where there is no Chromium.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from crm_core.access import Scope
from crm_core.ids import EntityType
from crm_core.store import repository
from sync_jobs.operations import opened, pull
from sync_jobs.reconcile_operations import reconcile
from tests.desk.accessibility import faults_of, what_has_focus
from tests.desk.chromium import HOW_TO_GET_ONE, find_chromium, running_chromium
from tests.desk.conftest import Desk, opened_desk, serving

pytestmark = pytest.mark.timeout(300)


@dataclass
class Shop:
    """The pages on an address, and a browser."""

    desk: Desk
    url: str
    browser: Browser
    key: str

    @contextmanager
    def window(self, *, signed_in: bool = True, **options: Any) -> Iterator[Page]:
        """A window of its own; that nothing went wrong in it is asserted at its end."""
        chosen = {"viewport": {"width": 1100, "height": 800}, "locale": "en-GB", **options}
        context = self.browser.new_context(**chosen)
        page = context.new_page()
        page.set_default_timeout(15_000)
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda told: troubles.append(told.text) if _is_fault(told) else None)
        page.on("request", lambda one: None if one.url.startswith(self.url) else troubles.append(f"asked {one.url}"))
        page.on("response", lambda one: troubles.append(one.url) if "/static/" in one.url and not one.ok else None)
        if signed_in:
            page.goto(f"{self.url}/desk/sign-in")
            page.fill("#key", self.key)
            page.press("#key", "Enter")
            page.wait_for_url("**/desk/accounts")
        yield page
        context.close()
        assert troubles == []

    def pages(self) -> list[str]:
        """An address of each kind of page, those with trouble on them too."""
        account = self.desk.id_of(EntityType.ACCOUNT, "10004")
        with opened(self.desk.hub) as session:
            letter = session.all("SELECT max(id) FROM dead_letters WHERE status = 'open'")[0][0]
        return [
            "/desk/accounts?q=customer",
            f"/desk/accounts/{account}",
            "/desk/products",
            "/desk/products/1",
            "/desk/products/1?unit=dozen",
            f"/desk/orders/new?account={account}",
            "/desk/connections",
            "/desk/runs",
            "/desk/runs/1",
            "/desk/set-aside",
            "/desk/letters",
            f"/desk/letters/{letter}",
            "/desk/drift",
            "/desk/drift/records?connection=erp&entity=account",
            "/desk/accounts/999999",
        ]


def _is_fault(told: ConsoleMessage) -> bool:
    """An error, such as a script that our policy keeps out; a page that is refused on purpose is none."""
    return told.type == "error" and not told.text.startswith("Failed to load resource: the server responded with")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One for all tests of this file."""
    path = find_chromium()
    if path is None:
        pytest.skip(HOW_TO_GET_ONE)
    with opened_desk(tmp_path_factory.mktemp("browser")) as desk, serving(desk.app) as url:
        desk.office.simulator.update_customer("10002", salespersonCode="ZZ")
        assert pull(desk.hub, "erp").status == "partial"
        with opened(desk.hub) as session, session.transaction():
            session.run("UPDATE accounts SET payment_terms = 'NEVER' WHERE code = '10003'")
        assert reconcile(desk.hub, "erp").status == "partial"
        with running_chromium(path) as browser:
            yield Shop(desk, url, browser, desk.key(Scope.ADMIN))


# -- what people do ---------------------------------------------------------------------------------------------------


def test_sales_find_an_account_ask_now_and_place_an_order(shop: Shop) -> None:
    """The way that sales go twenty times a day, with the page changing in place."""
    with shop.window() as page:
        page.fill("#q", "utrecht")
        expect(page.locator("#found .count")).to_have_text("2 accounts")
        page.click("text=Customer 1 Utrecht")
        expect(page.locator("#credit .provenance")).to_have_text("stored")
        page.click("text=Ask now")
        expect(page.locator("#credit .provenance")).to_have_text("live")
        page.click("text=Check an order")
        page.fill("#product-0", "100001")
        page.fill("#quantity-0", "2")
        page.click("#add")
        expect(page.locator("#product-1")).to_be_focused()
        page.fill("#product-1", "100002")
        page.fill("#quantity-1", "1")
        page.click("#check")
        expect(page.locator(".verdict h2")).to_have_text("May be placed, with doubts")
        expect(page.locator(".verdict")).to_be_focused()
        page.fill("#reference", "PO-BROWSER")
        page.click("#place")
        page.wait_for_url("**/desk/orders/*told=order.placed")
        expect(page.locator(".notice")).to_have_text("The order is placed.")
    account = shop.desk.id_of(EntityType.ACCOUNT, "10001")
    mine = [
        order
        for order in repository.orders_of_account(shop.desk.hub.database.engine, account)
        if order.reference == "PO-BROWSER"
    ]
    assert [[(line.quantity, line.unit) for line in order.lines] for order in mine] == [[(2, "PCS"), (1, "BOX")]]


def test_what_is_wrong_stands_at_its_field_and_what_was_typed_stays(shop: Shop) -> None:
    """A form that forgets is filled in wrongly the second time."""
    with shop.window() as page:
        page.goto(f"{shop.url}/desk/orders/new?account={shop.desk.id_of(EntityType.ACCOUNT, '10001')}")
        page.fill("#product-0", "100001")
        page.fill("#quantity-0", "two")
        with page.expect_response("**/desk/orders/new") as answered:
            page.click("#check")
        assert answered.value.status == 422
        expect(page.locator("#quantity-0-fault")).to_contain_text("'two' is no number")
        expect(page.locator("#quantity-0")).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#quantity-0")).to_have_value("two")


def test_an_integrator_mends_a_dead_letter(shop: Shop) -> None:
    """From the connection that needs a look to the record taken in."""
    shop.desk.office.simulator.update_customer("10003", salespersonCode="QQ")
    assert pull(shop.desk.hub, "erp").status == "partial"
    with shop.window() as page:
        page.click("nav >> text=Set aside")
        page.click("text=unknown code")
        page.locator(".hits a").last.click()
        text = page.input_value("#payload")
        assert '"QQ"' in text
        page.fill("#payload", text.replace('"QQ"', '"MH"'))
        page.click("text=Show the difference")
        expect(page.locator("#edit ins")).to_have_text('"MH"')
        page.click("text=Save and replay")
        expect(page.locator(".notice")).to_have_text("The record was taken in.")


def test_everything_works_without_javascript(shop: Shop) -> None:
    """A blocked script, an old browser, a reader for the blind: the forms are plain forms."""
    with shop.window(java_script_enabled=False) as page:
        page.fill("#q", "utrecht")
        page.press("#q", "Enter")
        expect(page.locator("#found .count")).to_have_text("2 accounts")
        page.click("text=Customer 1 Utrecht")
        page.click("text=Ask now")
        expect(page.locator("#credit .provenance")).to_have_text("live")
        page.click("text=Check an order")
        page.fill("#product-0", "100001")
        page.fill("#quantity-0", "1")
        page.press("#quantity-0", "Enter")  # Enter checks, it does not remove or place
        expect(page.locator(".verdict h2")).to_have_text("May be placed, with doubts")
        page.click("#place")
        expect(page.locator(".notice")).to_have_text("The order is placed.")


def test_the_keyboard_alone_is_enough(shop: Shop) -> None:
    """From signing in to the verdict, and where the keyboard is is always seen."""

    def tab_to(name: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if name in what_has_focus(page):
                return
        raise AssertionError(f"the keyboard never gets to {name!r}")

    with shop.window(signed_in=False) as page:
        page.goto(f"{shop.url}/desk/")
        page.keyboard.press("Tab")
        assert what_has_focus(page) == "Skip to content"
        page.keyboard.press("Enter")
        tab_to("key")
        page.keyboard.type(shop.key)
        page.keyboard.press("Enter")
        page.wait_for_url("**/desk/accounts")
        tab_to("q")
        page.keyboard.type("10001")
        expect(page.locator("#found .count")).to_have_text("1 account")
        tab_to("Customer 1 Utrecht")
        page.keyboard.press("Enter")
        page.wait_for_url("**/desk/accounts/*")
        tab_to("Check an order")
        page.keyboard.press("Enter")
        page.wait_for_url("**/desk/orders/new*")
        tab_to("product-0")
        page.keyboard.type("100001")
        tab_to("quantity-0")
        page.keyboard.type("3")
        page.keyboard.press("Enter")
        expect(page.locator(".verdict")).to_be_focused()
        tab_to("Sign out")
        page.keyboard.press("Enter")
        page.wait_for_url("**/desk/sign-in")


def test_when_the_hub_cannot_answer_the_page_says_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece of a page that fails in silence is taken for an answer."""
    from crm_core.errors import StoreFault

    def locked(*_: object, **__: object) -> None:
        raise StoreFault("the database is locked by another process")

    with shop.window() as page:
        page.goto(f"{shop.url}/desk/accounts/{shop.desk.id_of(EntityType.ACCOUNT, '10004')}")
        monkeypatch.setattr(shop.desk.app.state.face.desk, "credit", locked)
        page.click("text=Ask now")
        expect(page.locator("h1")).to_have_text("Not possible right now")
        expect(page.locator(".alert")).to_contain_text("the database is busy")


BAD_PAGE = """<!doctype html><html><body><main></main><main></main><h1>a</h1><h3>b</h3>
<p style="color:#999">too light</p><p style="color:#767676">dark enough</p><input name="x"><button></button>
<nav></nav><i id="twice"></i><i id="twice"></i><p aria-describedby="nobody"></p><svg></svg>
<table><tr><th>x</th></tr></table><div style="width:2000px">wide</div></body></html>"""


def test_the_checks_find_what_they_are_for(shop: Shop) -> None:
    """Checks that find nothing anywhere would pass every page below."""
    with shop.window(signed_in=False) as page:
        page.set_content(BAD_PAGE)
        found = "\n".join(faults_of(page))
    for fault in (
        *("no language", "no direction", "no title", "not exactly one main", "not exactly one banner"),
        *("navigations without a name", "h3 after h1", "id twice twice", "aria-describedby names nobody"),
        *("contrast 2.85: too light", 'no name: <input name="x">', "no name: <button>", "svg:", "th without scope"),
        *("table without a name", "small:", "wider than the window: 2"),
    ):
        assert fault in found
    assert "dark enough" not in found


# -- for everybody ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a wide window", {}),
        ("a phone of 320 pixels", {"viewport": {"width": 320, "height": 640}, "has_touch": True}),
        ("the dark", {"color_scheme": "dark"}),
        ("Persian, from right to left", {"locale": "fa"}),
        (
            "Persian on a phone in the dark",
            {"locale": "fa", "viewport": {"width": 320, "height": 640}, "color_scheme": "dark"},
        ),
        ("Thai on a phone", {"locale": "th", "viewport": {"width": 320, "height": 640}}),
    ],
)
def test_every_page_can_be_read_and_used_in(shop: Shop, name: str, options: dict[str, Any]) -> None:
    """Labels, landmarks, headings, contrast, sizes, no scrolling sideways: on every kind of page."""
    found: dict[str, list[str]] = {}
    with shop.window(signed_in=False, **options) as page:
        page.goto(f"{shop.url}/desk/sign-in")
        found["/desk/sign-in"] = faults_of(page)
        page.fill("#key", shop.key)
        page.press("#key", "Enter")
        page.wait_for_url("**/desk/accounts")
        for path in shop.pages():
            page.goto(shop.url + path)
            found[path] = faults_of(page)
        page.goto(shop.url + f"/desk/orders/new?account={shop.desk.id_of(EntityType.ACCOUNT, '10004')}")
        page.fill("#product-0", "100001")
        page.fill("#quantity-0", "1000")
        page.click("#check")
        page.wait_for_selector(".verdict.block")
        found["a blocked order"] = faults_of(page)
    assert {path: faults for path, faults in found.items() if faults} == {}


def test_persian_pages_run_from_right_to_left(shop: Shop) -> None:
    """The navigation begins at the right, the bar grows to the left, numbers are in Persian digits."""
    with shop.window(locale="fa") as page:
        page.goto(f"{shop.url}/desk/accounts/{shop.desk.id_of(EntityType.ACCOUNT, '10004')}")
        width = page.evaluate("document.documentElement.clientWidth")
        brand = page.locator(".brand").bounding_box()
        owed = page.locator(".bar rect.open_receivables").bounding_box()
        free = page.locator(".bar rect.doubtful").bounding_box()
        assert brand is not None
        assert owed is not None
        assert free is not None
        assert brand["x"] > width / 2
        assert owed["x"] > free["x"]
        assert "۱۸٬۷۰۰٫۰۰" in page.inner_text("#credit")


def test_a_phone_reads_the_page_from_top_to_bottom(shop: Shop) -> None:
    """What sales need first is on the first screen."""
    with shop.window(viewport={"width": 320, "height": 640}) as page:
        page.goto(f"{shop.url}/desk/accounts/{shop.desk.id_of(EntityType.ACCOUNT, '10004')}")
        for piece in ("#credit .big", ".bar"):
            box = page.locator(piece).first.bounding_box()
            assert box is not None
            assert box["y"] + box["height"] < 640
