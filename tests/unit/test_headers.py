import pytest

from syncer.cloudflare.headers import LONGEST_WAIT_S, Limit, pause_s, rate_limits, retry_after_s

NOW = "Sun, 22 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "300"}, 300.0),
        ({"Retry-After": " 0 "}, 0.0),
        ({"Retry-After": "9" * 40}, LONGEST_WAIT_S),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "٣"}, None),
        ({"Retry-After": "Sun, 22 Nov 2026 10:00:30 GMT", "Date": NOW}, 30.0),
        ({"Retry-After": "Sun, 22 Nov 2026 10:00:30 GMT"}, None),
        ({"Retry-After": "Sun, 22 Nov 2026 09:00:00 GMT", "Date": NOW}, None),
        ({"Retry-After": "Sun, 22 Nov 2026 10:00:30 -0000", "Date": NOW}, None),
        ({"Retry-After": "Mon, 01 Jan 2024 00:00:00 +9999999999999", "Date": NOW}, None),
        ({"Retry-After": "Sun, 22 Nov 2126 10:00:30 GMT", "Date": NOW}, LONGEST_WAIT_S),
    ],
)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_s(headers) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, ()),
        ({"Ratelimit": '"default";r=50;t=30'}, (Limit(50, 30.0, None),)),
        (
            {
                "Ratelimit": '"burst";r=1;t=5, "default"; r=900 ; t=120',
                "Ratelimit-Policy": '"burst";q=100;w=60, "default";q=1200;w=300',
            },
            (Limit(1, 5.0, 100), Limit(900, 120.0, 1200)),
        ),
        ({"Ratelimit": '"default";r=50'}, ()),
        ({"Ratelimit": "nonsense, 50;30"}, ()),
        ({"Ratelimit": '"x";r=99999999999999999999;t=1'}, ()),
    ],
)
def test_rate_limits(headers: dict[str, str], expected: tuple[Limit, ...]) -> None:
    assert rate_limits(headers) == expected


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (Limit(1199, 300.0, 1200), 0.0),
        (Limit(128, 300.0, 1200), 0.0),
        (Limit(127, 300.0, 1200), 2.5),
        (Limit(9, 30.0, 100), 15.0),
        (Limit(8, 30.0, 100), 30.0),
        (Limit(0, 30.0, 100), 30.0),
        (Limit(50, 30.0, None), 0.0),
        (Limit(17, 30.0, None), 3.0),
        (Limit(0, 0.0, 100), 0.0),
    ],
)
def test_what_little_is_left_is_spread_until_the_reset(limit: Limit, expected: float) -> None:
    assert pause_s(limit, in_flight=8) == expected
