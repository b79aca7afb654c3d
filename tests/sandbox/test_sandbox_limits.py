"""Hidden limits: the pure machine by tables of times, then over the socket."""

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_calls import Serve

from bulkipacl.sandbox import (
    Latency,
    Limit,
    LimitSteps,
    SandboxConfig,
    parse_latency,
    parse_limit,
    parse_limit_steps,
)
from bulkipacl.sandbox.limits import Limits


def test_concurrent() -> None:
    """Requests up to the ceiling are let in, refused ones take no room but are counted."""
    limits = Limits([Limit("concurrent", 2)])
    assert [limits.enter("A", 0.0) for _ in range(3)] == [True, True, False]
    assert limits.concurrent("A") == 3
    limits.leave("A", admitted=True)
    assert limits.enter("A", 0.0)
    assert limits.enter("B", 0.0)
    assert limits.accounts["A"].peak_in_flight == 3
    assert limits.accounts["A"].peak_admitted == 2


def test_others() -> None:
    """Another client's requests take room, and show in the count."""
    limits = Limits([Limit("concurrent", 3)], others=2)
    assert [limits.enter("A", 0.0) for _ in range(2)] == [True, False]
    assert limits.concurrent("A") == 4


def test_steps() -> None:
    """A ceiling moves at its times, counted from the first request."""
    limits = Limits([], [LimitSteps("concurrent", ((0, 2), (20, 1), (50, 3)))])
    admitted = []
    for now_s in (100.0, 119.9, 120.0, 149.9, 150.0):
        entered = [limits.enter("A", now_s) for _ in range(4)]
        admitted.append(sum(entered))
        for was_admitted in entered:
            limits.leave("A", admitted=was_admitted)
    assert admitted == [2, 2, 1, 1, 3]


def test_rate_burst() -> None:
    """A tenth of a second's worth comes at once, then one each 1/R seconds."""
    limits = Limits([Limit("rate", 50)])
    assert [limits.enter("A", 0.0) for _ in range(6)] == [True] * 5 + [False]
    assert not limits.enter("A", 0.019)
    assert limits.enter("A", 0.02)


@given(
    rate=st.floats(0.5, 500),
    gaps=st.lists(st.floats(0, 0.5), min_size=1, max_size=60),
)
def test_rate_never_passes_its_bound(rate: float, gaps: list[float]) -> None:
    """In every window of w seconds at most rate * w + burst requests are let in."""
    limits = Limits([Limit("rate", rate)])
    now_s, admitted = 0.0, []
    for gap in gaps:
        now_s += gap
        if limits.enter("A", now_s):
            admitted.append(now_s)
    burst = max(1.0, rate / 10)
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            window_s = admitted[last] - admitted[first]
            assert last - first + 1 <= rate * window_s + burst + 1e-6


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_limit, "concurrent"),
        (parse_limit, "concurrent=0"),
        (parse_limit, "rate=x"),
        (parse_limit, "speed=3"),
        (parse_limit_steps, "concurrent=100"),
        (parse_limit_steps, "concurrent=100@5"),
        (parse_limit_steps, "concurrent=100@0,50@0"),
        (parse_limit_steps, "speed=1@0"),
        (parse_latency, "fast"),
        (parse_latency, "-1"),
        (parse_latency, "0.1~x"),
    ],
)
def test_parsers_refuse(parse: object, text: str) -> None:
    """Text that is not a switch is a ValueError of one line."""
    assert callable(parse)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text differs per case
        parse(text)
    assert "\n" not in str(caught.value)


def test_parsers_accept() -> None:
    """The documented forms are read."""
    assert parse_limit("concurrent=5") == Limit("concurrent", 5)
    assert parse_limit_steps("rate=100@0,40@20") == LimitSteps("rate", ((0, 100), (20, 40)))
    assert parse_latency("0.09~0.35") == Latency(0.09, 0.35)
    assert parse_latency("0.09") == Latency(0.09)


def test_lognormal_latency_has_its_median() -> None:
    """Half of the latencies are below the median, and all differ."""
    random = Random(1)
    drawn = sorted(Latency(0.1, 0.35).draw_s(random) for _ in range(1001))
    assert drawn[500] == pytest.approx(0.1, rel=0.1)
    assert len(set(drawn)) == 1001
    assert Latency(0.1).draw_s(random) == 0.1


async def test_concurrent_over_the_socket(serve: Serve) -> None:
    """Requests over the limit answer 429 with 20429 and a hint, soon, and are not processed."""
    config = SandboxConfig(
        limits=(Limit("concurrent", 4),), latency=Latency(0.15), others=1, retry_after_s=0.5
    )
    caller = await serve(config)
    answers = await asyncio.gather(*(caller.create(f"10.0.0.{n}") for n in range(10)))
    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) == 7
    assert {answer.code for answer in refused} == {20429}
    assert {answer.headers["Retry-After"] for answer in refused} == {"0.5"}
    assert max(float(a.headers["Twilio-Request-Duration"]) for a in refused) < 0.1
    # Nine others of this client's and one of another's were in flight at most.
    assert max(int(a.headers["Twilio-Concurrent-Requests"]) for a in answers) <= 11
    assert len(caller.sandbox.ledger) == 3
    account = caller.sandbox.limits.accounts[caller.ac]
    assert (account.in_flight, account.admitted) == (0, 0)
    assert account.peak_admitted == 3


async def test_accounts_do_not_share_a_limit(serve: Serve) -> None:
    """The limit is the path's account's, or the credential's where switched so."""
    for charge, refused in (("path", 0), ("credential", 2)):
        config = SandboxConfig(
            accounts=3,
            limits=(Limit("concurrent", 1),),
            latency=Latency(0.1),
            charge=charge,  # type: ignore[arg-type]
        )
        caller = await serve(config)
        paths = [f"/2010-04-01/Accounts/{ac}/SIP/Domains.json" for ac in caller.accounts]
        answers = await asyncio.gather(*(caller.call("GET", path) for path in paths))
        assert sum(answer.status == 429 for answer in answers) == refused
