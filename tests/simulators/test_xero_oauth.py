"""Who may come in, and how often: tokens, organisations and limits of the simulated Xero."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from simulators.clock import ManualClock
from simulators.xero.limits import Limits
from simulators.xero.server import Settings
from tests.simulators.xero_api import Api, running


@pytest.fixture
def start(clock: ManualClock) -> Iterator[Callable[..., Api]]:
    """Starts one with such settings."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(running(clock, settings=Settings(**settings)))


def refresh(api: Api, token: str) -> requests.Response:
    return api.token(grant_type="refresh_token", refresh_token=token)


def test_an_access_token_ends_after_half_an_hour(start: Callable[..., Api], clock: ManualClock) -> None:
    api = start()
    assert api.get("Organisation").status_code == 200
    clock.advance(1800)
    refused = api.get("Organisation")
    assert (refused.status_code, refused.json()["Title"]) == (401, "Unauthorized")
    api.sign_in()
    assert api.get("Organisation").status_code == 200
    api.simulator.revoke_access()
    assert api.get("Organisation").status_code == 401


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "unknown"}, "invalid_grant"),
    ],
)
def test_a_wrong_question_for_tokens_is_refused(start: Callable[..., Api], changes: dict[str, str], error: str) -> None:
    answer = start().token(**changes)
    assert (answer.status_code, answer.json()) == (400, {"error": error})


def test_the_client_may_be_named_by_http_basic(start: Callable[..., Api]) -> None:
    api = start()
    settings = api.simulator.settings
    form = {"grant_type": "client_credentials"}
    for secret, status in ((settings.client_secret, 200), ("wrong", 400)):
        answer = requests.post(api.simulator.token_url, data=form, auth=(settings.client_id, secret), timeout=5)
        assert answer.status_code == status


def test_a_refresh_token_works_once(start: Callable[..., Api]) -> None:
    """Without grace a second use shuts the connection out."""
    api = start(grace_seconds=0)
    first = refresh(api, api.simulator.settings.refresh_token)
    assert refresh(api, api.simulator.settings.refresh_token).json() == {"error": "invalid_grant"}
    second = refresh(api, first.json()["refresh_token"])
    assert second.json()["refresh_token"] != first.json()["refresh_token"]
    assert (second.json()["expires_in"], second.json()["token_type"]) == (1800, "Bearer")
    assert api.simulator.tokens.refreshes == 2


def test_a_used_refresh_token_is_answered_again_for_half_an_hour(start: Callable[..., Api], clock: ManualClock) -> None:
    api = start()
    refresh(api, api.simulator.settings.refresh_token)
    clock.advance(1799)
    assert refresh(api, api.simulator.settings.refresh_token).status_code == 200
    clock.advance(1)
    assert refresh(api, api.simulator.settings.refresh_token).status_code == 400


def test_a_refresh_token_that_nobody_used_ends_after_sixty_days(start: Callable[..., Api], clock: ManualClock) -> None:
    api = start()
    clock.advance(59 * 86_400)
    token = refresh(api, api.simulator.settings.refresh_token).json()["refresh_token"]
    clock.advance(60 * 86_400)
    assert refresh(api, token).json() == {"error": "invalid_grant"}
    api.simulator.set_tokens("authorised anew")
    assert refresh(api, "authorised anew").status_code == 200
    api.simulator.revoke_all()
    assert refresh(api, "authorised anew").status_code == 400


def test_the_organisations_of_an_app_are_listed_and_no_other_one_is_open(start: Callable[..., Api]) -> None:
    api = start()
    (found,) = api.get(f"{api.simulator.url}/connections").json()
    organisation = api.simulator.organisation
    assert (found["tenantId"], found["tenantName"]) == (organisation.tenant_id, organisation.name)
    assert found["tenantType"] == "ORGANISATION"
    for tenant in ("", "99999999-9999-4999-8999-999999999999"):
        refused = api.get("Organisation", headers={"xero-tenant-id": tenant})
        assert (refused.status_code, refused.json()["Detail"]) == (403, "AuthenticationUnsuccessful")


# -- limits -----------------------------------------------------------------------------------------------------------


def left(answer: requests.Response) -> tuple[str, ...]:
    return tuple(answer.headers.get(f"X-{name}Limit-Remaining", "-") for name in ("Day", "Min", "AppMin"))


def test_the_calls_of_a_minute_are_counted_and_the_next_minute_begins_anew(
    start: Callable[..., Api], clock: ManualClock
) -> None:
    api = start(limits=Limits(minute=3, day=100))
    assert [left(api.get("Organisation")) for _ in range(3)] == [(str(99 - n), str(2 - n), "9999") for n in range(3)]
    clock.advance(20.5)
    refused = api.get("Organisation")
    assert (refused.status_code, refused.headers["X-Rate-Limit-Problem"]) == (429, "minute")
    assert refused.headers["Retry-After"] == "40"
    clock.advance(39.5)
    assert left(api.get("Organisation")) == ("96", "2", "9999")


def test_the_calls_of_a_day_are_counted_writes_and_refused_ones_too(
    start: Callable[..., Api], clock: ManualClock
) -> None:
    api = start(limits=Limits(minute=100, day=4))
    calls: list[Any] = [
        api.get("Organisation"),
        api.get("Nothing"),
        api.write("PUT", "Contacts", {"Name": "A"}),
        api.write("PUT", "Contacts", {"Name": "<"}),
    ]
    assert [left(call)[0] for call in calls] == ["3", "2", "1", "0"]
    clock.advance(3600)
    api.sign_in()
    refused = api.get("Organisation")
    assert (refused.status_code, refused.headers["X-Rate-Limit-Problem"]) == (429, "day")
    assert refused.headers["Retry-After"] == str(23 * 3600)


def test_five_calls_at_a_time_and_no_sixth(start: Callable[..., Api]) -> None:
    """Those in progress keep their place; the sixth is told to wait, without a time."""
    api = start(limits=Limits())
    answers: list[requests.Response] = []

    def call() -> None:
        headers = {name: str(value) for name, value in api.headers.items()}
        url = f"{api.simulator.url}/api.xro/2.0/Organisation"
        answers.append(requests.get(url, headers=headers, timeout=5))

    threads = [threading.Thread(target=call) for _ in range(6)]
    with api.simulator.paused():
        for thread in threads:
            thread.start()
        assert api.simulator.wait_for_requests(6)
    for thread in threads:
        thread.join()
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200, 200, 200, 200, 200, 429]
    (refused,) = [answer for answer in answers if answer.status_code == 429]
    assert refused.headers["X-Rate-Limit-Problem"] == "concurrent"
    assert "Retry-After" not in refused.headers


def test_nothing_is_counted_unless_it_is_asked_for(start: Callable[..., Api]) -> None:
    """A chaos run makes more calls than a day has."""
    api = start()
    assert {left(api.get("Organisation")) for _ in range(70)} == {("-", "-", "-")}
