"""Whatever sales do and in whatever order, no more is promised than the limit allows."""

from __future__ import annotations

import shutil
import tempfile
from decimal import Decimal
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_core.credit import Outcome
from crm_core.store.database import Database
from sync_jobs.live.desk import LiveDesk
from tests.conftest import TestClock
from tests.live.shop import open_shop

LIMIT = 1000

steps = st.lists(
    st.one_of(
        st.tuples(st.just("check"), st.integers(1, 700)),
        st.tuples(st.just("place"), st.integers(1, 700)),
        st.tuples(st.just("place held"), st.integers(0, 5)),
        st.tuples(st.just("change held"), st.integers(0, 5)),
        st.tuples(st.just("release"), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.integers(1, 16)),
        st.tuples(st.just("same key"), st.integers(0, 5)),
    ),
    max_size=25,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(todo=steps, owed=st.integers(0, 400))
def test_reserved_and_ordered_never_exceed_the_limit(
    todo: list[tuple[str, int]], owed: int, empty_sqlite: Path
) -> None:
    """Some order of checks, placements and expiries would sell more than the customer may owe."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = Database(f"sqlite:///{shutil.copy(empty_sqlite, folder / 'counterfoil.sqlite')}")
        clock = TestClock()
        shop = open_shop(database, folder, clock, Decimal(LIMIT), owed=owed, sales="max_age_seconds = 1e6")
        held: list[tuple[int, int]] = []
        keys: list[tuple[str, int]] = []
        with LiveDesk(shop.hub) as desk:
            for number, (verb, value) in enumerate(todo):
                free = Decimal(LIMIT - owed) - sum(shop.promised(), Decimal(0))
                match verb:
                    case "check":
                        check = desk.check_order(shop.draft(value)).result(20)
                        assert (check.verdict is Outcome.OK) == (value <= free)
                        if check.reservation_id is not None:
                            held.append((check.reservation_id, value))
                    case "place":
                        placed = desk.place_order(shop.draft(value), f"key-{number}").result(20)
                        assert (placed.order_id is not None) == (value <= free)
                        keys.append((f"key-{number}", value))
                    case "place held" if held:
                        reservation, amount = held.pop(value % len(held))
                        desk.place_order(shop.draft(amount), f"key-{number}", reservation_id=reservation).result(20)
                    case "change held" if held:
                        reservation, amount = held.pop(value % len(held))
                        more = desk.check_order(shop.draft(amount + 50), reservation_id=reservation).result(20)
                        if more.reservation_id is not None:
                            held.append((more.reservation_id, amount + 50))
                    case "release" if held:
                        desk.release(held.pop(value % len(held))[0])
                    case "same key" if keys:
                        key, amount = keys[value % len(keys)]
                        desk.place_order(shop.draft(amount), key).result(20)
                    case "wait":
                        clock.advance(minutes=value)
                reserved, ordered = shop.promised()
                assert owed + reserved + ordered <= LIMIT
        database.engine.dispose()
