"""What sales see and do, by a browser without JavaScript: credit, stock, an order."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from crm_core.access import Scope
from crm_core.ids import EntityType
from crm_core.intents import IntentState
from crm_core.store import outbox, repository
from sync_jobs.operations import opened
from tests.desk.conftest import Desk, Visitor

_KEY = re.compile(r'name="key" value="([^"]+)"')
_RESERVATION = re.compile(r'name="reservation" value="([0-9]+)"')
_DRAWN = re.compile(r'<rect class="([a-z_]+)"[^>]* width="([0-9.]+)%"')


def text_of(page: str) -> str:
    """What is read, in one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<main")[2]).split())


def order_fields(desk: Desk, page: str, **more: object) -> dict[str, object]:
    """The form of one line, as a browser sends it."""
    key = _KEY.search(page)
    held = _RESERVATION.search(page)
    assert key is not None
    return {
        "account": str(desk.id_of(EntityType.ACCOUNT, "10001")),
        "key": key[1],
        **({"reservation": held[1]} if held else {}),
        "product": "100001",
        "quantity": "2",
        "unit": "PCS",
        "price": "",
        "requested_date": "",
        "reference": "",
        **more,
    }


def test_an_account_is_found_and_shows_its_credit(desk: Desk, visitor: Visitor) -> None:
    """What sales came for: limit, exposure, what is left, and how old that is."""
    found = visitor.get("/desk/accounts", params={"q": "lyon"})
    account = desk.id_of(EntityType.ACCOUNT, "10004")
    assert f'href="/desk/accounts/{account}"' in found
    assert "1 account" in text_of(found)
    page = visitor.get(f"/desk/accounts/{account}")
    (credit,) = repository.credit_of_account(desk.hub.database.engine, account)
    assert credit.limit is not None
    assert credit.open_receivables is not None
    told = text_of(page)
    assert f"Limit €{credit.limit:,.2f}" in told
    assert f"Available, at most €{credit.limit - credit.open_receivables:,.2f}" in told
    drawn = [
        (kind, float(width)) for kind, width in _DRAWN.findall(page.partition("chart bar")[2].partition("</svg>")[0])
    ]
    share = float(credit.open_receivables / credit.limit * 100)
    assert drawn == [
        ("open_receivables", pytest.approx(share, abs=0.01)),
        ("doubtful", pytest.approx(100 - share, abs=0.01)),
    ]


def test_what_the_back_office_does_not_tell_is_called_unknown(desk: Desk, visitor: Visitor) -> None:
    """Shown as 0, open orders that nobody told would be promised a second time."""
    page = visitor.get(f"/desk/accounts/{desk.id_of(EntityType.ACCOUNT, '10004')}")
    assert re.search(r"Open orders unknown", text_of(page))
    assert "Not told: Open orders, Delivered, not invoiced" in text_of(page)


def test_no_limit_is_said_in_words(desk: Desk, visitor: Visitor) -> None:
    """No limit shown as 0 would turn customers away."""
    told = text_of(visitor.get(f"/desk/accounts/{desk.id_of(EntityType.ACCOUNT, '10001')}"))
    assert "unlimited" in told
    assert "Limit none agreed" in told


def test_asked_now_the_figure_is_live(desk: Desk, visitor: Visitor) -> None:
    """The button must ask, and must say that it did."""
    account = desk.id_of(EntityType.ACCOUNT, "10006")
    assert "stored" in text_of(visitor.get(f"/desk/accounts/{account}"))
    desk.office.simulator.update_customer("10006", creditLimit=Decimal(54321))
    told = text_of(visitor.get(f"/desk/accounts/{account}", params={"freshness": "live"}))
    assert "Limit €54,321.00" in told
    assert re.search(r"\blive erp", told)
    assert "Limit €54,321.00" in text_of(visitor.get(f"/desk/accounts/{account}"))  # and it was stored


def test_a_freshness_that_makes_no_sense_is_a_page_that_names_the_choices(desk: Desk, visitor: Visitor) -> None:
    """A typing mistake in an address must not be a blank page."""
    account = desk.id_of(EntityType.ACCOUNT, "10004")
    page = visitor.get(f"/desk/accounts/{account}", params={"freshness": "now"}, expect=422)
    assert "freshness is live, cached or max-age=SECONDS" in page


def test_a_product_shows_stock_and_price(desk: Desk, visitor: Visitor) -> None:
    """What can be had, and what it costs."""
    product = desk.id_of(EntityType.PRODUCT, "100001")
    ((_, level),) = repository.stock_of_product(desk.hub.database.engine, product)
    told = text_of(visitor.get(f"/desk/products/{product}"))
    assert f"All locations of the company {level.on_hand:,} unknown" in told
    assert "List price: €665.35 / PCS" in told
    page = visitor.get(f"/desk/products/{product}", params={"unit": "dozen"})
    assert "dozen" in page
    assert 'role="alert"' in page


