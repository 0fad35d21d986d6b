"""Refresh tokens that change with every use: nobody may use one up behind another's back, and none may get lost."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from connectors.config import ConnectionConfig
from connectors.transport.auth import basic
from connectors.transport.http import HttpClient
from connectors.transport.refresh_token import RefreshToken, TokenFile
from crm_core.errors import AuthenticationFailed, ConfigurationFault, ProtocolViolation, ServiceUnavailable

ROOT = Path(__file__).resolve().parents[2]
Reply = Callable[..., bytes]
FIRST = "refresh-0-secret"


class Issuer:
    """Gives tokens strictly: a refresh token works once, and an access token ends with the next one."""

    def __init__(self, answer: Reply, first: str = FIRST) -> None:
        self._answer, self._lock = answer, threading.Lock()
        self.valid_refresh_token, self.access_token = first, ""
        self.refreshed: list[str] = []
        self.lifetime_seconds = 1800

    def __call__(self, request: Any) -> bytes:
        with self._lock:
            if not request.target.endswith("/token"):
                is_known = request.headers.get("authorization") == f"Bearer {self.access_token}"
                return self._answer(200 if is_known else 401)
            form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
            self.refreshed.append(form["refresh_token"])
            if form["refresh_token"] != self.valid_refresh_token:
                return self._answer(400, b'{"error": "invalid_grant"}')
            number = len(self.refreshed)
            self.valid_refresh_token = f"refresh-{number}-secret"
            self.access_token = f"access-{number}-secret"
            said = {
                "access_token": self.access_token,
                "refresh_token": self.valid_refresh_token,
                "expires_in": self.lifetime_seconds,
            }
            return self._answer(body=json.dumps(said).encode())


class Clock:
    """Seconds since the epoch, moved by the test."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def issuer(loopback: Any, answer: Reply) -> Issuer:
    made = Issuer(answer)
    loopback.script = [made]
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "xero.tokens"


def auth_of(loopback: Any, file: Path, *, configured: str = FIRST, **options: Any) -> RefreshToken:
    """Each with a client of its own, as two workers have."""
    config = ConnectionConfig(timeout_seconds=5, attempts=2)
    tokens = HttpClient(config, loopback.url, auth=basic("hub", "client-secret-9"), sleep=lambda _: None)
    kept = TokenFile(file, lock_seconds=options.pop("lock_seconds", 30))
    return RefreshToken(tokens, "token", kept, client_id="hub", refresh_token=configured, **options)


def test_one_refresh_serves_until_the_token_is_about_to_end(loopback: Any, issuer: Issuer, file: Path) -> None:
    """A refresh for each call would be throttled; one after the end would fail a call first."""
    clock = Clock()
    auth = auth_of(loopback, file, now=clock)
    assert auth.headers() == auth.headers() == {"Authorization": "Bearer access-1-secret"}
    clock.seconds += 1800 - 61
    assert auth.headers() == {"Authorization": "Bearer access-1-secret"}
    clock.seconds += 1
    assert auth.headers() == {"Authorization": "Bearer access-2-secret"}
    assert issuer.refreshed == [FIRST, "refresh-1-secret"]


def test_another_process_finds_the_newest_tokens_and_asks_for_none(loopback: Any, issuer: Issuer, file: Path) -> None:
    auth_of(loopback, file).headers()
    assert auth_of(loopback, file).headers() == {"Authorization": "Bearer access-1-secret"}
    assert issuer.refreshed == [FIRST]


def test_the_new_tokens_are_in_the_file_for_its_owner_alone(loopback: Any, issuer: Issuer, file: Path) -> None:
    """Whoever reads the file can read the books."""
    previous = os.umask(0)
    try:
        auth_of(loopback, file).headers()
    finally:
        os.umask(previous)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_bytes())["refresh_token"] == issuer.valid_refresh_token
    assert sorted(path.name for path in file.parent.iterdir()) == ["xero.tokens", "xero.tokens.lock"]


def test_many_threads_at_once_refresh_once(loopback: Any, issuer: Issuer, file: Path) -> None:
    """The second use of a token shuts the connection out until a person has authorised it again."""
    auths = [auth_of(loopback, file) for _ in range(12)]
    ready = threading.Barrier(12)

    def ask(auth: RefreshToken) -> str:
        ready.wait(10)
        return auth.headers()["Authorization"]

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(ask, auths)) == {"Bearer access-1-secret"}
    assert issuer.refreshed == [FIRST]


def test_many_threads_with_one_refused_token_renew_once(loopback: Any, issuer: Issuer, file: Path) -> None:
    """Somebody refreshed elsewhere: all of them get a 401 at the same moment."""
    auth = auth_of(loopback, file)
    auth.headers()
    ready = threading.Barrier(8)

    def renew(other: RefreshToken) -> str:
        other.headers()
        ready.wait(10)
        other.renew()
        return other.headers()["Authorization"]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(renew, [auth_of(loopback, file) for _ in range(8)])) == {"Bearer access-2-secret"}
    assert issuer.refreshed == [FIRST, "refresh-1-secret"]


PROCESS = """
import sys
from pathlib import Path
from connectors.config import ConnectionConfig
from connectors.transport.http import HttpClient
from connectors.transport.refresh_token import RefreshToken, TokenFile

url, file = sys.argv[1:]
client = HttpClient(ConnectionConfig(timeout_seconds=5), url)
auth = RefreshToken(client, "token", TokenFile(Path(file)), client_id="hub", refresh_token="refresh-0-secret")
print("ready", flush=True)
sys.stdin.readline()
print(auth.headers()["Authorization"], flush=True)
"""


