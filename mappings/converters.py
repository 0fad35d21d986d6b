"""What a source value becomes: one strict conversion per kind of field. None of them guesses.

`build_converter` puts the parts of a rule together in their fixed order: empty, default, value map, conversion, checks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from crm_core.model.schema import FieldSpec, Kind
from mappings.operations import ROUNDED, Refusal, short, to_number, to_whole
from mappings.paths import text_of

Converter = Callable[[Any], Any]
SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**63 - 1
MAX_TEXT_LENGTH = 10_000
UNIX_FORMATS = {"unix_seconds": 1, "unix_milliseconds": 1000}
_read_moment = datetime.fromisoformat
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EMPTY_IS_NULL = (Kind.TEXT, Kind.REFERENCE, Kind.INSTANT, Kind.DATE, None)


class Absent(Refusal):
    """There is no value, and the field needs one."""


class Unmapped(Refusal):
    """A value map has no line for this code."""

    def __init__(self, code: object, known: Iterable[str]) -> None:
        self.code, self.known = code, tuple(known)
        super().__init__(f"no line for code {short(code)}")


@dataclass(frozen=True, slots=True)
class Target:
    """What a value must become. `kind` None = any JSON value (custom fields, documents)."""

    kind: Kind | None = None
    is_nullable: bool = True
    is_required: bool = False
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    is_in_document: bool = False

    @classmethod
    def of(cls, spec: FieldSpec) -> Target:
        return cls(
            spec.kind,
            spec.is_nullable,
            spec.is_required,
            spec.choices,
            spec.pattern,
            spec.min_length,
            spec.max_length,
            spec.minimum,
            spec.maximum,
        )


@dataclass(frozen=True, slots=True)
class Treatment:
    """What a rule does to its source value, with all constants converted already."""

    target: Target
    empty: frozenset[str] = frozenset()
    has_default: bool = False
    default: Any = None
    codes: Mapping[str, Any] | None = None
    has_otherwise: bool = False
    otherwise: Any = None
    decimals: int | None = None
    zone: tzinfo | None = None
    format: str | None = None
    natural_key: str | None = None
    is_required: bool = False

    @property
    def null_is_taken(self) -> bool:
        """Null stays null: no default, and the field may be empty."""
        return self.target.is_nullable and not self.is_required and not self.has_default


def build_converter(treatment: Treatment) -> Converter:
    """A function of the raw value that gives the field's value. It raises Refusal (Absent, Unmapped)."""
    target, codes, empty = treatment.target, treatment.codes, treatment.empty
    base = base_converter(treatment)

    def nothing(reason: str) -> Any:
        if treatment.has_default:
            return treatment.default
        if treatment.null_is_taken:
            return None
        raise Absent(reason)

    def convert(value: Any) -> Any:
        if empty and text_of(value) in empty:
            return nothing(f"is empty ({short(value)})")
        if codes is not None:
            code = "null" if value is None else text_of(value)
            if code is not None and code in codes:
                mapped = codes[code]
                return nothing("is null by its value map") if mapped is None else mapped
            if value is not None and value != "":
                if treatment.has_otherwise:
                    return (
                        treatment.otherwise if treatment.otherwise is not None else nothing("is null by its value map")
                    )
                raise Unmapped(value, codes)
        if value is None:
            return nothing("is null")
        if type(value) is str and not value:
            if target.kind in _EMPTY_IS_NULL or treatment.has_default:
                return nothing("is empty")
            raise Refusal(f'"" is not a {target.kind}; `empty: [""]` would take it as null')
        return base(value)

    return convert


