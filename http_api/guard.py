"""What a route needs is said beside it, and seen to before anything of the request is read.

A guarded route that says nothing cannot be made. The guard is no FastAPI dependency: those run after the body is read,
and three of them cost more than an answer from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_origin

from fastapi import Request, Response
from fastapi.routing import APIRoute

from crm_core.access import Scope
from crm_core.errors import did_you_mean
from http_api.access import Access
from http_api.problems import refusal

SCHEME = "key"
"""The name of the security scheme in the description."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Needs:
    """The scope that opens a route, and whether the route changes something: that is noted before it does."""

    scope: Scope
    is_change: bool


def reads(scope: Scope) -> Callable[[F], F]:
    """A route that looks. Stands below the router's own decorator."""
    return _needing(Needs(scope, is_change=False))


def changes(scope: Scope) -> Callable[[F], F]:
    """A route that changes something."""
    return _needing(Needs(scope, is_change=True))


def _needing(needs: Needs) -> Callable[[F], F]:
    def mark(endpoint: F) -> F:
        endpoint.needs = needs  # type: ignore[attr-defined]
        return endpoint

    return mark


class GuardedRoute(APIRoute):
    """For `APIRouter(route_class=GuardedRoute)`. Raises TypeError for an endpoint that does not say what it needs."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        needs = getattr(endpoint, "needs", None)
        if not isinstance(needs, Needs):
            raise TypeError(f"{path}: say what it needs, by @reads or @changes")
        extra = {**(options.pop("openapi_extra", None) or {}), "security": [{SCHEME: [needs.scope.value]}]}
        self.needs = needs
        super().__init__(path, endpoint, openapi_extra=extra, **options)

    async def admit(self, request: Request) -> None:
        """Let in who may ask for this, and note it. Raises Refused, and StoreFault when a change cannot be noted."""
        access: Access = request.app.state.face.access
        asker = await access.asker_of(request)
        await access.admit(request, asker, self.needs.scope, is_change=self.needs.is_change)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The answer behind the guard."""
        answer = super().get_route_handler()
        taken = {one.alias: _is_list(one.field_info.annotation) for one in self.dependant.query_params}

        async def guarded(request: Request) -> Response:
            await self.admit(request)
            if request.scope["query_string"]:
                refuse_odd_parameters(request, taken)
            return await answer(request)

        return guarded


def refuse_odd_parameters(request: Request, taken: Mapping[str, bool]) -> None:
    """A slip (`freshnes=live`) must not pass as a question without it, and of two answers none is chosen by chance.

    taken: the parameters that there are; whether one may be given several times. Raises Refused (422) that names it.
    """
    seen = set()
    for name, _ in request.query_params.multi_items():
        if name not in taken:
            hint = did_you_mean(name[:60], taken)
            raise refusal(422, "invalid_request", f"there is no parameter {name[:60]!r} here{hint}")
        if name in seen and not taken[name]:
            raise refusal(422, "invalid_request", f"the parameter {name!r} is given twice: which is meant?")
        seen.add(name)


def _is_list(annotation: Any) -> bool:
    return any(get_origin(one) is list for one in (annotation, *get_args(annotation)))
