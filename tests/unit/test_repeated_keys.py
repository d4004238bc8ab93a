"""JSON leaves open what a name that comes twice in one object means; here it never means anything.

In a record it costs the record, in the envelope the answer.
"""

from __future__ import annotations

import pytest

from syncer.cloudflare.record import decode_record
from syncer.cloudflare.wire import Page, decode_page
from syncer.errors import MalformedResponse
from syncer.invoice import Invoice, Rejection

FIELDS = '"id":"in_1","currency":"usd","amount_due":5,"amount_paid":0,"amount_remaining":5'
BLOCK = '"has_more":false,"page":1,"per_page":50,"total_count":1'


def record(more: str) -> bytes:
    return f"{{{FIELDS},{more}}}".encode()


def answer(
    invoices: str = f"[{{{FIELDS}}}]",
    *,
    envelope: str = '"messages":[]',
    result: str = '"cursor":"a"',
    pagination: str = BLOCK,
    info: str = BLOCK,
) -> bytes:
    return (
        f'{{"success":true,"errors":[],{envelope},'
        f'"result":{{"invoices":{invoices},"pagination":{{{pagination}}},{result}}},'
        f'"result_info":{{{info}}}}}'
    ).encode()


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ('"amount_due":7', "amount_due"),
        ('"amount_due":5', "amount_due"),
        ('"amount\\u005fdue":7', "amount_due"),
        ('"currency":"eur"', "currency"),
        ('"created":1,"created":2', "created"),
        ('"status":null,"status":"paid"', "status"),
        ('"invoice_pdf":"https://a.test/1","invoice_pdf":"https://a.test/2"', "invoice_pdf"),
        ('"status":"open","note":"//","status":"paid"', "status"),
        ('"created_at":1,"created_at":2', "an undocumented or nested field"),
        ('"extra":1,"extra":2', "an undocumented or nested field"),
        ('"tax":{"rate":1,"rate":2}', "an undocumented or nested field"),
        ('"tax":{"amount_due":1,"amount_due":2}', "an undocumented or nested field"),
        ('"lines":[[{"deep":{"":1,"":1}}]]', "an undocumented or nested field"),
        ('"lines":[{"a":"x://y","a":"x://y"}]', "an undocumented or nested field"),
        ('"tax":{"rate":1,"rate":2},"currency":"usd"', "currency"),
    ],
)
def test_a_record_that_gives_a_field_twice_is_rejected(more: str, named: str) -> None:
    rejection = decode_record(record(more))
    assert isinstance(rejection, Rejection)
    assert rejection.reason == f"{named} is given twice"
    assert rejection.payload == record(more).decode()
    assert rejection.id == "in_1"


def test_a_record_with_two_ids_has_none() -> None:
    rejection = decode_record(record('"id":"in_2"'))
    assert isinstance(rejection, Rejection)
    assert (rejection.reason, rejection.id) == ("id is given twice", None)


@pytest.mark.parametrize(
    "more",
    [
        '"description":"at 12:30, see a://b and c:\\/\\/d"',
        '"description":"{\\"a\\":1,\\"a\\":2}"',
        '"invoice_pdf":"https://a.test:443/x:y"',
        '"lines":[{"rate":1},{"rate":1}],"tax":{"rate":1}',
        '"tax":{"amount_due":1,"id":"x"}',
        '"a":1,"A":1,"a ":1," a":1,"\\u00e9":1,"e\\u0301":1',
        '"tax":{},"deep":{"deep":{"deep":1}}',
    ],
)
def test_names_that_only_look_alike_or_stand_apart_are_not_the_same(more: str) -> None:
    assert isinstance(decode_record(record(more)), Invoice)


@pytest.mark.parametrize(
    "body",
    [
        answer(envelope='"success":true'),
        answer(envelope='"success":false'),
        answer(envelope='"errors":[]'),
        answer(envelope='"result":{"invoices":[],"pagination":{"has_more":false}}'),
        answer(envelope='"result":null'),
        answer(envelope='"result_info":null'),
        answer(envelope='"messages":[{"code":1,"code":2}]'),
        answer(result='"invoices":[]'),
        answer(result=f'"invoices":[{{{FIELDS}}}]'),
        answer(result='"pagination":null'),
        answer(pagination=f'{BLOCK},"has_more":true'),
        answer(pagination=f'{BLOCK},"total_count":1'),
        answer(info=f'{BLOCK},"page":2'),
        answer(info=f'{BLOCK},"has\\u005fmore":true'),
        answer()[:-1] + b',"success":false}',
        answer()[:-1] + b',"result":{"invoices":[],"pagination":{"has_more":false}}}',
        # The same where a record that no strict reader takes has to be cut out first.
        answer("[NaN]", envelope='"success":true'),
        answer("[NaN]", result='"invoices":[]'),
        answer("[NaN]", pagination=f'{BLOCK},"has_more":true'),
    ],
)
def test_an_envelope_that_gives_a_name_twice_is_never_a_page(body: bytes) -> None:
    with pytest.raises(MalformedResponse):
        decode_page(200, {}, body)


@pytest.mark.parametrize(
    "body",
    [
        answer(),
        answer("[]"),
        answer("[ ]", envelope='"messages":["[ ]"]'),
        answer(f"[{{{FIELDS}}},{{{FIELDS}}}]", envelope=f'"messages":[{{{FIELDS}}}]'),
        answer(f'[{{{FIELDS},"id":"in_2"}}]'),
        answer(f'[{{{FIELDS},"id":"in_2"}},NaN]'),
        answer(result='"more":{"invoices":[],"success":false}'),
    ],
)
def test_what_its_records_repeat_costs_no_page(body: bytes) -> None:
    assert isinstance(decode_page(200, {}, body), Page)
