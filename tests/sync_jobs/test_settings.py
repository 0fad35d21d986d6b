"""counterfoil.toml by an integrator in a hurry: every value of the wrong kind is named with its place and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_core.errors import ConfigurationFault
from sync_jobs.decisions import PullPolicy
from sync_jobs.settings import load_settings

CONNECTION = '[connections.erp]\nconnector = "tryton"\nurl = "http://127.0.0.1:1"\n'
JOB = '[jobs.all]\nconnection = "erp"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CONNECTION + 'mappings = "x"', r"\[connections.erp\] mappings must be a table of files by entity, not 'x'"),
        (CONNECTION + "mappings = false", r"\[connections.erp\] mappings must be a table"),
        (CONNECTION + "mappings = {product = 5}", r"\[connections.erp\] mappings: product must be a text, not 5"),
        (CONNECTION + "extra_fields = 5", r"\[connections.erp\]: `extra_fields` must be a table .*, not 5"),
        (CONNECTION + "extra_fields = {product = 5}", r"\[connections.erp\] extra_fields.product must be a table"),
        (CONNECTION + "extra_fields = {product = {x = 5}}", r"extra_fields.product: x must be a text, not 5"),
        (CONNECTION + 'extra_fields = {prodct = {x = "text"}}', r"no entity 'prodct'; did you mean 'product'"),
        (CONNECTION + JOB + "guard = 5", r"\[jobs.all\] guard must be a table, not 5"),
        (CONNECTION + JOB + "guard = {swing = inf}", r"\[jobs.all\] guard: swing must be a number from 0 up, not inf"),
        (CONNECTION + JOB + "guard = {swing = nan}", r"\[jobs.all\] guard: swing must be a number from 0 up, not nan"),
        (
            CONNECTION + JOB + "guard = {swing = -0.5}",
            r"\[jobs.all\] guard: swing must be a number from 0 up, not -0.5",
        ),
        (CONNECTION + JOB + "guard = {swing = true}", r"\[jobs.all\] guard: swing must be a number from 0 up"),
        (
            CONNECTION + JOB + "guard = {swung_minimum = 2.5}",
            r"must be a whole number from 0 up, not 2.5",
        ),
        (CONNECTION + JOB + "entities = 5", r"\[jobs.all\]: `entities` must be a list of names, not 5"),
        (CONNECTION + JOB + 'entities = "product"', r"\[jobs.all\]: `entities` must be a list of names, not 'product'"),
        (CONNECTION + JOB + "entities = [5]", r"\[jobs.all\] entities: there is no entity 5"),
        (
            CONNECTION + '[jobs.all]\nconnection = ["x"]',
            r"`connection` must be the name of one, not \['x'\]",
        ),
        (CONNECTION + "[jobs.all]\n", r"\[jobs.all\]: `connection` is missing"),
        ("[store]\nurl = 5", r"\[store\]: `url` must be a text, not 5"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "counterfoil.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationFault, match=said):
        load_settings(file)


def test_whole_numbers_serve_as_shares(tmp_path: Path) -> None:
    file = tmp_path / "counterfoil.toml"
    file.write_text(CONNECTION + JOB + "guard = {swing = 1, swung_minimum = 3}", encoding="utf-8")
    assert load_settings(file).jobs["all"].policy == PullPolicy(swing=1, swung_minimum=3)
