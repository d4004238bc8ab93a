"""What an answer to `GET /accounts` means: (status, headers, body) → a `ListedPage`, or an error.

Pure. Strict: an account that cannot be read is never left out, as the list would seem to be whole.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from syncer.cloudflare.headers import ray_id
from syncer.cloudflare.refusal import refusal
from syncer.errors import AccessDenied, MalformedResponse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PERMISSION: Final = "Account Settings Read"
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
# What may stand in the path of a URL as it is; Cloudflare's have 32 hexadecimal digits.
_Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,32}\Z")]


@dataclass(frozen=True, slots=True)
class ListedPage:
    """One page of the accounts that a credential reaches: names by id.

    `number`, `total` and `pages` are what the API says of itself, None where it is silent.
    """

    names: Mapping[str, str]
    number: int | None = None
    total: int | None = None
    pages: int | None = None


class _Account(msgspec.Struct, frozen=True):
    id: _Id
    name: str | None = None


class _Info(msgspec.Struct, frozen=True):
    page: _Count | None = None
    total_count: _Count | None = None
    total_pages: _Count | None = None


class _Envelope(msgspec.Struct, frozen=True):
    success: bool
    result: list[_Account] | None = None
    result_info: _Info | None = None


_envelope = msgspec.json.Decoder(_Envelope)


def decode_listed(
    status: int, headers: Mapping[str, str], body: bytes, *, secrets: Sequence[str] = ()
) -> ListedPage:
    """Decode the answer to one request; `secrets` are quoted by no error.

    Raises a `CloudflareError` for everything that is not a documented success.
    """
    if status != HTTPStatus.OK:
        raise _refusal(status, headers, body, secrets)
    try:
        envelope = _envelope.decode(body.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError) as error:
        raise MalformedResponse(
            f"the answer cannot be read: {error}", status=status, ray_id=ray_id(headers, secrets)
        ) from None
    if not envelope.success or envelope.result is None:
        raise _refusal(status, headers, body, secrets)
    info = envelope.result_info or _Info()
    return ListedPage(
        names={account.id: account.name or "" for account in envelope.result},
        number=info.page,
        total=info.total_count,
        pages=info.total_pages,
    )


def _refusal(
    status: int, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]
) -> Exception:
    return refusal(
        status,
        headers,
        body,
        secrets,
        meanings={
            AccessDenied: "access denied: the credential is wrong, or lacks the permission"
            f" {PERMISSION}"
        },
    )
