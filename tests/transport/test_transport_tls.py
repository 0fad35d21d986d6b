"""TLS: whom the client trusts, and that it trusts nobody else."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.config import ConnectionConfig
from connectors.transport.http import HttpClient
from crm_core.errors import ConfigurationFault, ConnectionBlocked
from sync_jobs.live.errands import Errand


class _Plain(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    held: ClassVar[threading.Event | None] = None
    """What an answer waits for."""

    def do_GET(self) -> None:
        if self.held is not None:
            assert self.held.wait(20)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate that nobody but this test trusts, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    trusted, secret = tmp_path / "trusted.pem", tmp_path / "key.pem"
    trusted.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return trusted, secret


@pytest.fixture
def secured(certificate: tuple[Path, Path]) -> Iterator[str]:
    """The address of a server over TLS that answers `{}` to everything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Plain)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join()
    server.server_close()


def test_a_certificate_that_is_not_trusted_is_refused(secured: str) -> None:
    """Whoever sits between us and the back office would read every order and every password."""
    refused = pytest.raises(ConnectionBlocked, match=r"not trusted \(ca_bundle\)")
    with HttpClient(ConnectionConfig(attempts=1), secured) as client, refused:
        client.get("items", operation="GET items")


@pytest.mark.parametrize("how", ["setting", "environment"])
def test_a_house_may_name_its_own_certificates(
    secured: str, certificate: tuple[Path, Path], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A back office behind a certificate of the house's own could not be reached at all."""
    if how == "environment":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    config = ConnectionConfig(attempts=1, ca_bundle=str(certificate[0]) if how == "setting" else None)
    with HttpClient(config, secured) as client:
        for _ in range(2):
            assert client.get("items", operation="GET items").body == b"{}"


def test_over_tls_an_errand_leaves_its_thread_to_others_while_it_waits(
    secured: str, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One slow back office would hold up the answers to everybody else: each of them in use is asked over TLS."""
    config = ConnectionConfig(attempts=1, ca_bundle=str(certificate[0]))
    may_answer = threading.Event()
    with HttpClient(config, secured) as client:

        def work() -> list[bytes]:
            told = [client.get("items", operation="GET items").body]
            monkeypatch.setattr(_Plain, "held", may_answer)
            return [*told, client.get("items", operation="GET items").body]

        async def asked() -> list[bytes]:
            future = Errand(asyncio.get_running_loop(), work).begin()
            while _Plain.held is None:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not future.done()
            may_answer.set()  # by the thread that would be waiting
            return await asyncio.wait_for(asyncio.wrap_future(future), 20)

        assert asyncio.run(asked()) == [b"{}", b"{}"]


def test_certificates_that_are_not_there_are_a_configuration_fault(secured: str, tmp_path: Path) -> None:
    """A slip in the path must not be taken for a back office that is down and asked again all night."""
    config = ConnectionConfig(attempts=3, ca_bundle=str(tmp_path / "gone.pem"))
    refused = pytest.raises(ConfigurationFault, match=r"gone\.pem cannot be read")
    with HttpClient(config, secured) as client, refused:
        client.get("items", operation="GET items")
