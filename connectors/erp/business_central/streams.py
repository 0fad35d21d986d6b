"""The streams: how a list is read from end to end or from a watermark on, and what is added to a payload.

Which lists there are stands in `sources.py`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from uuid import UUID

import msgspec

from connectors.envelopes import Page, SourceRecord
from connectors.erp.business_central import records
from connectors.erp.business_central.client import BusinessCentralClient, decoded, key_of
from connectors.erp.business_central.sources import LOOK_BACK, Source
from connectors.ports import Replication
from connectors.transport.http import Answer
from connectors.transport.json_pages import decode, encode, page_reader
from connectors.transport.odata import NEXT_LINK, literal
from connectors.transport.paging import LoopGuard
from connectors.watermark import Granularity, moment_of, reading_begins, watermark_of
from crm_core.errors import ConnectorError, ProtocolViolation, RecordNotFound
from crm_core.ids import ExternalId
from crm_core.typed_json import decode_as

log = logging.getLogger("counterfoil.business_central")

MODIFIED = "lastModifiedDateTime"
_LARGEST_PAGE = 20_000  # "Operational limits": for a list of ids


class ResumeToken(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a read goes on: a link on our host, the parts that follow it, and the watermark to give at the end.

    is_ending: the link is that of the last part, which tells what came to its end.
    """

    link: str
    later: tuple[str, ...] = ()
    watermark: str | None = None
    is_ending: bool = False


class _Ending(msgspec.Struct, rename="camel"):
    order_id: str


class _Endings(msgspec.Struct):
    value: list[_Ending]
    next_link: str | None = msgspec.field(default=None, name=NEXT_LINK)


class _Terms(msgspec.Struct):
    payment_terms_id: str | None = msgspec.field(default=None, name="paymentTermsId")


# Inside a JSON text the quotes are escaped, so that this finds members only.
_ETAG = re.compile(rb'"@odata\.etag"\s*:\s*"(?:[^"\\]|\\.)*"\s*,\s*')

_CONTEXT = re.compile(rb'\s*\{\s*"@odata\.context"\s*:\s*"(?:[^"\\]|\\.)*"\s*,')

_terms = msgspec.json.Decoder(_Terms)
_ONE = str(UUID(int=0))


@dataclass(frozen=True, slots=True)
class Additions:
    """What a payload gets more, or less, than the server's record has.

    members: JSON members without braces, put behind the last one. payment_terms: the codes by id, where the record's
    own is to be added. is_without_etag: the payload is of calculated fields, and another version of the item or
    customer they belong to does not change them.
    """

    members: bytes = b""
    payment_terms: Mapping[str, str] | None = None
    is_without_etag: bool = False

    def to(self, found: Iterable[SourceRecord]) -> list[SourceRecord]:
        """The records with their additions, spliced in without parsing them."""
        if not self.members:
            return list(found)
        tail = b"," + self.members + b"}"
        return [SourceRecord(one.external_id, self._before(one) + tail, one.version) for one in found]

    def _before(self, record: SourceRecord) -> bytes:
        payload = bytes(record.payload)[:-1]
        if self.is_without_etag:
            payload = _ETAG.sub(b"", payload)
        if self.payment_terms is None:
            return payload
        try:
            key = _terms.decode(record.payload).payment_terms_id
        except msgspec.ValidationError:
            key = None
        code = self.payment_terms.get(key or "")
        return payload if code is None else payload + b"," + _member(records.PAYMENT_TERMS, code)


