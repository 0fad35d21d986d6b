"""`show`, `init`, `check`, `doctor`, `connectors`, `describe`: what they print, for people and for programs."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import terminal.setup
from connectors.registry import connector_names
from crm_core.store.database import HEAD, Database
from tests.cli.office import SECRET, Desk


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_products_show_exact_prices_with_their_currency(desk: Desk) -> None:
    desk.fill()
    desk.run("pull")
    text = desk.run("show", "products").stdout
    assert ["W-1", "Widget", "active", "9.50", "EUR", "4006381333931"] in rows(text)
    assert ["W-2", "Écrou", "[M8]", "螺母", "inactive", "1234.5678", "EUR"] in rows(text)
    lines = text.splitlines()
    ends = {line.index("EUR") for line in lines if line.startswith("W-1")}
    # the second line holds two wide characters: they take two cells each
    assert {line.index("EUR") + 2 for line in lines if line.startswith("W-2")} == ends


def test_a_query_finds_by_code_name_and_through_references_whatever_the_case(desk: Desk) -> None:
    desk.fill()
    desk.run("pull")
    assert [one["code"] for one in desk.data("show", "products", "WIDG")] == ["W-1"]
    assert [one["code"] for one in desk.data("show", "accounts", "MÜLLER")] == ["10000"]
    assert [one["code"] for one in desk.data("show", "accounts", "åkesson")] == ["10001"]
    prices = desk.data("show", "prices", "w-1")
    assert [(one["product_code"], one["price_list_code"], one["amount"]) for one in prices] == [
        ("W-1", "retail", "8.75")
    ]
    assert desk.data("show", "prices", "W-2") == []
    assert desk.run("show", "products", "100%").stdout == "no products for '100%'\n"


def test_credit_tells_unlimited_from_none_and_known_from_unknown(desk: Desk) -> None:
    desk.fill()
    desk.run("pull")
    text = desk.run("show", "credit").stdout
    (mueller,) = [line for line in text.splitlines() if line.startswith("10000")]
    (akesson,) = [line for line in text.splitlines() if line.startswith("10001")]
    assert "5000.00 EUR" in mueller
    assert "1250.50 EUR*" in mueller
    assert "3749.50 EUR*" in mueller
    assert "none set" in akesson
    assert "unknown" in akesson
    assert "unlimited" in akesson
    assert "* the back office does not tell every part" in text
    assert desk.data("show", "credit", "10001")[0]["limit"] is None


@pytest.mark.parametrize("noun", ["products", "prices", "accounts", "credit", "units", "price-lists"])
def test_every_noun_with_records_is_shown_as_a_table_and_as_json(desk: Desk, noun: str) -> None:
    desk.fill()
    desk.run("pull")
    found = desk.data("show", noun)
    assert len(found) > 0
    assert len(desk.run("show", noun).stdout.splitlines()) > len(found)


@pytest.mark.parametrize("noun", ["stock", "contacts", "orders", "invoices", "payments", "warehouses"])
def test_a_noun_without_records_says_so_and_is_an_empty_list_in_json(desk: Desk, noun: str) -> None:
    assert desk.run("show", noun).stdout == f"no {noun} yet\n"
    assert desk.data("show", noun) == []


def test_a_limit_is_told_with_the_total(desk: Desk) -> None:
    desk.fill()
    desk.run("pull")
    assert "1 of 2; --limit shows more" in desk.run("show", "products", "--limit", "1").stdout


def test_units_show_their_worth_in_the_base_unit(desk: Desk) -> None:
    desk.fill()
    desk.run("pull")
    assert ["pieces", "box", "=", "12", "pc"] in rows(desk.run("show", "units").stdout)


# -- init, check, doctor ----------------------------------------------------------------------------------------------


def test_init_writes_a_file_that_loads_and_never_overwrites(desk: Desk) -> None:
    file = desk.folder / "counterfoil.toml"
    before = file.read_text()
    assert "kept counterfoil.toml" in desk.run("init").stdout
    assert file.read_text() == before
    file.unlink()
    (desk.folder / "counterfoil.sqlite").unlink()
    assert "wrote counterfoil.toml" in desk.run("init").stdout
    text = file.read_text()
    assert tomllib.loads(text) == {"store": {"url": "sqlite:///counterfoil.sqlite"}}
    assert 'connector = "tryton"' in text
    assert 'password = "${TRYTON_PASSWORD}"' in text
    assert Database(f"sqlite:///{desk.folder / 'counterfoil.sqlite'}").version() == HEAD
    assert desk.run("check").stdout.count("ok ") == 2


def test_the_commented_blocks_of_init_are_valid_once_they_are_uncommented(desk: Desk) -> None:
    from connectors.registry import get_connector

    for name in ("tryton", "business_central"):
        manifest = get_connector(name).manifest
        text = terminal.setup.starting_text([manifest])
        block = text[text.index(f"# {manifest.title}") :].split("\n\n")[0]
        table = tomllib.loads("\n".join(line.removeprefix("# ") for line in block.splitlines()[1:]))
        required = {key for key, info in manifest.config.model_fields.items() if info.is_required()}
        assert set(table["connections"]["erp"]) == {"connector", *required}


def test_check_goes_through_every_step_and_ends_with_the_first_fault_s_code(desk: Desk) -> None:
    assert desk.run("check").stdout.splitlines()[-1].split() == ["ok", "erp:", "connection", "signed", "in"]
    (desk.folder / "product.yaml").write_text("entity: product\nconnector: memory\nfields: {code: kode, name: name}\n")
    result = desk.run("check", expect=2)
    assert "did you mean 'code'?" in result.stdout
    assert result.stdout.count("failed") == 1
    steps = desk.data("check", expect=2)
    assert [step["exit_code"] for step in steps if not step["is_ok"]] == [2]


def test_check_tells_who_could_not_be_told_before_there_is_something_to_tell(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that is missing would be found out in the night in which the pull fails."""
    desk.write_settings(more='[jobs.goods]\nconnection = "erp"\nnotify = ["${GOODS_HOOK}", "mailto:a@example.com"]\n')
    step = desk.data("check", expect=2)[-1]
    assert step["step"] == "alerts"
    assert step["text"] == "[alerts.mail] is missing: it says by which host mail goes out, and from whom"
    mail = '[alerts.mail]\nhost = "mail.example.com"\nsender = "hub@example.com"\nto = []\n'
    desk.write_settings(more=mail + '[jobs.goods]\nconnection = "erp"\nnotify = ["${GOODS_HOOK}"]\n')
    assert "the environment has no variable GOODS_HOOK" in desk.data("check", expect=2)[-1]["text"]
    monkeypatch.setenv("GOODS_HOOK", "https://chat.example.com/s3cret")
    assert desk.data("check")[-1]["text"] == "job:goods:webhook:1"


