"""Alerts over real databases, with a web server and a mail server on loopback: told once, over once, never lost."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from crm_core.errors import ConfigurationFault
from crm_core.store.alerts import list_alerts
from sync_jobs.bootstrap import Hub
from sync_jobs.operations import pull
from sync_jobs.watching.alert_settings import alert_settings
from sync_jobs.watching.alerts import Told, alerting, retry_after, send_alerts, try_channels
from tests.cli.office import ACCOUNT, PRODUCT, Desk
from tests.conftest import TestClock
from tests.watching.receivers import Hook, hook, post_office

HubMaker = Callable[[str], Hub]


def webhook(made: Hook, name: str = "ops", more: str = "") -> str:
    return f'[alerts.webhooks.{name}]\nurl = "{made.url}"\n{more}\n'


def spoil(office: Desk) -> None:
    """A product that cannot be taken in."""
    office.source(PRODUCT).put("p9", code="W-9", name="Bad", price="much", active=True)


def told(made: Hook) -> list[tuple[str, str]]:
    return [(one["status"], one["kind"]) for body in made.bodies for one in body["alerts"]]


def test_a_letter_is_told_of_when_it_is_older_than_its_limit_once_and_then_that_it_is_over(
    hub_with: HubMaker, office: Desk, clock: TestClock
) -> None:
    """Told at every pass nobody would listen any more; never told to be over, somebody would look for nothing."""
    with hook() as made:
        hub = hub_with(webhook(made))
        spoil(office)
        pull(hub, "all")
        clock.advance(hours=23)
        assert send_alerts(hub) == []
        clock.advance(hours=1)
        assert send_alerts(hub) == [Told("webhook:ops", 1, 0)]
        clock.advance(hours=1)
        pull(hub, "all")
        assert send_alerts(hub) == []
        office.source(PRODUCT).put("p9", code="W-9", name="Good", price=Decimal(1), active=True)
        pull(hub, "all")
        assert send_alerts(hub) == [Told("webhook:ops", 0, 1)]
        assert send_alerts(hub) == []
    assert told(made) == [("open", "dead_letter"), ("over", "dead_letter")]
    (first, last) = (body["alerts"][0] for body in made.bodies)
    assert first["text"] == "1 dead letter of product (invalid_value)"
    assert first["hint"] == "counterfoil dead-letters list --connection erp --cause invalid_value"
    assert first["id"] == last["id"]
    with closing(hub.database.open()) as session:
        assert list_alerts(session) == []


def test_what_is_over_before_anybody_was_told_is_never_told(hub_with: HubMaker, office: Desk, clock: TestClock) -> None:
    """A channel that was down over night would tell in the morning of what has long been mended."""
    with hook() as made:
        made.status = 503
        hub = hub_with(webhook(made))
        spoil(office)
        pull(hub, "all")
        clock.advance(hours=25)
        assert send_alerts(hub) == [Told("webhook:ops", 1, 0, "127.0.0.1 answered 503")]
        office.source(PRODUCT).put("p9", code="W-9", name="Good", price=Decimal(1), active=True)
        pull(hub, "all")
        made.status = 204
        clock.advance(hours=1)
        assert send_alerts(hub) == []
    assert len(made.bodies) == 1


def test_a_channel_that_fails_is_tried_again_later_and_the_other_is_not_told_twice(
    hub_with: HubMaker, office: Desk, clock: TestClock
) -> None:
    """One channel that is down must neither silence the other nor make it repeat itself, nor be asked all day."""
    with hook() as down, hook() as up:
        down.status = 500
        hub = hub_with(webhook(down, "down") + webhook(up, "up"))
        spoil(office)
        pull(hub, "all")
        clock.advance(hours=25)
        assert send_alerts(hub) == [
            Told("webhook:down", 1, 0, "127.0.0.1 answered 500"),
            Told("webhook:up", 1, 0),
        ]
        clock.advance(seconds=59)
        assert send_alerts(hub) == []
        clock.advance(seconds=1)
        assert [one.why for one in send_alerts(hub)] == ["127.0.0.1 answered 500"]
        clock.advance(seconds=119)
        assert send_alerts(hub) == []
        down.status = 200
        clock.advance(seconds=1)
        assert send_alerts(hub) == [Told("webhook:down", 1, 0)]
    assert len(up.bodies) == 1
    assert [len(body["alerts"]) for body in down.bodies] == [1, 1, 1]


def test_back_off_doubles_up_to_an_hour() -> None:
    """A channel that is gone for good would be asked every minute for ever."""
    assert [retry_after(n) // timedelta(minutes=1) for n in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_two_passes_beside_each_other_tell_once(hub_with: HubMaker, office: Desk, clock: TestClock) -> None:
    """Every process of a fleet makes passes: each person would hear of everything as often as there are workers."""
    with hook() as made:
        hub = hub_with(webhook(made))
        spoil(office)
        pull(hub, "all")
        clock.advance(hours=25)
        done: list[Told] = []
        threads = [threading.Thread(target=lambda: done.extend(send_alerts(hub))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert done == [Told("webhook:ops", 1, 0)]
    assert len(made.bodies) == 1


def test_a_run_that_failed_is_told_at_once_and_over_with_the_next_good_one(
    hub_with: HubMaker, office: Desk, clock: TestClock
) -> None:
    """Nobody would know that the catalogue is not read any more."""
    with hook() as made:
        hub = hub_with(webhook(made))
        pull(hub, "all")
        source = office.source(PRODUCT)
        source.put("p3", code="W-3", name="New", price=Decimal(1), active=True)
        source.fails_after_pages, source.failure = 0, ConnectionError("mueller@example.com refused us")
        with pytest.raises(ConnectionError):
            pull(hub, "all")
        send_alerts(hub)
        (alert,) = made.bodies[0]["alerts"]
        assert (alert["kind"], alert["connection"]) == ("failed", "erp")
        assert alert["text"] == "pull all failed in run 2: ConnectionError: *** refused us"
        source.fails_after_pages = None
        pull(hub, "all")
        assert send_alerts(hub) == [Told("webhook:ops", 0, 1)]


def test_a_job_that_does_not_run_any_more_is_late(hub_with: HubMaker, clock: TestClock) -> None:
    """A timer that was switched off by mistake makes no error: only its silence tells."""
    with hook() as made:
        hub = hub_with("[alerts]\nlate_hours = 2\n" + webhook(made))
        pull(hub, "all")
        clock.advance(hours=1, minutes=59)
        assert send_alerts(hub) == []
        clock.advance(minutes=1)
        assert send_alerts(hub) == [Told("webhook:ops", 1, 0)]
        assert made.bodies[0]["alerts"][0]["text"] == "job all last came to a good end at 2026-11-22 09:00 UTC"
        pull(hub, "all")
        assert send_alerts(hub) == [Told("webhook:ops", 0, 1)]


def test_mail_says_the_same_and_a_refused_recipient_is_tried_again(
    hub_with: HubMaker, office: Desk, clock: TestClock
) -> None:
    """Who has no chat is told by mail; a mail server that refuses must not lose the matter."""
    with post_office() as made:
        hub = hub_with(
            f'[alerts.mail]\nhost = "127.0.0.1"\nport = {made.port}\nsecurity = "none"\n'
            'sender = "hub@example.com"\nto = ["a@example.com", "b@example.com"]\n'
        )
        spoil(office)
        pull(hub, "all")
        clock.advance(hours=25)
        made.answer = "450 busy"
        assert [one.why for one in send_alerts(hub)] == ["127.0.0.1 did not take the mail (SMTPRecipientsRefused)"]
        made.answer, made.recipients = "250 ok", []
        clock.advance(minutes=1)
        assert send_alerts(hub) == [Told("mail", 1, 0)]
        (mail,) = made.mails
        assert mail["Subject"].endswith("erp: 1 dead letter of product (invalid_value)")
        assert mail["To"] == "a@example.com, b@example.com"
        assert made.recipients == ["a@example.com", "b@example.com"]
        assert "counterfoil dead-letters list --connection erp" in str(mail.get_payload())


def test_a_secret_signs_the_body_and_no_message_shows_it_or_the_address(
    hub_with: HubMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever receives can tell ours from a forged one; the address of a chat's hook is a credential."""
    with hook() as made:
        monkeypatch.setenv("HOOK_SIGNS_WITH", "k3y")
        hub = hub_with(webhook(made, more='secret = "${HOOK_SIGNS_WITH}"'))
        assert try_channels(hub) == [Told("webhook:ops", 0, 0)]
        body, headers = made.raw[0]
        wanted = hmac.new(b"k3y", body, hashlib.sha256).hexdigest()
        assert headers["X-Counterfoil-Signature"] == f"sha256={wanted}"
        assert (made.bodies[0]["test"], made.bodies[0]["alerts"]) == (True, [])
        made.status = 302
        assert try_channels(hub, "webhook:ops")[0].why == "127.0.0.1 answered 302"
    assert len(made.bodies) == 2
    (gone,) = try_channels(hub)
    assert gone.why == "127.0.0.1 cannot be reached (ConnectionError)"
    assert "s3cret" not in str(gone)


