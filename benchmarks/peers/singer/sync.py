"""Every invoice of every account through a Singer tap and Meltano's target for PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

STATE = Path(os.environ["BENCH_STATE"])
BIN = Path(sys.executable).parent


def write_config(name: str, config: dict[str, object]) -> str:
    """Write a configuration file into the state directory; its path."""
    path = STATE / f"{name}.json"
    path.write_text(json.dumps(config))
    return str(path)


tap = write_config(
    "tap",
    {
        "url": os.environ["BENCH_URL"],
        "tokens": {f"{n:032x}": f"token-{n}" for n in range(int(os.environ["BENCH_ACCOUNTS"]))},
    },
)
target = write_config(
    "target",
    {
        "sqlalchemy_url": os.environ["BENCH_DSN"].replace("://", "+psycopg://"),
        "default_target_schema": "peer",
        "use_copy": True,
        "validate_records": False,
        "add_record_metadata": False,
        "activate_version": False,
    },
)
with subprocess.Popen(  # noqa: S603 - programs of our own, without a shell
    [sys.executable, Path(__file__).with_name("tap.py"), tap], stdout=subprocess.PIPE
) as extract:
    loaded = subprocess.run(  # noqa: S603 - the same
        [BIN / "target-postgres", "--config", target], stdin=extract.stdout, check=False
    )
sys.exit(extract.returncode or loaded.returncode)
