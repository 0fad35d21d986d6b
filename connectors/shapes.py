"""The shape of a record on its way in or out, as a connector tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Shape = Mapping[str, "str | Shape | Sequence[Shape]"]
"""The known fields of a record: name -> type word, an object's shape, or a list with the shape of its items.

Type words: text, integer, number, boolean, instant, date, any; a sink's text may carry its bound, `text(35)`. Mapping
documents are checked against it.
"""
