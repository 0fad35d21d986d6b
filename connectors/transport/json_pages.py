"""Decimal-safe JSON, and pages of it cut into records without parsing the records.

A record that has not changed since the last read is never parsed: the page reader looks only for its id, version and
modification time and hands the rest on as bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

from connectors.envelopes import SourceRecord, UnreadableRecord
from crm_core.errors import ProtocolViolation
from crm_core.ids import ExternalId

M = TypeVar("M")

_any = msgspec.json.Decoder(float_hook=Decimal)
_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
_encoder = msgspec.json.Encoder(decimal_format="number")
_NUL = "\0"  # which PostgreSQL has not got in its texts
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def decode(body: bytes | msgspec.Raw, *, operation: str | None = None) -> Any:
    """The value of a JSON text: fractions and exponents as Decimal with all their digits, integers of any size as int.

    Raises ProtocolViolation, one line with the position, for what is no JSON: truncated, NaN, invalid UTF-8.
    """
    try:
        return _any.decode(body)
    except (ValueError, RecursionError) as error:
        text = bytes(body)
        if text.startswith(_BYTE_ORDER_MARK):
            return decode(text[3:], operation=operation)
        raise _violation(error, body, operation) from None


def encode(value: Any) -> bytes:
    """JSON: Decimals as numbers with exactly their digits, instants in UTC, dates in ISO form.

    Raises ValueError for NaN, infinities and naive datetimes: none of them has a form in JSON that means the same.
    """
    return _encoder.encode(_prepared(value))


def _prepared(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): _prepared(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_prepared(item) for item in value]
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} has no form in JSON")
        return value
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"{value} has no form in JSON")
        return value
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone")
        return value.astimezone(UTC)
    if isinstance(value, date | UUID | msgspec.Raw):
        return value
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _violation(error: Exception, body: bytes | msgspec.Raw, operation: str | None) -> ProtocolViolation:
    if isinstance(error, RecursionError):
        message = "nested too deeply"
    elif isinstance(error, UnicodeDecodeError):
        message = f"invalid UTF-8{_place_of_invalid_utf8(bytes(body))}"
    else:
        message = str(error)
        if message == "Input data was truncated":
            message = f"ends too early (byte {len(bytes(body))})"
    return ProtocolViolation(f"the answer is not JSON: {message}", operation=operation)


def _place_of_invalid_utf8(body: bytes) -> str:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f" (byte {error.start})"
    return ""


@dataclass(frozen=True, slots=True)
class PageCut(Generic[M]):
    """A page cut into records, in the order of the page.

    next_link: where the next page is, as the page says it; None = this was the last one, or it does not say.
    highest_modified: of the readable records; None when there are none or no modification time is read.
    row_count: entries of the list, duplicates and unreadable ones counted (for paging by offset).
    notes: what a person should know, e.g. two versions of one record in a page.
    """

    records: Sequence[SourceRecord]
    unreadable: Sequence[UnreadableRecord]
    next_link: str | None
    highest_modified: M | None
    row_count: int
    notes: tuple[str, ...] = ()


class PageReader(Generic[M]):
    """Cuts pages of one shape; made by `page_reader`, once per stream. Call it with the body."""

    def __init__(
        self,
        list_key: str | None,
        id_key: str,
        version_key: str | None,
        modified_key: str | None,
        next_key: str | None,
        modified_type: Any,
        modified_value: Callable[[Any], M] | None,
    ) -> None:
        self._list_key, self._id_key, self._next_key = list_key, id_key, next_key
        self._version_key, self._modified_key = version_key, modified_key
        self._modified_value = modified_value
        self._envelope = None if list_key is None else msgspec.json.Decoder(_envelope_type(list_key, next_key))
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [("external_id", int | str)]
        names = {"external_id": id_key}
        if version_key is not None:
            fields.append(("version", int | str | None, None))
            names["version"] = version_key
        if modified_key is not None:
            fields.append(("modified", modified_type | None, None))
            names["modified"] = modified_key
        keys = msgspec.defstruct("Keys", fields, rename=names, gc=False, frozen=True)
        self._keys_of_one = msgspec.json.Decoder(keys)
        self._keys = msgspec.json.Decoder(list[keys])  # type: ignore[valid-type]

    def __call__(self, body: bytes | msgspec.Raw, *, operation: str | None = None) -> PageCut[M]:
        """Raises ProtocolViolation when the body is not JSON or holds no such list."""
        raws, next_link = self._cut(body, operation)
        return self._read(raws, next_link, body, operation)

    def one(self, body: bytes, *, operation: str | None = None) -> SourceRecord | None:
        """A body that is a record itself; None when it is none as it should be."""
        found = self._read([msgspec.Raw(body)], None, body, operation).records
        return found[0] if found else None

    def _read(
        self, raws: list[msgspec.Raw], next_link: str | None, body: bytes | msgspec.Raw, operation: str | None
    ) -> PageCut[M]:
        notes: list[str] = []
        unreadable: list[UnreadableRecord] = []
        records: list[SourceRecord] = []
        moments: list[Any] = []
        wants_version, wants_modified = self._version_key is not None, self._modified_key is not None
        is_all_utf8, may_have_nul = _is_utf8(body), b"\\u0000" in bytes(body)
        decode_keys = self._keys_of_one.decode
        for raw in raws:
            try:
                keys: Any = decode_keys(raw)
                external_id = keys.external_id
                if external_id == "" or (not is_all_utf8 and not _is_utf8(raw)) or (may_have_nul and _has_nul(keys)):
                    raise ValueError
            except (ValueError, RecursionError):
                self._take_doubtful(raw, records, unreadable, moments, notes)
                continue
            version = keys.version if wants_version else None
            records.append(
                SourceRecord(
                    ExternalId(external_id if external_id.__class__ is str else str(external_id)),
                    raw,
                    version if version is None or version.__class__ is str else str(version),
                )
            )
            if wants_modified and keys.modified is not None:
                moments.append(keys.modified)
        return PageCut(
            records=_without_duplicates(records, notes),
            unreadable=unreadable,
            next_link=next_link or None,
            highest_modified=self._highest(moments, operation),
            row_count=len(raws),
            notes=tuple(notes),
        )

    def _cut(self, body: bytes | msgspec.Raw, operation: str | None) -> tuple[list[msgspec.Raw], str | None]:
        try:
            if self._envelope is None:
                return _raw_list.decode(body), None
            envelope = self._envelope.decode(body)
        except msgspec.ValidationError as error:
            where = f"under {self._list_key!r}" if self._list_key else "in the answer"
            raise ProtocolViolation(f"no list of records {where}: {error}", operation=operation) from None
        except (ValueError, RecursionError) as error:
            text = bytes(body)
            if text.startswith(_BYTE_ORDER_MARK):
                return self._cut(text[3:], operation)
            raise _violation(error, body, operation) from None
        inner = envelope
        assert self._list_key is not None
        for _ in self._list_key.split(".")[1:]:
            inner = inner.inner
        return inner.records, getattr(inner, "next_link", None) or getattr(envelope, "next_link", None)

    def _take_doubtful(
        self,
        raw: msgspec.Raw,
        records: list[SourceRecord],
        unreadable: list[UnreadableRecord],
        moments: list[Any],
        notes: list[str],
    ) -> None:
        """A record that is not as it should be: unreadable, or readable but for its version or modification time."""
        payload = bytes(raw)
        try:
            value = decode(payload)
        except ProtocolViolation as error:
            reason = error.message.replace("the answer is", "the record is")
            unreadable.append(UnreadableRecord(payload, reason, self._id_of_unreadable(raw)))
            return
        if not isinstance(value, dict):
            unreadable.append(UnreadableRecord(payload, "the record is no JSON object"))
            return
        external_id = value.get(self._id_key)
        if (
            isinstance(external_id, bool)
            or not isinstance(external_id, int | str)
            or external_id == ""
            or _NUL in str(external_id)
        ):
            said = "no" if self._id_key not in value else "an empty" if external_id in ("", None) else "no usable"
            unreadable.append(UnreadableRecord(payload, f"the record has {said} {self._id_key!r}"))
            return
        version = value.get(self._version_key) if self._version_key is not None else None
        if not isinstance(version, int | str) or _NUL in str(version):
            version = None
        notes.append(f"record {str(external_id)[:80]!r}: its version or modification time cannot be read")
        records.append(SourceRecord(ExternalId(str(external_id)), raw, None if version is None else str(version)))

    def _id_of_unreadable(self, raw: msgspec.Raw) -> ExternalId | None:
        """The id of a record whose other fields are not UTF-8, so that it is not taken for a missing one."""
        try:
            keys: Any = self._keys_of_one.decode(raw)
        except (ValueError, RecursionError):
            return None
        return None if _has_nul(keys) else ExternalId(str(keys.external_id)) or None

    def _highest(self, moments: list[Any], operation: str | None) -> M | None:
        if not moments:
            return None
        try:
            values = moments if self._modified_value is None else [self._modified_value(moment) for moment in moments]
            highest: M = max(values)
        except (TypeError, ValueError) as error:
            raise ProtocolViolation(
                f"{self._modified_key!r} holds what cannot be compared: {error}", operation=operation
            ) from None
        if isinstance(highest, datetime) and highest.tzinfo is None:
            raise ProtocolViolation(f"{self._modified_key!r} has no time zone", operation=operation)
        return highest


def page_reader(
    list_key: str | None,
    id_key: str,
    version_key: str | None = None,
    modified_key: str | None = None,
    *,
    next_key: str | None = None,
    modified_type: Any = datetime,
    modified_value: Callable[[Any], Any] | None = None,
) -> PageReader[Any]:
    """A function `(body, operation=...) -> PageCut` for pages of one shape.

    list_key: where the list of records is, `value` or `d.results`; None = the body is the list. id_key, version_key,
    modified_key: names of a record's own fields. next_key: the field beside the list that holds the next link.
    modified_type: what msgspec reads the modification time as (`datetime`, `date`, or a msgspec.Struct for an object);
    modified_value: makes it comparable.

    A record without a usable id, and one that is no object, comes out as UnreadableRecord. The same record twice in a
    page comes out once; when the two differ the last one counts, and a note says so.
    """
    return PageReader(list_key, id_key, version_key, modified_key, next_key, modified_type, modified_value)


def _envelope_type(list_key: str, next_key: str | None) -> Any:
    outer, _, rest = list_key.partition(".")
    fields: list[tuple[str, Any] | tuple[str, Any, Any]]
    if rest:
        fields, names = [("inner", _envelope_type(rest, next_key))], {"inner": outer}
    else:
        fields, names = [("records", list[msgspec.Raw])], {"records": outer}
    if next_key is not None:
        fields.append(("next_link", str | None, None))
        names["next_link"] = next_key
    return msgspec.defstruct("Envelope", fields, rename=names, gc=False)


def _has_nul(keys: Any) -> bool:
    return any(isinstance(value, str) and _NUL in value for value in msgspec.structs.astuple(keys))


def _is_utf8(text: bytes | msgspec.Raw) -> bool:
    whole = bytes(text)
    if whole.isascii():
        return True
    try:
        whole.decode()
    except UnicodeDecodeError:
        return False
    return True


def _without_duplicates(records: list[SourceRecord], notes: list[str]) -> list[SourceRecord]:
    if len({record.external_id for record in records}) == len(records):
        return records
    kept: dict[str, SourceRecord] = {}
    for record in records:
        earlier = kept.get(record.external_id)
        if earlier is not None:
            if bytes(earlier.payload) == bytes(record.payload):
                continue
            notes.append(f"record {record.external_id[:80]!r} is in the page twice, with different content")
            del kept[record.external_id]
        kept[record.external_id] = record
    return list(kept.values())
