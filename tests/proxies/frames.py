"""Where one message ends and the next begins, in the bytes of a connection. Pure."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Sender: TypeAlias = Literal["client", "server"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of a protocol, whole; `kind` is a word for what it is, `text` what it asks."""

    kind: str
    data: bytes
    text: str = ""


class Splitter(ABC):
    """Cuts both directions of one connection into messages; keeps what is not whole yet."""

    def __init__(self) -> None:
        self._pending: dict[Sender, bytes] = {"client": b"", "server": b""}

    def split(self, sender: Sender, received: bytes) -> Iterator[Frame]:
        """Yield the messages that are whole with these bytes."""
        self._pending[sender] += received
        while (frame := self._next(sender)) is not None:
            self._pending[sender] = self._pending[sender][len(frame.data) :]
            yield frame

    @abstractmethod
    def _next(self, sender: Sender) -> Frame | None:
        """Read the message that what is pending begins with, None where it is not whole."""


# https://www.postgresql.org/docs/current/protocol-message-formats.html
_CLIENT: Final = {
    b"B": "Bind",
    b"C": "Close",
    b"D": "Describe",
    b"E": "Execute",
    b"H": "Flush",
    b"P": "Parse",
    b"Q": "Query",
    b"S": "Sync",
    b"X": "Terminate",
    b"p": "Password",
}
_SERVER: Final = {
    b"1": "ParseComplete",
    b"2": "BindComplete",
    b"3": "CloseComplete",
    b"A": "NotificationResponse",
    b"C": "CommandComplete",
    b"D": "DataRow",
    b"E": "ErrorResponse",
    b"I": "EmptyQueryResponse",
    b"K": "BackendKeyData",
    b"N": "NoticeResponse",
    b"R": "Authentication",
    b"S": "ParameterStatus",
    b"T": "RowDescription",
    b"Z": "ReadyForQuery",
    b"n": "NoData",
    b"s": "PortalSuspended",
    b"t": "ParameterDescription",
}
# What a connection may begin with, by the number in the place of a version.
_FIRST: Final = {80877102: "CancelRequest", 80877103: "SSLRequest", 80877104: "GSSENCRequest"}
_LENGTH: Final = 4


class PostgresFrames(Splitter):
    """The wire protocol, version 3, without encryption.

    A message is a type byte and a length; but what the client begins with has no type, and the
    server's answer to a request for encryption is a single byte.
    """

    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._asked_to_encrypt = False

    def _next(self, sender: Sender) -> Frame | None:
        pending = self._pending[sender]
        if not pending:
            return None
        if sender == "client" and not self._started:
            return self._first(pending)
        if sender == "server" and self._asked_to_encrypt:
            if pending[:1] != b"N":
                raise ValueError("the server wants to encrypt: say sslmode=disable in the URL")
            self._asked_to_encrypt = False
            return Frame("EncryptionRefused", pending[:1])
        data = _whole(pending, offset=1)
        if data is None:
            return None
        kinds = _CLIENT if sender == "client" else _SERVER
        kind = kinds.get(data[:1], repr(data[:1]))
        return Frame(kind, data, _text(kind, data[1 + _LENGTH :]))

    def _first(self, pending: bytes) -> Frame | None:
        data = _whole(pending, offset=0)
        if data is None:
            return None
        kind = _FIRST.get(int.from_bytes(data[4:8], "big"), "Startup")
        self._asked_to_encrypt |= kind in ("SSLRequest", "GSSENCRequest")
        self._started = kind == "Startup"
        return Frame(kind, data)


def _whole(pending: bytes, *, offset: int) -> bytes | None:
    """Take one message whose length, which counts itself, stands at the offset."""
    if len(pending) < offset + _LENGTH:
        return None
    end = offset + int.from_bytes(pending[offset : offset + _LENGTH], "big")
    return pending[:end] if len(pending) >= end else None


def _text(kind: str, body: bytes) -> str:
    """Read the statement of a query, or the tag of what was done, on one line."""
    if kind == "Parse":
        body = body.partition(b"\0")[2]
    if kind in ("Parse", "Query", "CommandComplete"):
        return " ".join(body.partition(b"\0")[0].decode().split())
    return ""


_HEAD_END: Final = b"\r\n\r\n"
_CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


class HttpFrames(Splitter):
    """HTTP/1.1 as the simulated API and its clients speak it: an answer is a head and a body.

    A body's length stands in Content-Length; there is no other framing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._body_bytes: dict[Sender, int] = {"client": 0, "server": 0}

    def _next(self, sender: Sender) -> Frame | None:
        pending, length = self._pending[sender], self._body_bytes[sender]
        if length:
            if len(pending) < length:
                return None
            self._body_bytes[sender] = 0
            return Frame("Body", pending[:length])
        head, found, _ = pending.partition(_HEAD_END)
        if not found:
            return None
        stated = _CONTENT_LENGTH.search(head + b"\r\n")
        self._body_bytes[sender] = int(stated[1]) if stated else 0
        kind = "Request" if sender == "client" else "Head"
        return Frame(kind, head + _HEAD_END, head.partition(b"\r\n")[0].decode())
