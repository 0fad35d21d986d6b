"""A back office in memory as a connector, and the command line in front of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from click.testing import CliRunner, Result
from pydantic import Field, SecretStr

from cli import main
from connectors.config import ConnectionConfig
from connectors.ports import Manifest, Replication, StreamSpec
from crm_core.errors import AuthenticationFailed
from crm_core.ids import EntityType
from tests.support.memory_source import MemorySource
from tests.support.workbench import DOCUMENTS, SHAPES

SECRET = "s3cret-that-nobody-sees"
PRODUCT, ACCOUNT, CREDIT = EntityType.PRODUCT, EntityType.ACCOUNT, EntityType.CREDIT
PRICE, PRICE_LIST, UNIT_GROUP = EntityType.PRICE, EntityType.PRICE_LIST, EntityType.UNIT_GROUP


class OfficeConfig(ConnectionConfig):
    """What the connection must be told."""

    url: str = Field(title="Address", description="where it is")
    password: SecretStr = Field(description="of the user")


class Office:
    """The connector. Its sources belong to the test."""

    manifest: ClassVar[Manifest] = Manifest(
        name="memory",
        title="Office in memory",
        category="erp",
        config=OfficeConfig,
        streams={entity: StreamSpec(Replication.INCREMENTAL, shape) for entity, shape in SHAPES.items()},
        docs="docs/connectors/memory.md",
        limits="none",
    )
    sources: ClassVar[dict[EntityType, MemorySource]] = {}

    def __init__(self, config: ConnectionConfig) -> None:
        assert isinstance(config, OfficeConfig)
        self._config = config

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def check(self) -> None:
        if self._config.password.get_secret_value() != SECRET:
            raise AuthenticationFailed("the password is not accepted", http_status=401, operation="sign in")

    def stream(self, entity: EntityType) -> MemorySource:
        return self.sources.setdefault(entity, MemorySource())


@dataclass
class Desk:
    """A folder with a configuration, and the command run in it."""

    folder: Path
    entities: tuple[EntityType, ...] = tuple(DOCUMENTS)
    runner: CliRunner = field(default_factory=CliRunner)

    def source(self, entity: EntityType) -> MemorySource:
        return Office.sources.setdefault(entity, MemorySource())

    def write_settings(self, *, guard: str = "", more: str = "", password: str = "${OFFICE_PASSWORD}") -> None:
        lines = [
            "[connections.erp]",
            'connector = "memory"',
            'url = "memory:"',
            f'password = "{password}"',
            "[connections.erp.mappings]",
        ]
        for entity, text in DOCUMENTS.items():
            file = self.folder / f"{entity.value}.yaml"
            if not file.exists():
                file.write_text(text, encoding="utf-8")
            lines.append(f'{entity.value} = "{file.name}"')
        named = ", ".join(f'"{entity.value}"' for entity in self.entities)
        lines += ["[jobs.all]", 'connection = "erp"', f"entities = [{named}]"]
        if guard:
            lines.append(f"guard = {guard}")
        (self.folder / "counterfoil.toml").write_text("\n".join([*lines, more]), encoding="utf-8")

    def run(self, *arguments: str, expect: int = 0, input: str | None = None) -> Result:
        """Run the command; the exit code is asserted, and that nothing showed the secret."""
        result = self.runner.invoke(main, list(arguments), input=input)
        told = f"{result.output}\n{result.exception!r}"
        assert result.exit_code == expect, told
        assert SECRET not in told
        return result

    def fill(self) -> None:
        """A small company: two products, two accounts, prices, a credit, units."""
        self.source(UNIT_GROUP).put(
            "u1", code="pieces", units=[{"code": "pc", "n": 1, "d": 1, "base": True}, {"code": "box", "n": 12, "d": 1}]
        )
        products = self.source(PRODUCT)
        products.put("p1", code="W-1", name="Widget", price=Decimal("9.50"), active=True, barcode="4006381333931")
        products.put("p2", code="W-2", name="Écrou [M8] 螺母", price=Decimal("1234.5678"), active=False)
        self.source(PRICE_LIST).put("l1", code="retail", name="Retail", currency="EUR")
        self.source(PRICE).put("x1", list="l1", product="p1", currency="EUR", amount=Decimal("8.75"), quantity=10)
        accounts = self.source(ACCOUNT)
        accounts.put("a1", code="10000", name="Müller GmbH", tax="DE1", email="mueller@example.com", list="l1")
        accounts.put("a2", code="10001", name="Åkesson AB", parent="a1")
        credits = self.source(CREDIT)
        credits.appended_moment = "2026-11-22T03:55:17Z"
        credits.put("c1", account="a1", limit=Decimal(5000), owed=Decimal("1250.50"))
        credits.put("c2", account="a2", limit=None, owed=None)

    def data(self, *arguments: str, expect: int = 0) -> Any:
        """What `--json` gives: stdout must be JSON and nothing else."""
        import json

        return json.loads(self.run(*arguments, "--json", expect=expect).stdout)
