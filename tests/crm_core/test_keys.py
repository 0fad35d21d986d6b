"""The key of a write: if two writes shared one, an order would be taken for another; if one were lost, it would be
sent twice.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.ids import ClientReference
from crm_core.keys import (
    REFERENCE_LENGTH,
    find_client_reference,
    idempotency_key,
    new_client_reference,
    without_client_reference,
)

WORDS = st.text(alphabet=" -/.,#äไس👍()", max_size=12)


def drawn(seed: int) -> ClientReference:
    return new_client_reference(random.Random(seed).randrange)


def test_a_reference_fits_the_shortest_field_that_a_back_office_has_for_it() -> None:
    assert len(new_client_reference()) == REFERENCE_LENGTH == 15
    assert len(idempotency_key(new_client_reference(), 9999)) == 20


def test_references_do_not_repeat() -> None:
    assert len({new_client_reference() for _ in range(20_000)}) == 20_000


@given(st.integers(0, 10_000), WORDS, WORDS)
def test_a_reference_is_found_in_whatever_text_it_stands(seed: int, before: str, after: str) -> None:
    reference = drawn(seed)
    assert find_client_reference(f"{before}{reference}{after}") == reference


@given(st.integers(0, 10_000), st.integers(2, 14), st.integers(1, 31))
def test_a_reference_with_one_wrong_character_is_none(seed: int, place: int, step: int) -> None:
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    letters = list(drawn(seed))
    letters[place] = alphabet[(alphabet.index(letters[place]) + step) % 32]
    assert find_client_reference("".join(letters)) is None


@pytest.mark.parametrize("text", [None, "", "PO-4711", "CF", "CF0000000000000X", "xCF0000000000000", "cf0000000000000"])
def test_other_texts_hold_no_reference(text: str | None) -> None:
    assert find_client_reference(text) is None


def test_a_word_that_goes_on_is_no_reference() -> None:
    assert find_client_reference(f"A{drawn(1)}") is None
    assert find_client_reference(f"{drawn(1)}7") is None


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (None, None),
        ("", ""),
        ("PO-4711", "PO-4711"),
        ("{}", None),
        ("PO-4711/{}", "PO-4711"),
        ("PO-4711 {} urgent", "PO-4711 urgent"),
        ("{}; call first", "call first"),
    ],
)
def test_the_customer_s_own_reference_is_what_stands_beside_ours(text: str | None, left: str | None) -> None:
    assert without_client_reference(text and text.format(drawn(3))) == left


def test_a_key_is_the_reference_and_the_revision_of_the_content() -> None:
    assert idempotency_key(ClientReference("CF0000000000000"), 3) == "CF0000000000000-3"
    with pytest.raises(ValueError, match="revisions count from 1"):
        idempotency_key(ClientReference("CF0000000000000"), 0)
