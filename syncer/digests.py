"""What an account's last walk was served, in digests: it shows what need not be looked at again.

A digest covers the bytes of a record, or of a page with everything around its records, without the
links to PDFs, which may differ at each fetch. Equal digests mean equal content; the same content
written in another way, such as its fields in another order, is merely looked at again.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

# To be raised with every change to what a digest covers, or to what is stored of a record: digests
# of another version count for nothing, so that everything is decoded and compared once.
VERSION: Final = 1
SIZE: Final = 16

# The bare quotation marks make sure that this is a name and the beginning of its text: within a
# text each would have a backslash before it.
_LINKS: Final = (b',"invoice_pdf":"', b', "invoice_pdf": "')


class PageDigests(msgspec.Struct, frozen=True, array_like=True):
    """One page: the digest of the whole, and one after the other those of its records.

    `records` has only those that were stored as invoices and whose links are left out for certain;
    `page` is empty where these are not all.
    """

    page: bytes
    records: bytes


NO_DIGESTS: Final = PageDigests(page=b"", records=b"")


class Known:
    """The pages of the walk that an account's stored invoices come from, none where none is."""

    def __init__(self, pages: Sequence[PageDigests] = ()) -> None:
        self.pages = tuple(pages)
        self._by_page = {page.page: page for page in pages if page.page}

    def find_page(self, digest: bytes) -> PageDigests | None:
        """Return the digests of a page that was the same, None where none was."""
        return self._by_page.get(digest)

    def has_record(self, digest: bytes) -> bool:
        """Whether the record was the same, on whatever page."""
        return digest in self._records

    def is_all_of(self, pages: Sequence[PageDigests] | None) -> bool:
        """Whether these pages are all that was served, and nothing in them is left out."""
        return pages == self.pages and all(page.page for page in self.pages)

    @cached_property
    def _records(self) -> frozenset[bytes]:
        return frozenset(
            page.records[start : start + SIZE]
            for page in self.pages
            for start in range(0, len(page.records), SIZE)
        )


NOTHING_KNOWN: Final = Known()


def without_links(page: bytes) -> bytes:
    """Empty the links to PDFs in a page, as far as they are written in a usual way."""
    name = next((name for name in _LINKS if name in page), None)
    if name is None:
        return page
    before, *others = page.split(name)
    return name.join([before, *[other[other.find(b'"') :] for other in others]])


def without_link(record: bytes) -> bytes:
    """Empty the first link in a record, as far as it is written in a usual way."""
    for name in _LINKS:
        before, found, after = record.partition(name)
        if found:
            return before + name + after[after.find(b'"') :]
    return record


def covers_all_else(record: bytes, text: bytes, *, has_link: bool) -> bool:
    """Whether `text`, which `without_link` made of a record, holds all of it but its own link.

    A nested field of that name is content. `has_link` is whether the record itself has a link:
    where the name stands once, and none is written with escapes, it is that one.
    """
    if text is record:
        return True
    return has_link and text.count(b"invoice_pdf") == 1 and b"\\" not in text


def digest(text: bytes) -> bytes:
    """The first 16 bytes of the SHA-256."""
    return hashlib.sha256(text).digest()[:SIZE]
