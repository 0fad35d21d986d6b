"""The short way to what is asked a thousand times more often than anything else: a reading, plainly asked for.

FastAPI walks a request through a dozen layers, which takes longer than an answer from the store. One for a guarded
reading route whose parameters are known, valid and given once is answered here by the same endpoint behind the same
guard. Everything else takes the usual way, which says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from http_api.guard import GuardedRoute

_NOT_GIVEN: Any = object()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an endpoint; `default` is its value when nobody gives it, `_NOT_GIVEN` when somebody must."""

    name: str
    validate: Callable[[Any], Any]
    default: Any


@dataclass(frozen=True, slots=True)
class Way:
    """A route that can be taken the short way."""

    route: GuardedRoute
    pattern: re.Pattern[str]
    in_path: Mapping[str, Parameter]
    in_query: Mapping[str, Parameter]

    def arguments(self, path: str, query: bytes) -> dict[str, Any] | None:
        """What the endpoint is given; None when this is not its path, or not plainly asked."""
        found = self.pattern.match(path)
        if found is None:
            return None
        given = [(self.in_path.get(name), text) for name, text in found.groupdict().items()]
        if query:
            given += [(self.in_query.get(name), text) for name, text in _pairs(query.decode("latin-1"))]
        values: dict[str, Any] = {}
        for parameter, text in given:
            if parameter is None or parameter.name in values:
                return None
            try:
                values[parameter.name] = parameter.validate(text)
            except ValidationError:
                return None
        for parameter in self.in_query.values():
            if parameter.name not in values:
                if parameter.default is _NOT_GIVEN:
                    return None
                values[parameter.name] = parameter.default
        return values


def _pairs(query: str) -> list[tuple[str, str]]:
    """The parameters of a query; one in which nothing is escaped, as most, is only cut into pieces."""
    if "%" in query or "+" in query:
        return parse_qsl(query, keep_blank_values=True)
    return [(name, value) for name, _, value in (part.partition("=") for part in query.split("&") if part)]


class ShortWay:
    """An ASGI middleware. handlers: what answers for an exception of an endpoint, by class; others are raised."""

    def __init__(
        self,
        app: ASGIApp,
        routers: Iterable[APIRouter],
        handlers: Mapping[type[Exception], Callable[[Request, Exception], Response]],
    ) -> None:
        self._app, self._handlers = app, handlers
        ways = (way_of(route) for router in routers for route in router.routes if isinstance(route, GuardedRoute))
        self._ways = tuple(way for way in ways if way is not None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and not scope.get("root_path"):
            path, query = scope["path"], scope["query_string"]
            for way in self._ways:
                values = way.arguments(path, query)
                if values is not None:
                    await self._take(way.route, values, scope, receive, send)
                    return
        await self._app(scope, receive, send)

    async def _take(
        self, route: GuardedRoute, values: dict[str, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        scope["route"] = route
        request = Request(scope, receive, send)
        try:
            await route.admit(request)
            response: Response = await route.endpoint(request=request, **values)
        except Exception as error:
            handler = next((self._handlers[kind] for kind in type(error).__mro__ if kind in self._handlers), None)
            if handler is None:
                raise
            response = handler(request, error)
        await response(scope, receive, send)


def way_of(route: GuardedRoute) -> Way | None:
    """None for a route that changes something, or takes what is neither in its path nor in its query."""
    wants = route.dependant
    others = (wants.header_params, wants.cookie_params, wants.body_params, wants.dependencies)
    if route.methods != {"GET"} or route.needs.is_change or any(others) or wants.request_param_name != "request":
        return None
    in_path = {field.alias: Parameter(field.name, _validator(field), _NOT_GIVEN) for field in wants.path_params}
    in_query = {
        field.alias: Parameter(
            field.name, _validator(field), _NOT_GIVEN if field.field_info.is_required() else field.get_default()
        )
        for field in wants.query_params
    }
    return Way(route, route.path_regex, in_path, in_query)


def _validator(field: Any) -> Callable[[Any], Any]:
    adapter: TypeAdapter[Any] = field._type_adapter
    return adapter.validator.validate_python