def test_two_processes_at_once_refresh_once(loopback: Any, issuer: Issuer, file: Path) -> None:
    """Two workers, or a pull and a push from cron, in the same second."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROCESS, loopback.url, str(file)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        answers = []
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout is not None
            answers.append(process.stdout.readline())
        assert answers == ["Bearer access-1-secret\n"] * 2
    finally:
        for process in processes:
            process.communicate(timeout=30)
    assert issuer.refreshed == [FIRST]


def test_a_call_goes_on_with_the_tokens_that_somebody_else_fetched(loopback: Any, issuer: Issuer, file: Path) -> None:
    """The old access token ends when another worker refreshes: a 401 is no reason to refresh again."""
    config = ConnectionConfig(timeout_seconds=5, attempts=1)
    mine, other = auth_of(loopback, file), auth_of(loopback, file)
    with HttpClient(config, loopback.url, auth=mine) as client:
        client.get("items", operation="GET items")
        other.headers()
        other.renew()
        assert client.get("items", operation="GET items").status == 200
    assert issuer.refreshed == [FIRST, "refresh-1-secret"]


def test_a_connection_that_was_authorised_anew_begins_with_the_new_token(
    loopback: Any, issuer: Issuer, file: Path
) -> None:
    """The file still holds the old chain, which the server has forgotten."""
    auth_of(loopback, file).headers()
    issuer.valid_refresh_token = "another-beginning"
    assert auth_of(loopback, file, configured="another-beginning").headers()["Authorization"] == (
        "Bearer access-2-secret"
    )
    assert json.loads(file.read_bytes())["refresh_token"] == "refresh-2-secret"


def test_a_token_that_is_used_up_is_said_so_and_tried_once(loopback: Any, issuer: Issuer, file: Path) -> None:
    """Without the token itself in the text; the file keeps what it had."""
    issuer.valid_refresh_token = "somebody-else-has-the-next-one"
    with pytest.raises(AuthenticationFailed, match="authorise the connection again") as told:
        auth_of(loopback, file).headers()
    assert (told.value.http_status, told.value.vendor_code) == (400, None)
    assert FIRST not in str(told.value)
    assert issuer.refreshed == [FIRST]
    assert not file.exists()


def test_a_lost_answer_is_asked_for_again_where_the_server_has_grace(
    loopback: Any, issuer: Issuer, file: Path, answer: Reply
) -> None:
    """Else the connection is shut out because a router restarted."""
    loopback.script = [b"", issuer]
    assert auth_of(loopback, file, has_grace=True).headers()["Authorization"] == "Bearer access-1-secret"


def test_a_lost_answer_without_grace_is_not_asked_for_again_and_no_lost_write(
    loopback: Any, issuer: Issuer, file: Path
) -> None:
    """The write that the token was for was never sent: its outcome is not unknown, it is tried again later."""
    loopback.script = [b""]
    with pytest.raises(ServiceUnavailable):
        auth_of(loopback, file).headers()
    assert len(loopback.seen) == 1
    assert not file.exists()


def test_what_a_process_left_behind_when_it_died_does_no_harm(loopback: Any, issuer: Issuer, file: Path) -> None:
    """It died between the answer and the new file: the old file is whole, the half one is not looked at."""
    auth_of(loopback, file).headers()
    before = file.read_bytes()
    file.with_name("xero.tokens.new").write_bytes(b'{"refresh_token": "half')
    auth = auth_of(loopback, file)
    assert auth.headers()["Authorization"] == "Bearer access-1-secret"
    assert file.read_bytes() == before
    auth.renew()
    assert json.loads(file.read_bytes())["refresh_token"] == "refresh-2-secret"


def test_a_full_disk_shows_before_the_old_token_is_used_up(
    loopback: Any, issuer: Issuer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other way round the next token would be gone with the answer."""

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationFault, match="No space left"):
        auth_of(loopback, file).headers()
    assert issuer.refreshed == []
    assert not file.exists()


def test_a_folder_that_is_not_there_is_named(loopback: Any, issuer: Issuer, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match=r"absent.*No such file or directory"):
        auth_of(loopback, tmp_path / "absent" / "tokens").headers()
    assert issuer.refreshed == []


def test_a_file_that_is_something_else_is_left_alone(loopback: Any, issuer: Issuer, file: Path) -> None:
    """A path that was mistyped must not cost somebody a file."""
    file.write_text("minutes of the meeting")
    with pytest.raises(ConfigurationFault, match="is not a file of tokens"):
        auth_of(loopback, file).headers()
    assert file.read_text() == "minutes of the meeting"
    assert issuer.refreshed == []


def test_a_lock_that_is_never_let_go_is_not_waited_for_for_ever(loopback: Any, issuer: Issuer, file: Path) -> None:
    """A process that hangs with the lock: the others say so and try again later."""
    with TokenFile(file).locked(), pytest.raises(ServiceUnavailable, match=r"locked for 0\.1 seconds"):
        auth_of(loopback, file, lock_seconds=0.1).headers()
    assert issuer.refreshed == []


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"access_token": ""}', b'{"access_token": 7}', b"<html>"])
def test_an_answer_without_a_token_is_said_so(
    loopback: Any, issuer: Issuer, file: Path, answer: Reply, body: bytes
) -> None:
    loopback.script = [answer(body=body)]
    with pytest.raises(ProtocolViolation):
        auth_of(loopback, file).headers()
    assert not file.exists()
