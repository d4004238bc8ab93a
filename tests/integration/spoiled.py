"""Answers as they should not be."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from syncer.demo.faults import Answer, JsonObject, Rewrite, RewriteBytes

if TYPE_CHECKING:
    from collections.abc import Callable


def failure(*errors: JsonObject) -> bytes:
    return json.dumps({"success": False, "errors": errors, "result": None}).encode()


def throttled(**headers: str) -> Answer:
    body = failure({"code": 971, "message": "Please wait"})
    return Answer(429, body, {name.replace("_", "-"): text for name, text in headers.items()})


def html(status: int, **headers: str) -> Answer:
    """Answer in HTML, whatever was asked for."""
    body = b"<!DOCTYPE html><html><body><h1>Error</h1></body></html>"
    return Answer(status, body, {"Content-Type": "text/html; charset=UTF-8"} | headers)


def edited(change: Callable[[JsonObject], Any]) -> Rewrite:
    """Spoil the payload in place."""

    def edit(payload: JsonObject) -> JsonObject:
        change(payload)
        return payload

    return Rewrite(edit)


def paginated(**changes: Any) -> Rewrite:
    """Spoil the pagination in both places where it stands."""
    return edited(
        lambda payload: (
            payload["result"]["pagination"].update(changes),
            payload["result_info"].update(changes),
        )
    )


def without(*path: str) -> Rewrite:
    """Leave out what stands at this path of the payload."""

    def leave_out(payload: JsonObject) -> None:
        *parents, name = path
        for parent in parents:
            payload = payload[parent]
        del payload[name]

    return edited(leave_out)


def without_any_pagination(payload: JsonObject) -> None:
    del payload["result"]["pagination"], payload["result_info"]


def nested(before: bytes) -> RewriteBytes:
    """Put a field with lists 20,000 levels deep before another one."""
    deep = b'"deep":' + b"[" * 20_000 + b"]" * 20_000 + b","
    return RewriteBytes(lambda body: body.replace(before, deep + before, 1))


def bomb(wbits: int) -> bytes:
    """Compress 2 GiB of white space into 2 MB: one piece, again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    header = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(b" " * 2**24) + packer.flush(zlib.Z_FULL_FLUSH)
    return header + piece * 128


def compressed(encoding: str, wbits: int) -> Answer:
    return Answer(200, bomb(wbits), {"Content-Encoding": encoding})
