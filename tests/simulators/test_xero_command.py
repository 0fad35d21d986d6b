"""`python -m simulators.xero`: what an integrator starts by hand to rehearse offline."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import requests

from simulators.xero.__main__ import SECRET_VARIABLE


def test_it_tells_where_it_is_keeps_the_given_secret_and_ends_on_sigterm() -> None:
    command = [sys.executable, "-m", "simulators.xero", "--items", "3", "--customers", "2", "--documents", "4"]
    command += ["--port", "0", "--limits"]
    environment = {**os.environ, SECRET_VARIABLE: "rehearsal", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            shown = dict(re.split(r"\s{2,}", process.stdout.readline().strip(), maxsplit=1) for _ in range(7))
            assert "rehearsal" not in str(shown)
            for grant in (
                {"grant_type": "client_credentials"},
                {"grant_type": "refresh_token", "refresh_token": shown["refresh token"]},
            ):
                form = {**grant, "client_id": shown["client id"], "client_secret": "rehearsal"}
                token = requests.post(shown["token url"], data=form, timeout=5).json()["access_token"]
                headers = {
                    "Authorization": f"Bearer {token}",
                    "xero-tenant-id": shown["tenant id"],
                    "Accept": "application/json",
                }
                answer = requests.get(f"{shown['url']}/api.xro/2.0/Items", headers=headers, timeout=5)
                assert len(answer.json()["Items"]) == 3
                assert answer.headers["X-MinLimit-Remaining"] in ("59", "58")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0
