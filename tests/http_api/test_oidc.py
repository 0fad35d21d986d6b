"""Bearer tokens of an identity provider: what it signed for us opens what it says; nothing else opens anything."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from starlette.testclient import TestClient

from crm_core.access import Scope
from http_api.app import create_app
from http_api.oidc import OidcTokens
from http_api.settings import OidcSettings
from sync_jobs.bootstrap import open_hub
from tests.cli.office import Desk

ISSUER = "https://login.example.com/"


class Provider:
    """An identity provider's keys on loopback, and tokens that it signs."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.asked = 0
        self.is_down = False
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                self.send_response(503 if provider.is_down else 200)
                self.end_headers()
                self.wfile.write(json.dumps({"keys": provider.keys()}).encode())

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def settings(self) -> OidcSettings:
        url = f"http://127.0.0.1:{self.server.server_port}/keys"
        return OidcSettings(issuer=ISSUER, audience="counterfoil", jwks_url=url)

    def keys(self) -> list[dict[str, Any]]:
        made = [
            (RSAAlgorithm.to_jwk(self.rsa.public_key(), as_dict=True), "r1", "RS256"),
            (ECAlgorithm.to_jwk(self.ec.public_key(), as_dict=True), "e1", "ES256"),
        ]
        return [{**jwk, "kid": kid, "alg": alg, "use": "sig"} for jwk, kid, alg in made]

    def token(self, *, key: Any = None, alg: str = "RS256", kid: str = "r1", **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": "counterfoil",
            "sub": "user-7",
            "exp": now + 300,
            "iat": now,
            "scope": "openid sales.read",
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, key or self.rsa, algorithm=alg, headers={"kid": kid})


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_token_that_was_signed_for_us_opens_the_scopes_that_it_names(provider: Provider) -> None:
    """Nobody of the company could sign in with what they have."""
    tokens = OidcTokens(provider.settings)
    found = tokens.asker(provider.token())
    assert found is not None
    assert (found.who, found.scopes) == ("oidc:user-7", {Scope.SALES_READ})
    listed = tokens.asker(provider.token(key=provider.ec, alg="ES256", kid="e1", scope=["operations", "other"]))
    assert listed is not None
    assert listed.scopes == {Scope.OPERATIONS}
    without = tokens.asker(provider.token(scope=None))
    assert without is not None
    assert without.scopes == frozenset()


def test_what_is_wrong_with_a_token_makes_it_open_nothing(provider: Provider) -> None:
    """A token for another application, of another provider, or of last year would read what customers owe."""
    tokens = OidcTokens(provider.settings)
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = provider.rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    past, future = int(time.time()) - 3600, int(time.time()) + 3600
    wrong = {
        "another's signature": provider.token(key=stranger),
        "expired": provider.token(exp=past),
        "not yet valid": provider.token(nbf=future),
        "no expiry": provider.token(exp=None),
        "another audience": provider.token(aud="other"),
        "no audience": provider.token(aud=None),
        "another issuer": provider.token(iss="https://evil.example.com/"),
        "no subject": provider.token(sub=None),
        "another key's name": provider.token(kid="e1"),
        "a key that nobody has": provider.token(kid="x9"),
        "unsigned": jwt.encode({"sub": "x"}, None, algorithm="none"),
        "signed with a secret": jwt.encode({"sub": "x"}, "s" * 64, algorithm="HS256", headers={"kid": "r1"}),
        "tampered": provider.token()[:-8] + "AAAAAAAA",
        "nonsense": "a.b.c",
        "empty": "",
        # the confusion that has bitten many: the public key taken as the secret of an HMAC
        "public key as secret": _hmac_token(public, {"iss": ISSUER, "aud": "counterfoil", "sub": "x", "exp": future}),
    }
    assert {name for name, token in wrong.items() if tokens.asker(token) is not None} == set()


def _hmac_token(secret: bytes, claims: dict[str, Any]) -> str:
    import base64
    import hashlib
    import hmac

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    head = f"{part(json.dumps({'alg': 'HS256', 'kid': 'r1'}).encode())}.{part(json.dumps(claims).encode())}"
    return f"{head}.{part(hmac.new(secret, head.encode(), hashlib.sha256).digest())}"


def test_made_up_keys_do_not_make_us_ask_the_provider_again_and_again(provider: Provider) -> None:
    """Anybody could make the hub call the provider as often as they like."""
    tokens = OidcTokens(provider.settings)
    tokens.asker(provider.token())
    asked = provider.asked
    for number in range(20):
        assert tokens.asker(provider.token(kid=f"made-up-{number}")) is None
    assert tokens.asker(provider.token()) is not None
    assert provider.asked == asked


def test_a_provider_that_is_down_lets_nobody_new_in_and_breaks_nothing(provider: Provider) -> None:
    """Every request would fail with a fault of ours."""
    provider.is_down = True
    try:
        assert OidcTokens(provider.settings).asker(provider.token()) is None
    finally:
        provider.is_down = False


def test_a_token_opens_the_api_and_without_one_nothing_is_open(provider: Provider, office: Desk) -> None:
    """With OIDC alone, a hub on this machine would still answer anybody."""
    oidc = provider.settings
    office.write_settings(
        more=f'[http.oidc]\nissuer = "{oidc.issuer}"\naudience = "{oidc.audience}"\njwks_url = "{oidc.jwks_url}"'
    )
    hub = open_hub(office.folder / "counterfoil.toml")
    with TestClient(create_app(hub), base_url="http://127.0.0.1") as client:
        assert client.get("/accounts").status_code == 401
        headers = {"authorization": f"Bearer {provider.token()}"}
        assert client.get("/accounts", headers=headers).status_code == 200
        assert client.get("/runs", headers=headers).status_code == 403
        assert client.get("/accounts", headers={"authorization": "Bearer x.y.z"}).status_code == 401