def base_converter(treatment: Treatment) -> Converter:
    """The conversion of a value that is there, with the checks of its field."""
    target = treatment.target
    convert: Any
    match target.kind:
        case Kind.NUMBER:
            convert = _number(target, treatment.decimals)
        case Kind.INTEGER:
            convert = _integer(target)
        case Kind.TEXT:
            convert = _text(target)
        case Kind.BOOLEAN:
            convert = to_boolean
        case Kind.REFERENCE:
            convert = _reference(treatment.natural_key)
        case Kind.INSTANT:
            convert = _instant(treatment.zone, treatment.format)
        case Kind.DATE:
            convert = _date(treatment.zone, treatment.format)
        case Kind.DOCUMENT:
            convert = to_document
        case _:
            convert = to_plain
    if target.is_in_document and target.kind in (Kind.INSTANT, Kind.DATE):
        return lambda value: moment_text(convert(value))
    found: Converter = convert
    return found


def moment_text(moment: date | datetime) -> str:
    """An instant or a date as a JSON document holds it."""
    return moment.isoformat()


# ------------------------------------------------------------------------------------------------ one per kind


def _number(target: Target, decimals: int | None) -> Converter:
    low, high = target.minimum, target.maximum
    if decimals is None and low is None and high is None:
        return to_number
    step = None if decimals is None else Decimal(1).scaleb(-decimals)

    def convert(value: Any) -> Decimal:
        number = to_number(value)
        if step is not None:
            number = number.quantize(step, ROUND_HALF_UP, ROUNDED)
        _check_range(number, low, high)
        return number

    return convert


def _integer(target: Target) -> Converter:
    low = SMALLEST_INTEGER if target.minimum is None else target.minimum
    high = LARGEST_INTEGER if target.maximum is None else target.maximum

    def convert(value: Any) -> int:
        if isinstance(value, bool):
            raise Refusal(f"{short(value)} is not a whole number")
        number = to_whole(value)
        _check_range(number, low, high)
        return number

    return convert


def _check_range(number: int | Decimal, low: int | None, high: int | None) -> None:
    if low is not None and number < low:
        raise Refusal(f"{short(number)} is less than {low}")
    if high is not None and number > high:
        raise Refusal(f"{short(number)} is more than {high}")


def _text(target: Target) -> Converter:
    low, high = target.min_length or 0, target.max_length or MAX_TEXT_LENGTH
    pattern = re.compile(target.pattern) if target.pattern else None
    choices = frozenset(target.choices)

    def convert(value: Any) -> str:
        text = str(value) if type(value) is int else value
        if type(text) is not str:
            raise Refusal(f"{short(value)} is not a text")
        if choices and text not in choices:
            raise Refusal(f"{short(text)} is not one of {', '.join(target.choices)}")
        if not low <= len(text) <= high:
            raise Refusal(f"has {len(text)} characters, may have {low} to {high}")
        if "\0" in text:
            raise Refusal(f"{short(text)} holds a NUL character")
        if pattern and not pattern.fullmatch(text):
            raise Refusal(f"{short(text)} does not look like {target.pattern}")
        return text

    return convert


def to_boolean(value: Any) -> bool:
    """True or false and nothing else: 1, "yes" and "true" need a value map."""
    if value is True or value is False:
        return bool(value)
    raise Refusal(f"{short(value)} is not true or false; a value map can make it one")


def _reference(natural_key: str | None) -> Converter:
    prefix = "" if natural_key is None else f"?{natural_key}="

    def convert(value: Any) -> str:
        text = str(value) if type(value) is int else value
        if type(text) is not str or "\0" in text or len(text) > 1000:
            raise Refusal(f"{short(value)} is not an id")
        if not prefix and text.startswith("?"):
            raise Refusal(f"{short(value)} is not an id: a leading ? marks a natural key")
        return prefix + text

    return convert


def _instant(zone: tzinfo | None, form: str | None) -> Converter:
    if zone is None and form is None:
        return to_instant

    def convert(value: Any) -> datetime:
        return _in_utc(_moment(value, form), zone, value)

    return convert