def test_passes_go_on_in_a_thread_of_their_own_and_a_dead_channel_does_not_stop_them(
    hub_with: HubMaker, office: Desk, clock: TestClock
) -> None:
    """A chat that hangs must never hold a run up."""
    with hook() as made:
        hub = hub_with(webhook(made))
        spoil(office)
        pull(hub, "all")
        clock.advance(hours=25)
        came = threading.Event()
        made.bodies = _Telling(came)
        with alerting(lambda: hub, every_seconds=0.01):
            assert came.wait(20)
    assert told(made) == [("open", "dead_letter")]


class _Telling(list[dict[str, Any]]):
    def __init__(self, came: threading.Event) -> None:
        super().__init__()
        self._came = came

    def append(self, item: dict[str, Any]) -> None:
        super().append(item)
        self._came.set()


JOB = '[jobs.{name}]\nconnection = "erp"\n{more}\n'


def job(name: str, more: str = "") -> str:
    return JOB.format(name=name, more=more)


def test_whom_a_job_names_is_told_of_its_failure_and_of_no_other_job(
    hub_with: HubMaker, office: Desk, clock: TestClock
) -> None:
    """The owner of the stock would read of every other job until he reads nothing any more, or of none at all."""
    with hook() as made, hook() as all_of_it:
        hub = hub_with(
            webhook(all_of_it)
            + job("goods", f'entities = ["product"]\nnotify = ["{made.url}"]')
            + job("people", 'entities = ["account"]')
        )
        for name in ("goods", "people"):
            source = office.source(PRODUCT if name == "goods" else ACCOUNT)
            source.fails_after_pages, source.failure = 0, ConnectionError("down")
            with pytest.raises(ConnectionError):
                pull(hub, name)
        assert send_alerts(hub) == [Told("webhook:ops", 2, 0), Told("job:goods:webhook:1", 1, 0)]
        (alert,) = made.bodies[0]["alerts"]
        assert alert["text"] == "pull goods failed in run 1: ConnectionError: down"
        for source in (office.source(PRODUCT), office.source(ACCOUNT)):
            source.fails_after_pages = None
        pull(hub, "people")
        assert send_alerts(hub) == [Told("webhook:ops", 0, 1)]
        pull(hub, "goods")
        assert send_alerts(hub) == [Told("webhook:ops", 0, 1), Told("job:goods:webhook:1", 0, 1)]
    assert told(made) == [("open", "failed"), ("over", "failed")]
    with closing(hub.database.open()) as session:
        assert list_alerts(session) == []


