"""The search for secrets finds them; otherwise the tests that use it would prove nothing."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from tests.planted import leaked, secret

PASSWORD = secret("password", suffix='"\\ä/@:')
OTHER = secret("other")


@pytest.mark.parametrize(
    "text",
    [
        PASSWORD.text,
        f"x{PASSWORD.text[5:20]}...",
        quote(PASSWORD.text, safe=""),
        json.dumps({"a": json.dumps(PASSWORD.text)[1:-1]}),
        repr(PASSWORD.text),
        base64.b64encode(PASSWORD.text.encode()).decode(),
        base64.b64encode(f"jo:{PASSWORD.text}:x".encode()).decode(),
        base64.b64encode(f"joe:{PASSWORD.text}".encode()).decode(),
        PASSWORD.text.encode().hex(),
    ],
)
def test_each_form_is_found(text: str) -> None:
    assert leaked(f"before {text} after", [PASSWORD, OTHER]) == ["password"]


def test_what_is_not_there_is_not_found() -> None:
    assert leaked("nothing to see", [PASSWORD, OTHER]) == []
