"""Every invoice of every account by dlt: its rest_api source, merged into PostgreSQL by upsert."""

from __future__ import annotations

import os
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before dlt is imported: where .dlt/config.toml is, and where its own files go. An anonymous id is
# written to HOME even without telemetry, and to /var/dlt by root; it is not sent.
os.environ |= {
    "HOME": os.environ["BENCH_STATE"],
    "DLT_PROJECT_DIR": str(Path(__file__).parent),
    "DLT_DATA_DIR": os.environ["BENCH_STATE"],
}

import dlt
from dlt.sources.rest_api import rest_api_source

if TYPE_CHECKING:
    from dlt.sources.rest_api.typing import EndpointResource
    from requests import Response


def keep_digits(response: Response, *_: Any, **__: Any) -> Response:
    """Have amounts with decimals read as such, not as floats."""
    response.json = partial(response.json, parse_float=Decimal)
    return response


def invoices_of(number: int) -> EndpointResource:
    """Describe one account's invoice history: a resource of its own, with a token of its own."""
    account_id = f"{number:032x}"
    return {
        "name": f"invoices_{number}",
        "endpoint": {
            "path": f"accounts/{account_id}/ai-gateway/billing/invoice-history",
            "headers": {"Authorization": f"Bearer token-{number}"},
        },
        "processing_steps": [{"map": lambda invoice: {**invoice, "account_id": account_id}}],
    }


source = rest_api_source(
    {
        "client": {"base_url": os.environ["BENCH_URL"]},
        "resource_defaults": {
            "table_name": "invoices",
            "primary_key": ["account_id", "id"],
            "write_disposition": {"disposition": "merge", "strategy": "upsert"},
            "parallelized": True,
            "columns": {
                f"amount_{what}": {"data_type": "decimal"} for what in ("due", "paid", "remaining")
            },
            "endpoint": {
                "params": {"type": "all", "per_page": 50},
                "paginator": {
                    "type": "page_number",
                    "base_page": 1,
                    "total_path": None,
                    "has_more_path": "result.pagination.has_more",
                },
                "data_selector": "result.invoices",
                "response_actions": [keep_digits],
            },
        },
        "resources": [invoices_of(n) for n in range(int(os.environ["BENCH_ACCOUNTS"]))],
    },
    max_table_nesting=0,
)
pipeline = dlt.pipeline(
    "peer",
    destination=dlt.destinations.postgres(os.environ["BENCH_DSN"].replace("@", ":unused@")),
    dataset_name="peer",
)
pipeline.run(source, loader_file_format="csv").raise_on_failed_jobs()
