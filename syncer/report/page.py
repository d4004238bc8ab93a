"""The whole page: which database, how complete, then the answers."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from syncer.report import money, state, summary
from syncer.report.style import CSS
from syncer.report.wording import count, escaped, moment

if TYPE_CHECKING:
    from syncer.store.report import Report


def render(report: Report, *, version: str) -> str:
    """Write the report as one HTML document that asks for nothing from anywhere."""
    digest = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
    # Nothing may be loaded, whatever were to slip in; this style alone applies.
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    made = moment(report.made_at)
    sections = "\n".join(
        [
            summary.summary(report),
            money.open_amounts(report),
            money.spend(report),
            money.failed_payments(report),
            money.origins(report),
            state.accounts(report),
            state.changes(report),
            state.vanished(report),
            state.rejections(report),
            state.runs(report),
        ]
    )
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>AI Gateway invoices, {made} UTC</title>
<style>{CSS}</style>
</head>
<body>
<header>
<h1>AI Gateway invoices</h1>
<p class="lead">As the database held them on {made} UTC ({escaped(report.where)}),\
 {count(report.accounts.total)} account(s). All times are in UTC. Amounts of different currencies\
 are never added up.</p>
</header>
<main>
{sections}
</main>
<footer><p class="faint">Made by syncer {escaped(version)}</p></footer>
</body>
</html>
"""
