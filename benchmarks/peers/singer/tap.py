"""A Singer tap of the invoice history: every page of every account, a message for each invoice."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS = {
    "string": "account_id id status currency created_by description invoice_origin invoice_pdf",
    # In the minor unit. As a "number" it would pass through a float on its way into COPY; this
    # way a fraction is an error.
    "integer": "amount_due amount_paid amount_remaining created attempt_count",
    "boolean": "attempted auto_advance",
}
SCHEMA = {
    "type": "SCHEMA",
    "stream": "invoices",
    "key_properties": ["account_id", "id"],
    "schema": {
        "properties": {
            name: {"type": [kind, "null"]}
            for kind, names in COLUMNS.items()
            for name in names.split()
        }
    },
}
ENCODER = msgspec.json.Encoder(decimal_format="number")
DECODER = msgspec.json.Decoder(float_hook=Decimal)


def pages(session: requests.Session, url: str, token: str) -> Iterator[list[dict[str, Any]]]:
    """Give the invoices of each page, as long as there are more."""
    page, more = 1, True
    while more:
        answer = session.get(
            url,
            params={"type": "all", "page": page, "per_page": 50},
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )
        answer.raise_for_status()
        result = DECODER.decode(answer.content)["result"]
        yield result["invoices"]
        page, more = page + 1, result["pagination"]["has_more"]


def main(config: dict[str, Any]) -> None:
    """Write the messages."""
    out = sys.stdout.buffer
    out.write(ENCODER.encode_lines([SCHEMA]))
    with requests.Session() as session:
        for account_id, token in config["tokens"].items():
            url = f"{config['url']}/accounts/{account_id}/ai-gateway/billing/invoice-history"
            for invoices in pages(session, url, token):
                records = ({**invoice, "account_id": account_id} for invoice in invoices)
                out.write(
                    ENCODER.encode_lines(
                        {"type": "RECORD", "stream": "invoices", "record": record}
                        for record in records
                    )
                )
    out.write(ENCODER.encode_lines([{"type": "STATE", "value": {}}]))


if __name__ == "__main__":
    main(msgspec.json.decode(Path(sys.argv[1]).read_bytes()))
