"""The API's server as a process, and the commands to it."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.request import ProxyHandler, build_opener

from benchmarks.pages import USUAL_PER_PAGE
from benchmarks.processes import Failed, cpu_s, end, start

if TYPE_CHECKING:
    from collections.abc import Iterator


# It is on this machine, whatever proxy the environment names for the others.
DIRECT: Final = build_opener(ProxyHandler({}))


class Api:
    """The server of the pages."""

    def __init__(self, base_url: str, pid: int, accounts: int, invoices: int) -> None:
        self.base_url = base_url
        self.accounts = accounts
        self.invoices = invoices
        self._pid = pid

    @property
    def rows(self) -> int:
        """The invoices of all accounts."""
        return self.accounts * self.invoices

    def pages(self, per_page: int = USUAL_PER_PAGE) -> int:
        """Count the pages of all accounts."""
        return self.accounts * max(1, -(-self.invoices // per_page))

    def tell(self, command: str) -> dict[str, Any]:
        """Give it a command, such as `renew`; what it answers."""
        with DIRECT.open(f"{self.base_url}/control/{command}") as answer:
            state: dict[str, Any] = json.load(answer)
        if "error" in state:
            raise Failed(state["error"])
        return state

    def cpu_s(self) -> float:
        """CPU seconds of the server until now."""
        return cpu_s(self._pid)


@contextmanager
def own_api(accounts: int, invoices: int) -> Iterator[Api]:
    """Start a server, and end it afterwards."""
    command = [sys.executable, "-m", "benchmarks.server"]
    command += [f"--accounts={accounts}", f"--invoices={invoices}"]
    read, write = os.pipe()
    with os.fdopen(read) as said:
        process = start(command, environ=os.environ, stdout=write, stderr=sys.stderr.fileno())
        os.close(write)
        try:
            base_url = said.readline().strip()
            if not base_url:
                raise Failed("the server of the pages did not start")
            yield Api(base_url, process.pid, accounts, invoices)
        finally:
            end(process)