def test_the_mail_of_a_job_goes_to_whom_it_names_by_the_house_s_mail_server(
    hub_with: HubMaker, office: Desk, clock: TestClock
) -> None:
    """Only jobs say who is told: an empty list in [alerts.mail] is no mistake."""
    with post_office() as made:
        hub = hub_with(
            f'[alerts.mail]\nhost = "127.0.0.1"\nport = {made.port}\nsecurity = "none"\n'
            'sender = "hub@example.com"\nto = []\n'
            + job("goods", 'entities = ["product"]\nnotify = ["mailto:a@example.com", "mailto:b@example.com"]')
        )
        spoil(office)
        pull(hub, "goods")
        clock.advance(hours=25)
        assert send_alerts(hub) == [Told("job:goods:mail", 1, 0)]
        (mail,) = made.mails
        assert mail["To"] == "a@example.com, b@example.com"
        assert mail["Subject"].endswith("erp: 1 dead letter of product (invalid_value)")


def test_mail_without_a_mail_server_is_said_where_it_is_tried_and_the_matter_waits(
    hub_with: HubMaker, office: Desk, clock: TestClock
) -> None:
    hub = hub_with(job("goods", 'entities = ["product"]\nnotify = ["mailto:a@example.com"]'))
    (tried,) = try_channels(hub)
    assert tried == Told(
        "job:goods:mail", 0, 0, "[alerts.mail] is missing: it says by which host mail goes out, and from whom"
    )
    spoil(office)
    pull(hub, "goods")
    clock.advance(hours=25)
    assert [one.why for one in send_alerts(hub)] == [tried.why]
    with closing(hub.database.open()) as session:
        assert [(one.channel, one.message) for one in list_alerts(session)] == [("job:goods:mail", tried.why)]