def to_instant(value: Any) -> datetime:
    """An ISO-8601 date and time with a zone, as UTC; more than six digits of a second are cut."""
    if type(value) is str and len(value) > 15 and value[4] == value[7] == "-":
        try:
            moment = _read_moment(value)
        except ValueError as error:
            raise Refusal(f"{short(value)} is not a date and time: {error}") from None
        return moment if moment.tzinfo is UTC else _in_utc(moment, None, value)
    raise Refusal(f"{short(value)} is not a date and time with a zone (2026-01-31T10:00:00Z)")


def _in_utc(moment: datetime, zone: tzinfo | None, value: Any) -> datetime:
    """A naive moment is of `zone`; of the two moments that a clock shows twice in autumn it is the first."""
    if moment.tzinfo is None:
        if zone is None:
            raise Refusal(f"{short(value)} has no time zone; `zone:` in the rule would give it one")
        moment = moment.replace(tzinfo=zone)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Refusal(f"{short(value)} is out of range") from None


def _moment(value: Any, form: str | None) -> datetime:
    """A date and time, aware or naive; midnight for a date alone."""
    try:
        if form in UNIX_FORMATS:
            return _EPOCH + timedelta(microseconds=int(to_number(value) * (1_000_000 // UNIX_FORMATS[form])))
        if type(value) is not str:
            raise Refusal(f"{short(value)} is not a date or time")
        if form is not None:
            return datetime.strptime(value, form)  # noqa: DTZ007 - the caller gives it its zone
        if len(value) >= 10 and value[4] == value[7] == "-":
            return datetime.fromisoformat(value)
    except (ValueError, OverflowError) as error:
        if isinstance(error, Refusal):
            raise
        raise Refusal(f"{short(value)} is not a date or time: {error}") from None
    raise Refusal(f"{short(value)} is not a date or time (2026-01-31, 2026-01-31T10:00:00Z)")


def _date(zone: tzinfo | None, form: str | None) -> Converter:
    if zone is None and form is None:
        return to_date

    def convert(value: Any) -> date:
        return _day(_moment(value, form), zone, value, is_day_only=form is not None)

    return convert


def to_date(value: Any) -> date:
    """`YYYY-MM-DD`; or a date and time at midnight without a zone."""
    if type(value) is str and len(value) == 10 and value[4] == value[7] == "-":
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise Refusal(f"{short(value)} is not a date: {error}") from None
    return _day(_moment(value, None), None, value)


def _day(moment: datetime, zone: tzinfo | None, value: Any, *, is_day_only: bool = False) -> date:
    if moment.tzinfo is not None:
        if zone is None:
            raise Refusal(f"{short(value)} is a moment, its date depends on the zone; `zone:` in the rule says which")
        try:
            return moment.astimezone(zone).date()
        except OverflowError:
            raise Refusal(f"{short(value)} is out of range") from None
    if zone is None and not is_day_only and (moment.hour or moment.minute or moment.second or moment.microsecond):
        raise Refusal(
            f"{short(value)} has a time of day, this field is a date; `zone:` in the rule would take its date"
        )
    return moment.date()


def to_document(value: Any) -> dict[str, Any]:
    """A JSON object as it is."""
    if type(value) is not dict:
        raise Refusal(f"{short(value)} is not an object")
    result: dict[str, Any] = to_plain(value)
    return result


def to_plain(value: Any, depth: int = 0) -> Any:
    """Any JSON value as it is; texts without NUL, numbers exact, at most 20 levels."""
    if type(value) is str:
        if "\0" in value:
            raise Refusal(f"{short(value)} holds a NUL character")
        return value
    if value is None or value is True or value is False:
        return value
    if type(value) is int:
        return value if SMALLEST_INTEGER <= value <= LARGEST_INTEGER else to_number(value)
    if type(value) is Decimal:
        return to_number(value)
    if depth == 20:
        raise Refusal("is nested too deeply")
    if type(value) is dict:
        return {to_plain(key, depth + 1): to_plain(item, depth + 1) for key, item in value.items()}
    if type(value) is list:
        return [to_plain(item, depth + 1) for item in value]
    raise Refusal(f"{short(value)} is not a JSON value")
