"""What a connection to a Tryton server needs to be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from connectors.config import ConnectionConfig


class TrytonConfig(ConnectionConfig):
    """Address, user and company of a Tryton database."""

    url: str = Field(description="address of the server, e.g. https://erp.example.com")
    database: str = Field(min_length=1, pattern=r"^[^/?#\s]+$", description="name of the database")
    user: str = Field(min_length=1, description="login of a user who may read what the streams need")
    password: SecretStr
    company: int | None = Field(default=None, gt=0, description="id of the company; default: the user's current one")
    language: str = Field(default="en", description="language of names and messages, a code as in Tryton")
    order_state: Literal["draft", "quotation", "confirmed"] = Field(
        default="confirmed", description="how far an order that is pushed is taken"
    )
    tax_identifier_type: str | None = Field(
        default=None,
        description="type of pushed tax numbers as in Tryton, e.g. be_vat; default: by their first two letters",
    )
    contact_relations: tuple[str, ...] = Field(
        default=("is contact of",),
        description="names of party relation types that say: this party is a contact of that one",
    )
