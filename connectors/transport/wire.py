"""The wire: one request and the head of its answer, cookies kept, nothing repeated, nothing followed.

Directly (`plain_http.py`), or by way of the house's proxy, over urllib3's own pools. What requests knows of a house
(its proxies, its certificates, from the environment) is asked of it once.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from urllib.request import Request

import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_auth_from_url, get_environ_proxies, select_proxy
from urllib3.util.ssl_ import create_urllib3_context

from connectors.transport.bodies import has_body
from connectors.transport.plain_http import Connection, Response, exchanged, message
from connectors.transport.redaction import redact
from connectors.transport.sockets import PlainConnection, PlainPool, TlsConnection, TlsPool, TlsSocket
from crm_core.errors import ConfigurationFault

if TYPE_CHECKING:
    from email.message import Message

_CONNECTIONS = 4
_ONCE = urllib3.Retry(False, redirect=False)
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class Wire:
    """The connections of one client to one host. Used by one thread at a time.

    base_url: `http(s)://host[:port]/...`. ca_bundle: a file or a folder of certificates; None = those of the
    environment, else those that come with us. headers: of every request. Raises ConfigurationFault for a proxy of the
    environment that cannot be used, and for certificates that cannot be read.
    """

    def __init__(self, base_url: str, *, ca_bundle: str | None, headers: Mapping[str, str]) -> None:
        self._base_url, self._ca_bundle, self._headers = base_url, ca_bundle, dict(headers)
        self._names = {name.lower(): name for name in self._headers}
        self._root = "{0.scheme}://{0.netloc}/".format(urlsplit(base_url))
        to = urllib3.util.parse_url(base_url)
        usual = 443 if to.scheme == "https" else 80
        self._name, self._port = (to.host or "").strip("[]"), to.port or usual
        self._host = (to.host if to.port in (None, usual) else to.netloc) or ""
        self._is_open = False
        self._idle: list[Connection] = []
        self._tls: ssl.SSLContext | None = None
        self._proxy: urllib3.ProxyManager | None = None
        self._cookies = CookieJar()

    @contextmanager
    def exchange(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        connect_seconds: float,
        read_seconds: float,
    ) -> Iterator[Response]:
        """The answer to one request, its body not read yet and not decoded. Raises what urllib3 raises.

        A connection whose answer was not read to its end is closed: nobody else must find the rest of it.
        """
        if not self._is_open:
            self._open()
        sent = dict(self._headers)
        for name, value in headers.items():
            if not value.isprintable() or not (value.isascii() or _is_latin(value)):
                raise urllib3.exceptions.InvalidHeader(f"the header {name} holds what cannot be sent")
            sent[self._names.setdefault(name.lower(), name)] = value  # one name, however it is written
        if len(self._cookies):
            self._add_cookies(url, sent)
        if self._proxy is None:
            request = message(method, self._target_of(url), self._host, sent, body)
            way = exchanged(self._idle, self._connection(connect_seconds), method, request, read_seconds=read_seconds)
        else:
            timeout = urllib3.Timeout(connect=connect_seconds, read=read_seconds)
            way = _through(self._proxy, method, url, body=body, headers=sent, timeout=timeout)
        with way as response:
            if "Set-Cookie" in response.headers:
                self._cookies.extract_cookies(_Answered(response.headers), _asked(url))  # type: ignore[arg-type]
            yield response

    def _connection(self, connect_seconds: float) -> Connection:
        while self._idle:
            kept = self._idle.pop()
            if not kept.is_dropped:
                return kept
            kept.close()
        if self._tls is None:
            made = PlainConnection(self._name, self._port, timeout=connect_seconds)
        else:
            made = TlsConnection(self._name, self._port, timeout=connect_seconds, ssl_context=self._tls)
        try:
            made.connect()
        except BaseException:
            made.close()
            raise
        return Connection(made)

    def _target_of(self, url: str) -> str:
        """What of an address is said to the host."""
        if url.startswith(self._root) and "#" not in url:
            return url[len(self._root) - 1 :]
        parts = urlsplit(url)
        return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"

    def close(self) -> None:
        """Closes all connections; the next request opens new ones."""
        while self._idle:
            self._idle.pop().close()
        if self._proxy is not None:
            self._proxy.clear()
        self._proxy, self._is_open = None, False

    def _open(self) -> None:
        self._tls = self._context() if self._base_url.startswith("https") else None
        proxy = select_proxy(self._base_url, get_environ_proxies(self._base_url))
        self._is_open = True
        if not proxy:
            return
        proxy = proxy if "://" in proxy else f"http://{proxy}"
        user, password = get_auth_from_url(proxy)
        credentials = urllib3.make_headers(proxy_basic_auth=f"{user}:{password}") if user else None
        try:
            self._proxy = urllib3.ProxyManager(
                proxy, maxsize=_CONNECTIONS, proxy_headers=credentials, ssl_context=self._tls
            )
        except urllib3.exceptions.ProxySchemeUnknown as error:
            raise ConfigurationFault(f"the proxy of the environment cannot be used: {redact(str(error))}") from None
        self._proxy.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}

    def _context(self) -> ssl.SSLContext:
        """Made once for all connections: reading the certificates takes longer than an answer."""
        place = self._ca_bundle or next(
            (os.environ[name] for name in _BUNDLES if os.environ.get(name)), DEFAULT_CA_BUNDLE_PATH
        )
        context = create_urllib3_context()
        context.sslsocket_class = TlsSocket
        try:
            if os.path.isdir(place):
                context.load_verify_locations(capath=place)
            else:
                context.load_verify_locations(cafile=place)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationFault(f"the certificates at {place} cannot be read: {error}") from error
        return context

    def _add_cookies(self, url: str, headers: dict[str, str]) -> None:
        request = _asked(url)
        self._cookies.add_cookie_header(request)
        told = request.get_header("Cookie")
        if told:
            headers["Cookie"] = told


@contextmanager
def _through(proxy: urllib3.ProxyManager, method: str, url: str, **options: Any) -> Iterator[Response]:
    """One exchange by way of a proxy."""
    response = proxy.urlopen(
        method,
        url,
        retries=_ONCE,
        redirect=False,
        assert_same_host=False,
        preload_content=False,
        decode_content=False,
        **options,
    )
    try:
        yield response
    finally:
        if not has_body(method, response.status):
            response.drain_conn()  # nobody reads what is not there, and only a reader gives a connection back
        response.close()
        response.release_conn()


def _asked(url: str) -> Request:
    """A request as the cookie jar wants to see it; it is never opened."""
    return Request(url)  # noqa: S310 - see above


def _is_latin(text: str) -> bool:
    return all(character <= "\xff" for character in text)


class _Answered:
    """An answer as the cookie jar wants to see it."""

    def __init__(self, headers: urllib3.HTTPHeaderDict) -> None:
        self._headers = headers

    def info(self) -> Message:
        """Its headers; only `get_all` is asked of them."""
        return cast("Message", self._headers)
