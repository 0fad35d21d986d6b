"""What every route's answer is made of. Amounts and quantities are text; shapes are filled by keywords."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from fastapi import Path, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from crm_core.store.session import plain_number
from http_api.problems import MEDIA_TYPE

Number = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$", examples=["1250.50"])]
"""A decimal as text, digit by digit."""
Moment = Annotated[datetime, Field(examples=["2026-11-22T09:00:00Z"])]
RowId = Annotated[int, Path(ge=1, le=2**53 - 1, description="Its number.", examples=[1])]
"""A number of ours: small enough for readers whose numbers are binary fractions."""
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
After = Annotated[int, Query(ge=0, le=2**53 - 1, description="Only those behind this number, to go on behind a list.")]


class Shape(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldFault(Shape):
    """A field, and what is wrong with it."""

    field: str
    text: str


class ProblemShape(BaseModel):
    """RFC 9457: what went wrong, and whose turn it is."""

    model_config = ConfigDict(
        title="Problem",
        json_schema_extra={
            "example": {
                "type": "urn:counterfoil:problem:not_found",
                "title": "Not Found",
                "status": 404,
                "detail": "there is no account 12",
                "request_id": "5f2b6c0e9d1a4f7e8b3c2d1e0f9a8b7c",
            }
        },
    )

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldFault] = []
    check: dict[str, Any] | None = None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, for its description; those of the door are added."""
    told = {
        400: "The call is wrong",
        401: "Nobody we know",
        403: "The key does not open this",
        404: "There is no such thing",
        409: "Not in this state",
        413: "The body is too large",
        415: "The body is no JSON",
        421: "This name is not one of ours",
        422: "A field is wrong, or a rule has no answer",
        429: "Too many requests of this key",
        503: "Try again after `Retry-After` seconds",
    }
    return {
        status: {
            "description": told[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            **({"headers": {"Retry-After": {"schema": {"type": "string"}}}} if status in (429, 503) else {}),
        }
        for status in sorted({400, 401, 403, 421, 422, 429, 503, *statuses})
    }


def answered(shape: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The shape as JSON, written by pydantic's encoder and not looked at twice."""
    return Response(shape.__pydantic_serializer__.to_json(shape), status, headers, media_type="application/json")


_encode = msgspec.json.Encoder().encode


def answered_plainly(data: Mapping[str, object]) -> Response:
    """The data of a shape as the same JSON, for what is asked so often that making the shape is a large part of it."""
    return Response(_encode(data), media_type="application/json")


number = plain_number
"""Digit by digit, without an exponent."""


def number_or_none(value: Decimal | None) -> str | None:
    """The same; None stays unknown."""
    return None if value is None else plain_number(value)
