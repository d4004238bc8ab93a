"""What is sent, and how its bytes travel: whole, late, never, in pieces, or not to the end."""

from __future__ import annotations

import asyncio
import copy
import socket
import struct
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from syncer.demo.faults import (
    Answer,
    Cut,
    Delay,
    EdgeError,
    Flood,
    Hang,
    Reset,
    ResetWithin,
    Rewrite,
    RewriteBytes,
    Trickle,
    WrongLength,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from syncer.demo.answers import Reply
    from syncer.demo.faults import Fault

# Decimals go over the wire as numbers, digit by digit.
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
# Linger for no time at all: closing the socket then sends RST instead of FIN.
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_FLOOD_PIECE: Final = b" " * 2**16


@dataclass(frozen=True, slots=True)
class SentResponse:
    """One composed answer; the fault, if any, may still lose or cut it on its way."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    fault: Fault | None


def compose(
    reply: Reply, fault: Fault | None, common_headers: Mapping[str, str], accept: str
) -> SentResponse:
    """Put status, headers and body together, as the fault has them."""
    headers = {**common_headers, **reply.headers, "Content-Type": "application/json"}
    match fault:
        case Answer(status, body, changes):
            kept = {name: text for name, text in common_headers.items() if name not in changes}
            given = {name: text for name, text in changes.items() if text is not None}
            return SentResponse(status, kept | given, body, fault)
        case EdgeError(status):
            content_type, body = _edge_page(status, common_headers["CF-Ray"], accept)
            return SentResponse(
                status, {**common_headers, "Content-Type": content_type}, body, fault
            )
        case Rewrite(edit):
            body = _ENCODER.encode(edit(copy.deepcopy(reply.payload)))
        case RewriteBytes(edit_bytes):
            body = edit_bytes(_ENCODER.encode(reply.payload))
        case _:
            body = _ENCODER.encode(reply.payload)
    return SentResponse(reply.status, headers, body, fault)


async def deliver(
    request: web.Request, sent: SentResponse, on_flooded: Callable[[int], None]
) -> web.StreamResponse:
    """Send the answer as its fault has it; cancelled when the client or the server goes away.

    `on_flooded` is told, once a flood has ended, how many bytes of it the socket took.
    """
    match sent.fault:
        case Reset():
            _reset(request)
        case ResetWithin(share):
            return await _reset_within(request, sent, share)
        case Cut(share):
            return await _cut(request, sent, share)
        case WrongLength(by_bytes):
            return await _misstate(request, sent, by_bytes)
        case Flood(size_bytes):
            return await _flood(request, sent, size_bytes, on_flooded)
        case Trickle(chunk_bytes, interval_s):
            return await _trickle(request, sent, chunk_bytes, interval_s)
        case Delay(seconds):
            await asyncio.sleep(seconds)
        case Hang(until):
            await (until or asyncio.Event()).wait()
        case _:
            pass
    return web.Response(status=sent.status, headers=sent.headers, body=sent.body)


def _reset(request: web.Request) -> None:
    connection: socket.socket = request.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    request.protocol.force_close()


async def _reset_within(
    request: web.Request, sent: SentResponse, share: float
) -> web.StreamResponse:
    response = await _begin(request, sent, len(sent.body))
    await response.write(sent.body[: int(len(sent.body) * share)])
    _reset(request)
    return response


async def _cut(request: web.Request, sent: SentResponse, share: float) -> web.StreamResponse:
    response = await _begin(request, sent, len(sent.body))
    await response.write(sent.body[: int(len(sent.body) * share)])
    response.force_close()
    return response


async def _misstate(request: web.Request, sent: SentResponse, by_bytes: int) -> web.StreamResponse:
    length = len(sent.body) + by_bytes
    response = await _begin(request, sent, length)
    await response.write(sent.body[:length])
    if by_bytes > 0:
        response.force_close()
    elif request.transport is not None:
        # The server's own writer would hold back what the length leaves out.
        request.transport.write(sent.body[length:])
    return response


async def _flood(
    request: web.Request, sent: SentResponse, size_bytes: int, on_flooded: Callable[[int], None]
) -> web.StreamResponse:
    response = await _begin(request, sent, size_bytes + len(sent.body))
    taken = 0
    try:
        while taken < size_bytes:
            piece = _FLOOD_PIECE[: size_bytes - taken]
            await response.write(piece)
            taken += len(piece)
        await response.write(sent.body)
    finally:
        on_flooded(taken)
    return response


async def _trickle(
    request: web.Request, sent: SentResponse, chunk_bytes: int, interval_s: float
) -> web.StreamResponse:
    response = await _begin(request, sent, len(sent.body))
    for start in range(0, len(sent.body), chunk_bytes):
        await response.write(sent.body[start : start + chunk_bytes])
        await asyncio.sleep(interval_s)
    return response


async def _begin(
    request: web.Request, sent: SentResponse, content_length: int
) -> web.StreamResponse:
    response = web.StreamResponse(status=sent.status, headers=sent.headers)
    response.content_length = content_length
    await response.prepare(request)
    return response


def _edge_page(status: int, ray_id: str, accept: str) -> tuple[str, bytes]:
    title = _EDGE_TITLES.get(status) or HTTPStatus(status).phrase
    if "application/json" in accept:
        return "application/problem+json", _ENCODER.encode(
            {
                "type": "https://developers.cloudflare.com/support/troubleshooting/"
                f"http-status-codes/cloudflare-5xx-errors/error-{status}/",
                "title": f"Error {status}: {title}",
                "status": status,
                "instance": ray_id,
                "error_code": status,
                "ray_id": ray_id,
                "cloudflare_error": True,
                "retryable": True,
            }
        )
    text = (
        f"<!DOCTYPE html><html><head><title>{status}: {title}</title></head>"
        f"<body><h1>Error {status}</h1><p>Ray ID: {ray_id}</p></body></html>"
    )
    return "text/html; charset=UTF-8", text.encode()


_EDGE_TITLES: Final = {
    520: "Web server returned an unknown error",
    521: "Web server is down",
    522: "Connection timed out",
    523: "Origin is unreachable",
    524: "A timeout occurred",
    525: "SSL handshake failed",
    526: "Invalid SSL certificate",
    530: "Origin DNS error",
}
