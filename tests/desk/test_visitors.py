"""Who may see a page: keys, sessions, forms that only our pages make."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta

import pytest
from fastapi.params import Security
from fastapi.routing import APIRoute

from crm_core.access import Scope, split_key
from crm_core.store import access as access_store
from http_api.desk import operations_pages, order_pages, pages, sales_pages, sign_in_pages
from http_api.desk.pages import own_path
from tests.desk.conftest import Desk, Visitor

PAGES = ["/desk/accounts", "/desk/products", "/desk/connections", "/desk/runs", "/desk/set-aside"]


def test_a_key_becomes_a_session_that_no_script_and_no_other_site_can_use(desk: Desk, stranger: Visitor) -> None:
    """A stolen cookie is a stolen key."""
    page = stranger.get("/desk/sign-in")
    answer = stranger.client.post(
        "/desk/sign-in",
        data={"csrf": _token(page), "key": desk.key(Scope.SALES_READ), "back": "/desk/products"},
        follow_redirects=False,
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/desk/products")
    (cookie,) = answer.headers.get_list("set-cookie")
    name, *said = [part.strip() for part in cookie.split(";")]
    assert name.startswith("counterfoil_session=")
    assert {"HttpOnly", "Path=/", "SameSite=strict", "Max-Age=28800"} == set(said)


def test_over_tls_the_cookie_is_bound_to_the_host(desk: Desk, stranger: Visitor) -> None:
    """Another page of the same domain must not be able to plant a session."""
    stranger.client.base_url = "https://127.0.0.1"
    page = stranger.get("/desk/sign-in")
    answer = stranger.client.post(
        "/desk/sign-in", data={"csrf": _token(page), "key": desk.key(Scope.ADMIN)}, follow_redirects=False
    )
    (cookie,) = answer.headers.get_list("set-cookie")
    assert cookie.startswith("__Host-counterfoil_session=")
    assert "Secure" in [part.strip() for part in cookie.split(";")]


@pytest.mark.parametrize("path", PAGES)
def test_without_a_session_every_page_leads_to_the_sign_in(stranger: Visitor, path: str) -> None:
    """A page that forgets to ask shows a customer's credit to anybody."""
    answer = stranger.client.get(path, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/desk/sign-in?back={path}")


def test_every_route_says_what_it_needs() -> None:
    """A new page without a door would be open."""
    open_to_all = set()
    for module in (operations_pages, order_pages, sales_pages, sign_in_pages):
        for route in module.router.routes:
            assert isinstance(route, APIRoute)
            if not any(isinstance(one, Security) and one.scopes for one in route.dependencies):
                open_to_all.add(route.path)
    bare = ("", "/", "/sign-in", "/sign-out", "/language/{tag}", "/static/htmx.js", "/static/{name}")
    assert open_to_all == {f"/desk{path}" for path in bare}


def test_a_key_that_is_not_valid_opens_nothing(desk: Desk, stranger: Visitor) -> None:
    """And the page says so without telling which part is wrong, or repeating it."""
    key = desk.key(Scope.ADMIN)
    for wrong in ("", "nonsense", key[:-1] + ("A" if key[-1] != "A" else "B"), key + "x"):
        page = stranger.post("/desk/sign-in", stranger.get("/desk/sign-in"), {"key": wrong}, expect=401)
        assert "This key is not valid." in page
        assert not wrong or wrong not in page
    assert stranger.client.get("/desk/accounts", follow_redirects=False).status_code == 303


def test_a_revoked_key_ends_its_sessions_and_so_does_signing_out(desk: Desk, stranger: Visitor) -> None:
    """Who left the company on Friday does not look on Monday."""
    key = desk.key(Scope.ADMIN)
    page = stranger.sign_in(key)
    stranger.post("/desk/sign-out", page, {})
    assert stranger.client.get("/desk/accounts", follow_redirects=False).status_code == 303
    stranger.sign_in(key)
    stranger.get("/desk/accounts")
    parts = split_key(key)
    assert parts is not None
    with closing(desk.hub.database.open()) as session:
        access_store.revoke_key(session, parts[0], desk.hub.clock())
    assert stranger.client.get("/desk/accounts", follow_redirects=False).status_code == 303


def test_signing_out_ends_the_session_in_the_store(desk: Desk, stranger: Visitor) -> None:
    """A copy of the cookie is worth nothing after that."""
    page = stranger.sign_in(desk.key(Scope.ADMIN))
    copied = stranger.client.cookies["counterfoil_session"]
    stranger.post("/desk/sign-out", page, {})
    stranger.client.cookies.set("counterfoil_session", copied)
    assert stranger.client.get("/desk/accounts", follow_redirects=False).status_code == 303


def test_a_session_ends_by_itself(desk: Desk, stranger: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser that was left open over the weekend is signed out."""
    stranger.sign_in(desk.key(Scope.ADMIN))
    stranger.get("/desk/accounts")
    access, now = desk.app.state.face.access, desk.hub.clock()
    monkeypatch.setattr(access, "_clock", lambda: now + timedelta(minutes=481))
    assert stranger.client.get("/desk/accounts", follow_redirects=False).status_code == 303


def test_a_key_sees_only_the_pages_of_its_scope(desk: Desk, stranger: Visitor) -> None:
    """Sales do not replay dead letters, integrators do not look at credit."""
    page = stranger.sign_in(desk.key(Scope.SALES_READ))
    assert 'href="/desk/accounts"' in page
    assert 'href="/desk/runs"' not in page
    assert "Your key does not open this" in stranger.get("/desk/runs", expect=403)
    page = stranger.sign_in(desk.key(Scope.OPERATIONS))
    assert 'href="/desk/runs"' in page
    assert 'href="/desk/accounts"' not in page
    stranger.get("/desk/accounts", expect=403)


@pytest.mark.parametrize(
    "path", ["/desk/orders/new", "/desk/letters/replay", "/desk/letters/1", "/desk/intents/retry", "/desk/intents/1"]
)
def test_a_form_that_no_page_of_ours_made_is_refused(desk: Desk, visitor: Visitor, path: str) -> None:
    """A page of a stranger must not place an order with the cookie of somebody who looks at it."""
    answer = visitor.client.post(path, data={"action": "check"})
    assert answer.status_code == 403
    assert "this form is too old or was not made here" in answer.text
    other = visitor.client.post(path, data={"action": "check", "csrf": "0" * 48})
    assert other.status_code == 403


def test_another_sites_page_is_refused_by_what_the_browser_says_of_it(desk: Desk, visitor: Visitor) -> None:
    """Even with a token it got hold of."""
    page = visitor.get("/desk/accounts")
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = visitor.client.post("/desk/sign-out", data={"csrf": _token(page)}, headers=headers)
        assert answer.status_code == 403
    visitor.get("/desk/accounts")


def test_pages_bring_along_nothing_from_elsewhere(visitor: Visitor) -> None:
    """A strict policy is what stands between an injected text and a running script."""
    answer = visitor.client.get("/desk/accounts")
    assert answer.headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"
    for piece in ("<style", "style=", "onclick", "http://", "https://"):
        assert piece not in answer.text
    assert visitor.client.get("/desk/static/htmx.js").headers["content-type"] == "text/javascript; charset=utf-8"
    assert visitor.client.get("/desk/static/../app.py").status_code == 404
    assert visitor.client.get("/desk/static/app.py").status_code == 404


@pytest.mark.parametrize(
    "path", ["//evil.example", "https://evil.example", "/desk/\\evil", "/accounts", "/desk/\n", ""]
)
def test_nobody_is_led_away_from_the_pages(path: str) -> None:
    """A link that signs people in and then leads to a copy of the page would collect their keys."""
    assert own_path(path) == "/desk/"


def test_without_htmx_the_pages_are_plain(stranger: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that leaves the package out must not ask for a script that is not there."""
    assert "/desk/static/htmx.js" in stranger.get("/desk/sign-in")
    for module in (pages, sign_in_pages):
        monkeypatch.setattr(module, "htmx_file", lambda: None)
    assert "<script" not in stranger.get("/desk/sign-in")
    stranger.get("/desk/static/htmx.js", expect=404)


def test_a_language_is_chosen_for_this_browser(stranger: Visitor) -> None:
    """The choice outlives the page, and leads back to it."""
    page = stranger.get("/desk/language/fa", params={"back": "/desk/sign-in"})
    assert '<html lang="fa" dir="rtl">' in page
    assert "کلید API" in page
    assert '<html lang="fa" dir="rtl">' in stranger.get("/desk/sign-in", headers={"Accept-Language": "en"})
    stranger.get("/desk/language/xx", expect=404)


def test_the_bare_address_leads_to_the_pages(desk: Desk, stranger: Visitor, visitor: Visitor) -> None:
    """Whoever opens what `counterfoil serve` prints ends at the desk, not at a JSON text."""
    assert "<h1" in visitor.get("/")
    assert "Accounts" in visitor.get("/desk")


def test_what_is_done_at_the_desk_stands_in_the_audit_log(desk: Desk, visitor: Visitor) -> None:
    """Who replayed what, told apart from the API's routes of the same name."""
    page = visitor.get("/desk/set-aside")
    visitor.post("/desk/letters/replay", page, {"connection": "erp", "entity": "account", "cause": "unmapped_code"})
    with closing(desk.hub.database.open()) as session:
        noted = session.all("SELECT who, action, subject FROM audit_log WHERE action LIKE 'POST %'")
    assert [(who[:4], action, subject) for who, action, subject in noted] == [
        ("key:", "POST /desk/letters/replay", "/desk/letters/replay")
    ]


def _token(page: str) -> str:
    return page.partition('name="csrf" value="')[2].partition('"')[0]
