"""The fuzzer: `python -m tests.fuzz [libFuzzer's options] CORPUS...`, or `make fuzz`."""

from __future__ import annotations

import random
import re
import shlex
import sys

import atheris

# Only modules that are imported here show the fuzzer which of their branches an input takes.
with atheris.instrument_imports(include=["syncer"]):
    from tests.fuzz.invariants import check_answer

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|[A-Za-z]+|[\[\]{},:]')
# Past this size, finding every token takes longer than it is worth.
_MANY_BYTES = 20_000
# What may stand in a token's place: what once was a trouble, or could be.
_ODD = (
    b"null true false NaN -Infinity 0 -0 -0.0 1e400 1e131072 1e-16384 1e99999999999999999999 0.10"
    b' 9223372036854775808 1763769600000 253402300800 1e-7 "" "a" "\\u0000" "\\ud800" "\\udc00"'
    b' "\\ud83d\\ude00" "\xff" "\x00" "\xed\xa0\x80" "https://x.test/a:b" [] {} [{}] {"":{}} [[[['
    b' { } [ ] , : \xef\xbb\xbf "id" "id":"x", "amount_due" "amount_due":1, "amount\\u005fdue":2,'
    b' "currency" "created" "invoice_pdf" "invoice\\u005fpdf" "extra" "success" "success":false,'
    b' "result" "invoices" "invoices":[], "pagination" "has_more" "has_more":false, "total_count"'
    b' "errors" "code" 971 10000 7001 7003 10100 "error_chain"'
).split(b" ")


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Put odd or repeated tokens in two inputs of three, as bytes alone would seldom make any."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    if len(data) > _MANY_BYTES or chance.random() < 1 / 3:
        return bytes(atheris.Mutate(data, max_size))
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        tokens = list(_TOKEN.finditer(data))
        if not tokens:
            break
        token, other = chance.choice(tokens), chance.choice(tokens)
        from_here_to_other = data[min(token.start(), other.start()) : other.end()]
        odd = chance.choice((*_ODD, other[0], from_here_to_other))
        start = chance.choice((token.start(), token.start(), token.end()))
        data = data[:start] + odd + data[token.end() :]
    return data[:max_size]


if __name__ == "__main__":
    # To merge, libFuzzer starts itself anew by what it takes for its own name.
    command = f"{shlex.quote(sys.executable)} -m tests.fuzz"
    atheris.Setup([command, *sys.argv[1:]], check_answer, custom_mutator=mutate)
    atheris.Fuzz()