class ODataStream:
    """One stream of a company."""

    def __init__(self, client: BusinessCentralClient, source: Source, extra_paths: Iterable[str] = ()) -> None:
        self._client, self._source = client, source
        self._reader = page_reader("value", "id", "@odata.etag", next_key=NEXT_LINK)
        self._operation = f"GET {source.entity_set}"
        self._shape_options: dict[str, str] = {}
        if source.is_selected:
            self._shape_options["$select"] = records.selectable(source.shape, extra_paths)
        if source.expand:
            self._shape_options["$expand"] = ",".join(_expanded(name, source.shape[name]) for name in source.expand)

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        """See `SourceStream.pages`. The watermark comes with the last page: the newest change when the read began."""
        source, client = self._source, self._client
        answers = guard = LoopGuard(self._operation)
        token = self._beginning(since, answers) if resume is None else _token_of(resume, self._operation)
        ahead = [source.first] if resume is None and source.first is not None else []
        listed: frozenset[str] | None = None
        while True:
            guard.see_link(token.link)
            answer = self._page_of(token.link)
            if token.is_ending:
                endings = decoded(answer.body, _Endings, self._operation)
                ended = {ending.order_id for ending in endings.value}
                # Asked for after the page and once: what ends later comes with the next read.
                listed = self._listed(answers) if ended and listed is None else listed
                page = Page([], finished=[ExternalId(one) for one in sorted(ended - (listed or frozenset()))])
                next_link = endings.next_link
            else:
                cut = self._reader(answer.body, operation=self._operation)
                guard.see_records(cut.records)
                for note in cut.notes:
                    log.warning("%s: %s", self._operation, note)
                page = Page([*ahead, *self._additions(answer).to(cut.records)], unreadable=cut.unreadable)
                next_link = cut.next_link
            following: ResumeToken | None = None
            if next_link is not None:
                following = msgspec.structs.replace(token, link=client.link_of(next_link, answer))
            elif token.later:
                is_ending = source.ending is not None and len(token.later) == 1
                following = ResumeToken(token.later[0], token.later[1:], token.watermark, is_ending)
                # The next part may well hold the same records again.
                guard = LoopGuard(self._operation)
            yield replace(
                page,
                watermark=token.watermark if following is None else None,
                resume=None if following is None else msgspec.json.encode(following).decode(),
            )
            if following is None:
                return
            token, ahead = following, []

    def get(self, external_id: ExternalId) -> SourceRecord:
        """See `SourceStream.get`."""
        first = self._source.first
        if first is not None and external_id == first.external_id:
            return first
        answer = self._client.read_one(self._path_of(external_id), operation=self._operation)
        return self._record_of(answer.body, self._additions(answer))

    def get_many(self, external_ids: Sequence[ExternalId]) -> list[SourceRecord | ConnectorError]:
        """Several records by way of `$batch`, in the order asked for; one that is refused is an error in its place."""
        bodies = self._client.read_many([self._path_of(one) for one in external_ids], operation=self._operation)
        additions = self._additions(None)
        return [body if isinstance(body, ConnectorError) else self._record_of(body, additions) for body in bodies]

    def _page_of(self, link: str, operation: str | None = None, page_size: int | None = None) -> Answer:
        """Of what we push the primary database is asked: on a replica, what was just pushed could be missing."""
        may_lag = self._source.client_reference is None
        return self._client.read_page(
            link, operation=operation or self._operation, may_lag=may_lag, page_size=page_size
        )

    def _beginning(self, since: str | None, answers: LoopGuard) -> ResumeToken:
        source = self._source
        if source.replication is Replication.FULL:
            return ResumeToken(self._list_link(source.condition))
        newest = self._newest(since, answers)
        if since is None:
            return ResumeToken(self._list_link(source.condition), self._ending_link(), newest)
        begin = reading_begins(since, LOOK_BACK, Granularity.MICROSECOND)
        changed = f"{MODIFIED} ge {literal(_floor_to_milliseconds(begin))}"
        also = () if source.also is None else (self._list_link(source.also),)
        return ResumeToken(self._list_link(changed, order_by=MODIFIED), also + self._ending_link(changed), newest)

    def _ending_link(self, changed: str | None = None) -> tuple[str, ...]:
        """The part that tells what came to its end: all that ever did, or since a moment."""
        if self._source.ending is None:
            return ()
        condition = "orderNumber ne ''" + (f" and {changed}" if changed is not None else "")
        return (self._client.path(self._source.ending, options={"$select": "id,orderId", "$filter": condition}),)

    def _listed(self, answers: LoopGuard) -> frozenset[str]:
        """The ids of all records of the list as it is now. answers: that came from this list, none of which it is."""
        operation = f"{self._operation} (ids)"
        link: str | None = self._client.path(self._source.entity_set, options={"$select": "id"})
        guard = LoopGuard(operation)
        found: set[str] = set()
        while link is not None:
            guard.see_link(link)
            answer = self._page_of(link, operation, _LARGEST_PAGE)
            cut = self._reader(answer.body, operation=operation)
            answers.see_records(cut.records)
            found.update(record.external_id for record in cut.records)
            link = None if cut.next_link is None else self._client.link_of(cut.next_link, answer)
        return frozenset(found)

    def _list_link(self, condition: str | None, *, order_by: str | None = None) -> str:
        options = dict(self._shape_options)
        if condition is not None:
            options["$filter"] = condition
        if order_by is not None:
            options["$orderby"] = order_by
        return self._client.path(self._source.entity_set, options=options)

    def _newest(self, since: str | None, answers: LoopGuard) -> str | None:
        """The newest modification time now, or the watermark that we have when that is later (or nothing is there)."""
        operation = f"{self._operation} (newest)"
        options = {"$select": f"id,{MODIFIED}", "$orderby": f"{MODIFIED} desc", "$top": "1"}
        answer = self._page_of(self._client.path(self._source.entity_set, options=options), operation)
        rows = self._reader(answer.body, operation=operation).records
        if not rows:
            return since
        answers.see_records(rows)
        try:
            newest = watermark_of(moment_of(decode(rows[0].payload, operation=operation)[MODIFIED]))
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolViolation(f"{MODIFIED} of the newest record cannot be read", operation=operation) from error
        return newest if since is None else max(since, newest)

    def _path_of(self, external_id: str) -> str:
        key = key_of(external_id)
        if key is None:
            raise RecordNotFound(f"{external_id!r} is no id of Business Central", operation=self._operation)
        before, after = self._around_a_key
        return before + key + after

    @cached_property
    def _around_a_key(self) -> tuple[str, str]:
        """What stands before and behind the key in the path of a single record."""
        before, _, after = self._client.path(self._source.entity_set, _ONE, self._shape_options).rpartition(_ONE)
        return before, after

    def _record_of(self, body: bytes, additions: Additions) -> SourceRecord:
        """A single record in the very bytes that it has in a list: without the context that OData puts in front."""
        context = _CONTEXT.match(body)
        if context is not None:
            record = self._reader.one(b"{" + body[context.end() :].rstrip(), operation=self._operation)
            if record is not None:
                return additions.to([record])[0]
        try:
            members = decode_as(body, dict[str, msgspec.Raw])
        except (ValueError, RecursionError):
            decode(body, operation=self._operation)  # raises what is wrong with it
            raise ProtocolViolation("the answer is no JSON object", operation=self._operation) from None
        kept = [encode(name) + b":" + bytes(raw) for name, raw in members.items() if name != "@odata.context"]
        cut = self._reader(b'{"value":[{' + b",".join(kept) + b"}]}", operation=self._operation)
        if not cut.records:
            raise ProtocolViolation(
                f"the record is not as expected: {cut.unreadable[0].reason}", operation=self._operation
            )
        return additions.to(cut.records)[0]

    def _additions(self, answer: Answer | None) -> Additions:
        source, members = self._source, []
        if source.has_currency:
            members.append(_member(records.COMPANY_CURRENCY, self._client.company.currency))
        if source.has_itself:
            members.append(encode(records.ITSELF) + b":[{}]")
        if source.has_warehouse:
            members.append(_member(records.WAREHOUSE, records.COMPANY_TOTAL))
        if source.has_as_of:
            # The last one: the moment alone must not make a record look changed.
            members.append(_member(records.AS_OF, literal(self._client.moment_of(answer))))
        terms = self._client.payment_terms if source.has_payment_terms else None
        return Additions(b",".join(members), terms, is_without_etag=source.has_as_of)


def _expanded(navigation: str, shape: object) -> str:
    """A navigation of `$expand`: one record with the fields of its shape, a list of records whole."""
    return f"{navigation}($select={records.selectable(shape)})" if isinstance(shape, Mapping) else navigation


def _member(name: str, value: str) -> bytes:
    return encode(name) + b":" + encode(value)


def _floor_to_milliseconds(moment: datetime) -> datetime:
    """Modification times have three decimals there; the start of the millisecond loses nothing."""
    return moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000)


def _token_of(resume: str, operation: str) -> ResumeToken:
    try:
        return decode_as(resume, ResumeToken)
    except ValueError as error:
        raise ProtocolViolation(f"the resume token cannot be read: {error}", operation=operation) from error
