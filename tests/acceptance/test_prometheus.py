"""A real Prometheus with the configuration that is delivered scrapes a real daemon."""

from __future__ import annotations

import asyncio
import shutil
import signal
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.acceptance.program import PATIENCE_S, Program, end, free_port
from tests.documents import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PROMETHEUS = shutil.which("prometheus") or ""
DELIVERED = ROOT / "deploy" / "prometheus"


@pytest.mark.slow
@pytest.mark.skipif(not PROMETHEUS, reason="no prometheus: install Debian's package of that name")
async def test_it_scrapes_a_daemon_and_loads_the_alerts(syncer: Program, tmp_path: Path) -> None:
    syncer.add("production", 3)
    port, own = free_port(), free_port()
    syncer.settings["health"] = {"listen": f"127.0.0.1:{port}"}
    delivered = (DELIVERED / "prometheus.yml").read_text()
    shutil.copy(DELIVERED / "alerts.yml", tmp_path)
    configured = delivered.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    for usual, quick in (("interval: 30s", "interval: 1s"), ("timeout: 10s", "timeout: 1s")):
        configured = configured.replace(usual, quick)
    (tmp_path / "prometheus.yml").write_text(configured)
    async with syncer.running("run") as daemon:
        await daemon.event("run.finished", status="succeeded")
        process = await asyncio.create_subprocess_exec(
            PROMETHEUS,
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'stored'}",
            f"--web.listen-address=127.0.0.1:{own}",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            api = f"http://127.0.0.1:{own}/api/v1"
            async with aiohttp.ClientSession() as session:
                [up] = await answer(session, api, 'up{job="syncer"} == 1')
                assert up["metric"]["instance"] == f"127.0.0.1:{port}"
                [inserted] = await answer(session, api, 'syncer_invoices_total{change="inserted"}')
                assert inserted["value"][1] == "3"
                [stale] = await answer(session, api, 'syncer_account_stale{account="production"}')
                assert stale["value"][1] == "0"
                async with session.get(f"{api}/rules") as response:
                    [group] = (await response.json())["data"]["groups"]
                assert len(group["rules"]) == 8
        finally:
            await end(process)
        await daemon.stop(signal.SIGTERM)


async def answer(session: aiohttp.ClientSession, api: str, query: str) -> list[dict[str, Any]]:
    """What the query finds, as soon as it finds something."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                async with session.get(f"{api}/query", params={"query": query}) as response:
                    if response.status == 200:
                        found: list[dict[str, Any]] = (await response.json())["data"]["result"]
                        if found:
                            return found
            except aiohttp.ClientConnectionError:
                pass  # it is still starting
            await asyncio.sleep(0.2)
