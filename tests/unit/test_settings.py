"""Every knob of a run: what it takes, and what is said where it does not."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from bulkipacl.errors import UsageError
from bulkipacl.settings import Settings, parse_duration, parse_headroom, parse_share

# Each line: a field | its flag | the ends of its range | what lies outside of it.
RANGES: list[tuple[str, str, tuple[float, float], tuple[float, float]]] = [
    ("max_in_flight", "--max-in-flight", (1, 10_000), (0, 10_001)),
    ("account_max_in_flight", "--account-max-in-flight", (1, 10_000), (0, 10_001)),
    ("headroom", "--headroom", (0, 0.95), (-0.01, 0.951)),
    ("rate_per_s", "--rate", (0.01, 100_000), (0.009, 100_001)),
    ("retries", "--retries", (0, 100), (-1, 101)),
    ("timeout_s", "--timeout", (0.1, 3_600), (0.09, 3_601)),
    ("settle_s", "--settle", (0, 600), (-0.1, 601)),
    ("patience_s", "--patience", (1, 86_400), (0.9, 86_401)),
    ("max_failures", "--max-failures", (0, 10**12), (-1, 10**12 + 1)),
    ("max_failures_percent", "--max-failures", (0, 100), (-1, 100.1)),
    ("deadline_s", "--deadline", (0.001, 31_536_000), (0, 31_536_001)),
]


@pytest.mark.parametrize(
    ("field", "flag", "inside", "outside"), RANGES, ids=[case[0] for case in RANGES]
)
def test_ranges(
    field: str, flag: str, inside: tuple[float, float], outside: tuple[float, float]
) -> None:
    """Both ends of a range are taken; past them, and what is no number, is refused by its flag."""
    for value in inside:
        changes: dict[str, Any] = {field: value}
        assert getattr(Settings(**changes), field) == value
    for value in (*outside, float("nan"), float("inf"), float("-inf")):
        changes = {field: value}
        with pytest.raises(UsageError, match=flag) as caught:
            Settings(**changes)
        assert caught.value.exit_code == 2
        assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "field", ["rate_per_s", "max_failures", "max_failures_percent", "deadline_s"]
)
def test_no_limit(field: str) -> None:
    """What is not given does not limit anything."""
    assert getattr(Settings(), field) is None


@pytest.mark.parametrize("value", [float("nan"), 0.0, -1.0, 3_601.0])
def test_connecting_has_a_range_too(value: float) -> None:
    """The time for connecting is bounded as it says."""
    with pytest.raises(UsageError):
        Settings(connect_timeout_s=value)


def test_settings_can_be_kept() -> None:
    """All settings go into the run directory as JSON, and make the same settings again."""
    chosen = Settings(rate_per_s=7.5, no_gap=True, tls_ca_file="/a b/é.pem")
    kept = json.loads(json.dumps(chosen.as_dict()))
    assert Settings(**kept) == chosen
    assert kept.keys() == {field.name for field in dataclasses.fields(Settings)}


DURATIONS = [
    ("90", 90.0),
    ("90s", 90.0),
    ("0.5", 0.5),
    ("1.5s", 1.5),
    ("10m", 600.0),
    ("1h", 3_600.0),
    ("1h30m", 5_400.0),
    ("1h0m2.5s", 3_602.5),
    ("0", 0.0),
]


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_durations(text: str, seconds: float) -> None:
    """A duration is a number of seconds, or hours, minutes and seconds in this order."""
    assert parse_duration("--deadline", text) == seconds


NO_DURATIONS = ["", " ", "s", "1d", "1m1h", "1h 30m", "-5", "+5", "1.5h", "1e3", "nan", "inf"]
NO_DURATIONS += ["5\n", "\u0663", "1_0"]


@pytest.mark.parametrize("text", NO_DURATIONS)
def test_no_durations(text: str) -> None:
    """Anything else is refused by its flag, in one line."""
    with pytest.raises(UsageError, match="--deadline") as caught:
        parse_duration("--deadline", text)
    assert "\n" not in caught.value.message


SHARES = [
    ("0", (0, None)),
    ("10", (10, None)),
    ("5%", (None, 5.0)),
    ("0.5%", (None, 0.5)),
    ("100%", (None, 100.0)),
]


@pytest.mark.parametrize(("text", "share"), SHARES)
def test_shares(text: str, share: tuple[int | None, float | None]) -> None:
    """A limit is a count or a share."""
    assert parse_share("--max-failures", text) == share


@pytest.mark.parametrize(
    "text", ["", "%", "-1", "1.5", "5 %", "5%%", "five", "1e3", "nan%", "10\n", "٣", "٣%"]
)
def test_no_shares(text: str) -> None:
    """Anything else is refused by its flag, in one line."""
    with pytest.raises(UsageError, match="--max-failures") as caught:
        parse_share("--max-failures", text)
    assert "\n" not in caught.value.message


HEADROOMS = [
    ("20%", 0.2),
    ("0.2", 0.2),
    ("12.5%", 0.125),
    ("0", 0.0),
    ("0%", 0.0),
    ("95%", 0.95),
    ("0.95", 0.95),
]


@pytest.mark.parametrize(("text", "share"), HEADROOMS)
def test_headrooms(text: str, share: float) -> None:
    """Headroom is a percentage or a fraction, and either is a setting that can be taken."""
    assert Settings(headroom=parse_headroom("--headroom", text)).headroom == pytest.approx(share)


NO_HEADROOMS = ["", "%", "-1", "-1%", "20 %", " 20%", "20%%", "nan", "nan%", "inf", "1e-1", ".2"]
NO_HEADROOMS += ["20%\n", "0,2", "٢%", "9" * 400 + "%", "100%", "96%", "1", "20", "0.96"]


@pytest.mark.parametrize("text", NO_HEADROOMS)
def test_no_headrooms(text: str) -> None:
    """What is neither, or leaves the run itself too little, is refused by its flag, in one line."""
    with pytest.raises(UsageError, match="--headroom") as caught:
        Settings(headroom=parse_headroom("--headroom", text))
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2


def limits(text: str) -> Settings:
    """Settings with the limit of failures that a person typed."""
    count, percent = parse_share("--max-failures", text)
    return Settings(max_failures=count, max_failures_percent=percent)


@pytest.mark.parametrize("digits", [400, 5_000], ids=["no float holds it", "no integer reads it"])
@pytest.mark.parametrize("ending", ["", "%"], ids=["count", "share"])
def test_absurd_limits(digits: int, ending: str) -> None:
    """A number of any length is refused by its flag, and never ends in another error."""
    with pytest.raises(UsageError, match="--max-failures"):
        limits("9" * digits + ending)
