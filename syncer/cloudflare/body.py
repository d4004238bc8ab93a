"""The body of an answer, as far as an answer of the API can go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from syncer.cloudflare.headers import ray_id
from syncer.errors import MalformedResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

# A page of 50 invoices has about 25 kB; nothing near this is an answer of the API.
MAX_BODY_BYTES: Final = 16 * 2**20


async def read_limited(response: aiohttp.ClientResponse, secrets: Sequence[str]) -> bytes:
    """Read the body, decompressed, giving up on one that no answer of the API could have."""

    def malformed(message: str) -> MalformedResponse:
        ray = ray_id(response.headers, secrets)
        return MalformedResponse(message, status=response.status, ray_id=ray)

    pieces, size = [], 0
    try:
        async for piece in response.content.iter_any():
            pieces.append(piece)
            size += len(piece)
            if size > MAX_BODY_BYTES:
                limit_mib = MAX_BODY_BYTES // 2**20
                raise malformed(f"the answer is larger than {limit_mib} MiB")
    except aiohttp.ClientPayloadError as error:
        # All of it may have come, and yet not be what its Content-Encoding says.
        if isinstance(error.__cause__, ContentEncodingError):
            raise malformed("the answer cannot be decompressed") from error
        raise
    return b"".join(pieces)
