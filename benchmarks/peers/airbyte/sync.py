"""Every invoice of every account by PyAirbyte: a declarative source, merged into its cache."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

STATE = os.environ["BENCH_STATE"]
# What PyAirbyte reads when it is imported: no telemetry, no registry, and its files in one place.
os.environ |= {
    "DO_NOT_TRACK": "1",
    "AIRBYTE_OFFLINE_MODE": "1",
    "AIRBYTE_PROJECT_DIR": STATE,
    "AIRBYTE_CACHE_ROOT": STATE,
    "AIRBYTE_LOGGING_ROOT": STATE,
    "AIRBYTE_TEMP_DIR": STATE,
}

import airbyte  # noqa: E402
from airbyte.caches import PostgresCache  # noqa: E402
from airbyte.strategies import WriteStrategy  # noqa: E402

source = airbyte.get_source(
    "source-invoices",
    source_manifest=Path(__file__).with_name("manifest.yaml"),
    config={
        "url": os.environ["BENCH_URL"],
        "tokens": {f"{n:032x}": f"token-{n}" for n in range(int(os.environ["BENCH_ACCOUNTS"]))},
    },
    streams="*",
)
database = urlsplit(os.environ["BENCH_DSN"])
cache = PostgresCache(
    host=database.hostname,
    port=database.port,
    username=database.username,
    password="unused",  # noqa: S106 - the server asks for none
    database=database.path.lstrip("/"),
    schema_name="peer",
)
source.read(cache, write_strategy=WriteStrategy.MERGE)
