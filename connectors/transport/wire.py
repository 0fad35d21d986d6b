"""The wire: one request over urllib3 and the head of its answer, cookies kept, nothing repeated, nothing followed.

urllib3 by itself, without requests around it: preparing a request there takes longer than a quick back office takes to
answer. What requests knows of a house (its proxies, its certificates, from the environment) is asked of it once.
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

from connectors.transport.redaction import redact
from connectors.transport.sockets import PlainPool, TlsPool, TlsSocket
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
        self._pool: urllib3.HTTPConnectionPool | None = None
        self._proxy: urllib3.ProxyManager | None = None
        self._cookies = CookieJar()
        self._timeouts: dict[tuple[float, float], urllib3.Timeout] = {}

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
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """The answer to one request, its body not read yet and not decoded. Raises what urllib3 raises.

        A connection whose answer was not read to its end is closed: nobody else must find the rest of it.
        """
        if self._pool is None and self._proxy is None:
            self._open()
        sent = dict(self._headers)
        for name, value in headers.items():
            if not value.isprintable() or not (value.isascii() or _is_latin(value)):
                raise urllib3.exceptions.InvalidHeader(f"the header {name} holds what cannot be sent")
            sent[self._names.setdefault(name.lower(), name)] = value  # one name, however it is written
        if len(self._cookies):
            self._add_cookies(url, sent)
        timeout = self._timeouts.setdefault((connect_seconds, read_seconds), _timeout(connect_seconds, read_seconds))
        options: dict[str, Any] = {
            "body": body,
            "headers": sent,
            "timeout": timeout,
            "retries": _ONCE,
            "redirect": False,
            "assert_same_host": False,
            "preload_content": False,
            "decode_content": False,
        }
        if self._pool is not None:
            response = self._pool.urlopen(method, self._target_of(url), **options)
        else:
            assert self._proxy is not None
            response = self._proxy.urlopen(method, url, **options)
        try:
            if "Set-Cookie" in response.headers:
                self._cookies.extract_cookies(_Answered(response.headers), _asked(url))  # type: ignore[arg-type]
            yield response
        finally:
            response.close()
            response.release_conn()

    def _target_of(self, url: str) -> str:
        """What of an address is said to the host."""
        if url.startswith(self._root) and "#" not in url:
            return url[len(self._root) - 1 :]
        parts = urlsplit(url)
        return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"

    def close(self) -> None:
        """Closes all connections; the next request opens new ones."""
        if self._pool is not None:
            self._pool.close()
        if self._proxy is not None:
            self._proxy.clear()
        self._pool = self._proxy = None

    def _open(self) -> None:
        context = self._context() if self._base_url.startswith("https") else None
        proxy = select_proxy(self._base_url, get_environ_proxies(self._base_url))
        if not proxy:
            parts = urllib3.util.parse_url(self._base_url)
            host = parts.host or ""
            if context is None:
                self._pool = PlainPool(host, parts.port or 80, maxsize=_CONNECTIONS)
            else:
                self._pool = TlsPool(host, parts.port or 443, maxsize=_CONNECTIONS, ssl_context=context)
            return
        proxy = proxy if "://" in proxy else f"http://{proxy}"
        user, password = get_auth_from_url(proxy)
        credentials = urllib3.make_headers(proxy_basic_auth=f"{user}:{password}") if user else None
        try:
            self._proxy = urllib3.ProxyManager(
                proxy, maxsize=_CONNECTIONS, proxy_headers=credentials, ssl_context=context
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


def _timeout(connect_seconds: float, read_seconds: float) -> urllib3.Timeout:
    return urllib3.Timeout(connect=connect_seconds, read=read_seconds)


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
