import pytest

from syncer.store.address import address_of


@pytest.fixture(autouse=True)
def _no_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGPORT", "PGDATABASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("dsn", "address"),
    [
        ("postgresql://syncer@localhost:5432/syncer", "localhost:5432/syncer"),
        ("postgres://syncer:hunter2@db.example/ledger", "db.example:5432/ledger"),
        ("postgresql://a:hunter%402@db.example/ledger", "db.example:5432/ledger"),
        ("postgresql://one:6432,two:6433/ledger", "one:6432,two:6433/ledger"),
        ("postgresql://one,two:6433/ledger", "one:5432,two:6433/ledger"),
        ("postgresql://[::1]/ledger", "[::1]:5432/ledger"),
        ("postgresql://[::1]:6432/ledger", "[::1]:6432/ledger"),
        ("postgresql:///ledger?host=/run/pg&port=6432", "/run/pg:6432/ledger"),
        ("postgresql://postgres@/postgres?host=%2Frun%2Fpg", "/run/pg:5432/postgres"),
        ("postgresql://%2Frun%2Fpg/ledger", "/run/pg:5432/ledger"),
        ("postgresql://db.example/?dbname=ledger", "db.example:5432/ledger"),
        ("postgresql://db.example?database=ledger", "db.example:5432/ledger"),
        # The driver ignores this port, so it is not told either.
        ("postgresql://db.example/ledger?port=6432", "db.example:5432/ledger"),
        ("postgresql://db.example/my%20ledger", "db.example:5432/my ledger"),
        ("postgresql://", "localhost:5432"),
    ],
)
def test_an_address_names_host_port_and_database(dsn: str, address: str) -> None:
    assert address_of(dsn) == address


def test_the_environment_fills_the_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    monkeypatch.setenv("PGPORT", "6432")
    monkeypatch.setenv("PGDATABASE", "ledger")
    assert address_of("postgresql://") == "db.example:6432/ledger"
    assert address_of("postgresql://other/books") == "other:6432/books"


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://syncer:hunter2/x@db.example/ledger",
        "postgresql://syncer:hunter2@home@db.example/ledger",
        "postgresql://syncer:12#hunter2@db.example/ledger",
        "postgresql://syncer:12?hunter2@db.example/ledger",
        "postgresql://syncer:hunter2",
        "postgresql://[hunter2]:5432/ledger",
        "postgresql://[hunter2/ledger",
        "mysql://syncer:hunter2@db.example/ledger",
        "postgresql://localhost/ledger?hunter2",
        "hunter2",
        "",
    ],
)
def test_what_could_show_a_password_is_refused_without_quoting_it(dsn: str) -> None:
    with pytest.raises(ValueError, match=r"^the database URL cannot be read: ") as caught:
        address_of(dsn)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__
