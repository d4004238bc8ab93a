"""The recorded samples conform to the schema, and the schema refuses what is broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests.schema.conformance import SCHEMA, violations

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLES = Path(__file__).parents[1] / "samples"


def typical() -> dict[str, Any]:
    sample: dict[str, Any] = json.loads((SAMPLES / "typical.json").read_text(encoding="utf-8"))
    return sample


def test_the_schema_is_a_valid_draft_2020_12_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_a_sample_conforms(sample: Path) -> None:
    assert violations(sample.read_bytes()) == []


def test_undocumented_fields_conform() -> None:
    sample = typical()
    sample["result"]["invoices"][0]["tax"] = {"rate": 0.19}
    sample["result"]["cursor"] = "abc"
    assert violations(json.dumps(sample)) == []


def test_pagination_may_be_in_either_place_but_not_in_none() -> None:
    sample = typical()
    del sample["result"]["pagination"]
    assert violations(json.dumps(sample)) == []
    del sample["result_info"]
    assert violations(json.dumps(sample)) != []


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda sample: sample.pop("success"), id="no success"),
        pytest.param(lambda sample: sample.pop("result"), id="no result"),
        pytest.param(lambda sample: sample.pop("errors"), id="no errors"),
        pytest.param(lambda sample: sample.update(success="yes"), id="success is text"),
        pytest.param(lambda sample: sample.update(success=False), id="failure with a result"),
        pytest.param(lambda sample: sample.update(result=None), id="success without a result"),
        pytest.param(lambda sample: sample["result"].pop("invoices"), id="no invoices"),
        pytest.param(lambda sample: sample["result"].update(invoices=None), id="invoices null"),
        pytest.param(
            lambda sample: sample["result"]["pagination"].pop("has_more"), id="no has_more"
        ),
        pytest.param(lambda sample: sample["result_info"].update(page="1"), id="page is text"),
        pytest.param(
            lambda sample: sample["result"]["invoices"][0].pop("currency"), id="no currency"
        ),
        pytest.param(
            lambda sample: sample["result"]["invoices"][0].update(amount_due="2500"),
            id="amount is text",
        ),
        pytest.param(
            lambda sample: sample["result"]["invoices"][0].update(created="2025-11-22"),
            id="created is text",
        ),
    ],
)
def test_a_broken_success_is_refused(spoil: Callable[[dict[str, Any]], object]) -> None:
    sample = typical()
    spoil(sample)
    assert violations(json.dumps(sample)) != []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"success": False, "errors": [], "result": None}, id="no error"),
        pytest.param({"success": False, "errors": [{"code": 1}], "result": None}, id="no message"),
        pytest.param(
            {"success": False, "errors": [{"message": "x"}], "result": None}, id="no code"
        ),
        pytest.param({"success": False, "result": None}, id="no errors"),
        pytest.param([], id="not an object"),
    ],
)
def test_a_broken_failure_is_refused(body: object) -> None:
    assert violations(json.dumps(body)) != []
