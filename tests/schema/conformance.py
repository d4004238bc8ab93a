"""Whether a response body is what the API documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from jsonschema import Draft202012Validator

SCHEMA: Final = json.loads(
    Path(__file__).with_name("invoice-history.schema.json").read_text(encoding="utf-8")
)


def violations(body: bytes | str) -> list[str]:
    """Say where a body departs from the schema; nothing if it conforms."""
    found = Draft202012Validator(SCHEMA).iter_errors(json.loads(body))
    return [f"{error.json_path}: {error.message}" for error in found]