@pytest.mark.parametrize("path", ["/desk/accounts/999999", "/desk/products/999999", "/desk/orders/999999", "/desk/x"])
def test_what_is_not_there_is_a_page_that_says_so(visitor: Visitor, path: str) -> None:
    """An old link leads to a page with a way back."""
    assert "There is nothing here" in visitor.get(path, expect=404)


def test_an_order_is_checked_corrected_and_placed_once(desk: Desk, visitor: Visitor) -> None:
    """The whole way without JavaScript; sending the form twice must not make two orders."""
    account = desk.id_of(EntityType.ACCOUNT, "10001")
    page = visitor.get(f"/desk/orders/new?account={account}")
    page = visitor.post("/desk/orders/new", page, order_fields(desk, page, action="add"))
    assert page.count('name="product"') == 2
    page = visitor.post(
        "/desk/orders/new",
        page,
        order_fields(
            desk,
            page,
            product=["100001", "100002"],
            quantity=["2", "x"],
            unit=["PCS", ""],
            price=["", ""],
            action="check",
        ),
        expect=422,
    )
    assert "&#39;x&#39; is no number; write for example 1,234.5" in page
    page = visitor.post(
        "/desk/orders/new", page, order_fields(desk, page, product="100009x", action="check"), expect=422
    )
    assert "there is no product &#39;100009x&#39;; did you mean &#39;100009&#39;?" in page
    page = visitor.post("/desk/orders/new", page, order_fields(desk, page, reference="PO 7", action="check"))
    told = text_of(page)
    assert "May be placed" in told
    assert "€1,330.70" in told  # 2 x 665.35
    fields = order_fields(desk, page, reference="PO 7", action="place")
    placed = visitor.post("/desk/orders/new", page, fields)
    assert "The order is placed." in placed
    again = visitor.post("/desk/orders/new", page, fields)
    assert "nothing was placed twice" in again
    orders = repository.orders_of_account(desk.hub.database.engine, account)
    mine = [order for order in orders if order.reference == "PO 7"]
    assert [(order.untaxed_amount, [line.quantity for line in order.lines]) for order in mine] == [
        (Decimal("1330.70"), [Decimal(2)])
    ]
    with opened(desk.hub) as session:
        intents = outbox.list_intents(session, entity=EntityType.ORDER, crm_id=mine[0].id)
    assert [(intent.connection, intent.state) for intent in intents] == [("erp", IntentState.QUEUED)]
    assert "queued" in text_of(placed)


def test_an_order_over_the_limit_is_blocked_with_its_reason(desk: Desk, visitor: Visitor) -> None:
    """A block without a reason is argued about; a place button beside it is pressed."""
    account = desk.id_of(EntityType.ACCOUNT, "10004")
    page = visitor.get(f"/desk/orders/new?account={account}")
    fields = order_fields(desk, page, account=str(account), quantity="1000", action="check")
    page = visitor.post("/desk/orders/new", page, fields)
    told = text_of(page)
    assert "Must not be placed" in told
    assert 'value="place"' not in page
    before = len(repository.orders_of_account(desk.hub.database.engine, account))
    page = visitor.post("/desk/orders/new", page, {**fields, "action": "place"})
    assert "Must not be placed" in text_of(page)
    assert len(repository.orders_of_account(desk.hub.database.engine, account)) == before


def test_who_may_only_look_is_not_offered_to_place_and_cannot(desk: Desk, stranger: Visitor) -> None:
    """The button is missing, and sending the form all the same is refused with nothing written."""
    stranger.sign_in(desk.key(Scope.SALES_READ))
    account = desk.id_of(EntityType.ACCOUNT, "10001")
    page = stranger.get(f"/desk/orders/new?account={account}")
    page = stranger.post("/desk/orders/new", page, order_fields(desk, page, action="check"))
    assert "May be placed" in text_of(page)
    assert 'value="place"' not in page
    assert _RESERVATION.search(page) is None
    before = len(repository.orders_of_account(desk.hub.database.engine, account))
    stranger.post("/desk/orders/new", page, order_fields(desk, page, action="place"), expect=403)
    assert len(repository.orders_of_account(desk.hub.database.engine, account)) == before


def test_a_name_from_outside_is_text_on_every_page(desk: Desk, visitor: Visitor) -> None:
    """Whoever can name a customer in the ERP must not run scripts in the browsers of sales."""
    evil = "<script>alert('x')</script>&\""
    desk.office.simulator.update_customer("10005", displayName=evil)
    from sync_jobs.operations import pull

    pull(desk.hub, "erp")
    account = desk.id_of(EntityType.ACCOUNT, "10005")
    for path in ("/desk/accounts", f"/desk/accounts/{account}", f"/desk/orders/new?account={account}"):
        page = visitor.get(path)
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page
