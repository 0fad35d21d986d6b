"""A simulated back office as the conformance suite and the chaos run see it, whatever it speaks.

One class for each back office, `Rehearsal` in `simulators/<name>/rehearsal.py`, keeps these promises. It starts with
the same small company each time: accounts, products with units and prices, a warehouse; so that a test can pull it,
write orders for it, disturb the way there, and ask afterwards what is really in the books.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from simulators.server import LoopbackServer

READ, WRITE, AUTH = "read", "write", "auth"
"""What `LoopbackServer.kind_of` says of a request: changes nothing, may change something, is about credentials."""


@dataclass(frozen=True, slots=True)
class Held:
    """A record in the books of the simulated back office, in words that all of them share.

    external_id: as a binding has it. reference: our client reference on it, alone; None when it has none.
    values: of an account `name` and, where the system keeps them, `email`, `phone`, `tax_id`, `city`; of an order
    `account` (external id), `currency`, `requested_date` (ISO or None) and `lines`, a list of `product` (external id),
    `quantity`, `unit` (code), `unit_price` (Decimals). What the system does not keep is left out.
    is_cancelled: of an order, whatever the system's word is (closed, rejected, voided).
    """

    external_id: str
    reference: str | None
    values: Mapping[str, Any] = field(default_factory=dict)
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Sellable:
    """What an order can be written from: external ids of accounts that may order as much as they like, in `currency`,
    of products that may be sold to them by the piece, and of the warehouse to deliver from (None: orders name none).
    """

    accounts: Sequence[str]
    products: Sequence[str]
    currency: str
    warehouse: str | None = None


class Rehearsal(Protocol):
    """A running simulated back office. A context manager: entering starts it on a loopback port, leaving ends it.

    connector: the connector's name. http: its server; plans of faults go there, and every request that it answers has
    a kind (`read`, `write`, `auth`). entities: what can be read from it, in the connector's words for entities.
    answer_seconds: what is not disturbed is answered well within; the suites take it as their time-out.
    """

    connector: str
    answer_seconds: float
    http: LoopbackServer
    entities: Sequence[str]

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def options(self) -> dict[str, Any]:
        """The settings of a connection to it (what stands under `[connections.NAME]`, without `connector`).

        Secrets are those of this run: they protect nothing.
        """

    def sellable(self) -> Sellable:
        """What an order can be written from; never empty."""

    def ids(self, entity: str) -> set[str]:
        """The external ids that a full read of an entity must bring."""

    def touch(self, entity: str, external_id: str) -> None:
        """Change something in a record that its payload shows, as a user would; its stamp moves where there is one."""

    def add(self, entity: str) -> str:
        """A new record, as a user would make it; its external id. Raises KeyError where there is no such thing."""

    def remove(self, entity: str, external_id: str) -> None:
        """Delete a record as the system deletes (a tombstone, a flag, or without a trace)."""

    def expire_credentials(self) -> None:
        """What was given so far (token, session) is no longer accepted; new ones are given as before."""

    def held(self, entity: str) -> list[Held]:
        """The accounts or orders in the books, cancelled ones too; read directly, not over the network."""