def test_check_tells_a_wrong_password_with_77_and_without_the_password(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFICE_PASSWORD", "wrong-but-secret")
    result = desk.run("check", "erp", expect=77)
    assert "the password is not accepted" in result.stdout
    assert "wrong-but-secret" not in result.output
    monkeypatch.delenv("OFFICE_PASSWORD")
    assert "no variable OFFICE_PASSWORD" in desk.run("check", expect=2).stdout


def test_a_secret_that_breaks_a_rule_of_the_settings_is_not_shown(desk: Desk) -> None:
    desk.write_settings(password=SECRET)
    file = desk.folder / "counterfoil.toml"
    file.write_text(file.read_text().replace('url = "memory:"', 'url = "memory:"\ntimeout_seconds = -1'))
    assert "timeout_seconds" in desk.run("check", expect=2).stdout


def test_an_unknown_key_is_named_with_the_nearest_one(desk: Desk) -> None:
    file = desk.folder / "counterfoil.toml"
    file.write_text(file.read_text().replace('url = "memory:"', 'url = "memory:"\ntimeout_second = 3'))
    assert "did you mean 'timeout_seconds'?" in desk.run("pull", expect=2).stderr


def test_without_a_configuration_init_is_named(desk: Desk) -> None:
    (desk.folder / "counterfoil.toml").unlink()
    assert "`counterfoil init` writes one" in desk.run("pull", expect=2).stderr
    assert "no.toml" in desk.run("--config", "no.toml", "pull", expect=2).stderr


def test_doctor_looks_at_everything_even_without_a_configuration(desk: Desk) -> None:
    desk.run("init")
    names = [finding["name"] for finding in desk.data("doctor")]
    assert [f"package {name}" for name in terminal.setup.TOP_LEVEL_NAMES] == [
        n for n in names if n.startswith("package")
    ]
    assert {"python", "versions", "clock", "configuration", "folder", "database", "journal", "extra keyring"} < set(
        names
    )
    (desk.folder / "counterfoil.toml").unlink()
    result = desk.run("doctor", expect=1)
    assert "failed   configuration" in result.stdout
    assert "ok       python" in result.stdout


def test_doctor_tells_when_a_foreign_distribution_owns_one_of_our_names(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.run("init")
    monkeypatch.setattr(terminal.setup, "_owned", {"connectors": ["elasticsearch-connectors", "counterfoil"]})
    result = desk.run("doctor", expect=1)
    assert "failed   package connectors" in result.stdout
    assert "elasticsearch-connectors" in result.stdout


def test_doctor_tells_a_database_that_is_not_there_and_one_that_is_too_new(desk: Desk) -> None:
    path = desk.folder / "counterfoil.sqlite"
    assert not path.exists()
    assert "does not exist; `counterfoil init` creates it" in desk.run("doctor", expect=1).stdout
    desk.run("init")
    session = Database(f"sqlite:///{path}").open()
    with session.transaction():
        session.run("UPDATE alembic_version SET version_num = '9999'")
    session.close()
    assert "use a newer release" in desk.run("doctor", expect=1).stdout
    assert "use a newer release" in desk.run("show", "products", expect=74).stderr


def test_connectors_lists_the_installed_ones(desk: Desk) -> None:
    assert [one["name"] for one in desk.data("connectors")] == connector_names()
    assert "Office in memory" in desk.run("connectors").stdout
    assert "did you mean 'tryton'?" in desk.run("describe", "triton", expect=2).stderr


@pytest.mark.parametrize("name", ["tryton", "business_central", "memory"])
def test_describe_tells_every_stream_and_setting(desk: Desk, name: str) -> None:
    data = desk.data("describe", name)
    text = desk.run("describe", name).stdout
    for key in (*(s["entity"] for s in data["streams"]), *(s["key"] for s in data["settings"])):
        assert key in text
    assert data["docs"] in text


def test_the_demo_says_where_it_is_when_it_is_not_installed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.import_module", _not_there)
    assert "make demo" in desk.run("demo", expect=2).stderr


def _not_there(name: str) -> object:
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_the_demo_s_own_exit_code_is_handed_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    class Story:
        @staticmethod
        def run() -> int:
            return 7

    monkeypatch.setattr("cli.import_module", lambda name: Story)
    desk.run("demo", expect=7)


def test_a_command_that_is_not_there_is_answered_with_the_nearest_one(desk: Desk) -> None:
    assert "did you mean 'pull'?" in desk.run("pul", expect=2).stderr
    assert "did you mean 'list'?" in desk.run("dead-letters", "lst", expect=2).stderr
    assert "did you mean 'explain'?" in desk.run("mapping", "explian", expect=2).stderr


def test_config_can_stand_elsewhere(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere: Path = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    desk.fill()
    desk.run("--config", str(desk.folder / "counterfoil.toml"), "pull")
    monkeypatch.setenv("COUNTERFOIL_CONFIG", str(desk.folder / "counterfoil.toml"))
    assert len(desk.data("show", "products")) == 2
    assert list(elsewhere.iterdir()) == []