def test_a_secret_address_of_a_job_stands_in_a_variable(hub_with: HubMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of a chat's hook is a credential."""
    with hook() as made:
        hub = hub_with(job("goods", 'entities = ["product"]\nnotify = ["${GOODS_HOOK}"]'))
        (missing,) = try_channels(hub)
        assert missing.why is not None
        assert "the environment has no variable GOODS_HOOK" in missing.why
        monkeypatch.setenv("GOODS_HOOK", made.url)
        assert try_channels(hub) == [Told("job:goods:webhook:1", 0, 0)]
        assert made.bodies[0]["test"] is True


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("late_hour = 2", "unknown key 'late_hour'; did you mean 'late_hours'?"),
        ("late_hours = 0", "`late_hours` must be a number above 0, not 0"),
        ('intent_hours = "4"', "`intent_hours` must be a number above 0, not '4'"),
        ("[alerts.webhooks.ops]", "[alerts.webhooks.ops]: `url` is missing"),
        ('[alerts.mail]\nhost = "h"\nsender = "a@b"', "`to` must be a list of addresses, not None"),
        ('[alerts.mail]\nhost = "h"\nsender = "a@b"\nto = "a@b"', "`to` must be a list of addresses, not 'a@b'"),
        ('[alerts.mail]\nhost = "h"\nsender = "a"\nto = ["a@b"]', "'a' is no mail address"),
        ('[alerts.mail]\nhost="h"\nsender="a@b"\nto=["a@b"]\nsecurity="startls"', "did you mean 'starttls'?"),
        (
            '[alerts.mail]\nhost="mail.example.com"\nsender="a@b"\nto=["a@b"]\nsecurity="none"\nuser="u"\npassword="p"',
            "a password does not go over the network in the clear",
        ),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_the_key_and_the_nearest_one(office: Desk, lines: str, said: str) -> None:
    """A slip of the pen would switch alerts off without a word."""
    from sync_jobs.settings import load_settings

    office.write_settings(more=f"[alerts]\n{lines}")
    with pytest.raises(ConfigurationFault) as caught:
        alert_settings(load_settings(office.folder / "counterfoil.toml"))
    assert said in str(caught.value)


def test_an_address_in_the_clear_and_a_missing_variable_are_told_when_it_is_used(hub_with: HubMaker) -> None:
    """What is told would be read on the way."""
    hub = hub_with('[alerts.webhooks.a]\nurl = "http://chat.example.com/x"\n[alerts.webhooks.b]\nurl = "${NO_HOOK}"')
    first, second = try_channels(hub)
    assert first.why == "alerts.webhooks.a.url must begin with https:// (http:// is for this machine only)"
    assert second.why is not None
    assert "the environment has no variable NO_HOOK" in second.why
