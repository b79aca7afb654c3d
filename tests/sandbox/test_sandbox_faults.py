"""Each fault does to the effect and to the connection what its name says, by the ledger."""

import asyncio
from collections import Counter

import aiohttp
import orjson
import pytest
from sandbox_calls import Answer, Caller, Serve

from bulkipacl.sandbox import ALIASES, KINDS, Fault, SandboxConfig, parse_fault
from bulkipacl.sandbox.faults import FaultPlan

_SILENT = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError)


async def _faulty(serve: Serve, kind: str, **switches: float) -> Caller:
    config = SandboxConfig(
        faults=(Fault(kind, 1.0),),
        late_s=switches.get("late_s", 0.1),
        hang_s=switches.get("hang_s", 0.1),
    )
    return await serve(config)


async def _try_create(caller: Caller) -> Answer | Exception:
    try:
        return await caller.create("10.0.0.1", "a")
    except _SILENT as exc:
        return exc


ANSWERED = [
    ("429", 429),
    ("500_before", 500),
    ("500_after", 500),
    ("500_late", 500),
    ("502_before", 502),
    ("502_after", 502),
    ("503_before", 503),
    ("503_after", 503),
    ("503_late", 503),
    ("504_before", 504),
    ("504_after", 504),
    ("garbage_before", 200),
    ("garbage_after", 201),
    ("html_503_before", 503),
    ("echo_mismatch_after", 201),
    ("redirect", 307),
    ("slow_after", 201),
    ("close_after", 201),
]
UNANSWERED = [
    *("reset_before", "reset_after", "reset_late"),
    *("hang_before", "hang_after", "hang_late"),
    "truncated_after",
]


def test_every_kind_is_tested() -> None:
    """The two tables below hold every kind."""
    assert {kind for kind, _ in ANSWERED} | set(UNANSWERED) == set(KINDS)


def _effects_at_once(kind: str) -> int:
    return 1 if kind.endswith("_after") else 0


@pytest.mark.parametrize(("kind", "status"), ANSWERED)
async def test_answered(serve: Serve, kind: str, status: int) -> None:
    """The status is the fault's, and the effect came before, after, late or never."""
    caller = await _faulty(serve, kind)
    answer = await _try_create(caller)
    assert isinstance(answer, Answer)
    assert answer.status == status
    ledger = caller.sandbox.ledger
    assert len(ledger) == _effects_at_once(kind)
    await caller.sandbox.flush()
    assert len(ledger) == (0 if kind.endswith("_before") or "_" not in kind else 1)
    for effect in ledger.effects:
        assert (effect.fault, effect.late) == (kind, kind.endswith("_late"))
    assert caller.sandbox.stats.faults == {kind: 1}


@pytest.mark.parametrize("kind", UNANSWERED)
async def test_unanswered(serve: Serve, kind: str) -> None:
    """The client sees a broken connection, whatever became of the effect."""
    # Late enough that a hang ends first, so that the count just after is 0.
    caller = await _faulty(serve, kind, hang_s=0.05, late_s=0.5)
    answer = await _try_create(caller)
    assert isinstance(answer, _SILENT)
    ledger = caller.sandbox.ledger
    assert len(ledger) == _effects_at_once(kind)
    await caller.sandbox.flush()
    assert len(ledger) == (0 if kind.endswith("_before") else 1)
    assert [effect.late for effect in ledger.effects] == [kind.endswith("_late")] * len(ledger)


async def test_reset_is_a_reset(serve: Serve) -> None:
    """A reset connection ends with RST: the client reads ECONNRESET, not an end of file."""
    caller = await _faulty(serve, "reset_after")
    ready = caller.sandbox.ready()
    host, port = ready["url"].removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    auth = aiohttp.encode_basic_auth(*caller.auth)
    writer.write(
        f"GET /2010-04-01/Accounts/{caller.ac}/SIP/Domains.json HTTP/1.1\r\n"
        f"Host: x\r\nAuthorization: {auth}\r\n\r\n".encode()
    )
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def _in_flight(caller: Caller, count: int) -> bool:
    """Whether so many requests are in flight within two seconds."""
    for _ in range(2000):
        if caller.sandbox.limits.concurrent(caller.ac) == count:
            return True
        await asyncio.sleep(0.001)
    return False


async def test_hang_ends_when_the_client_leaves(serve: Serve) -> None:
    """A hung request keeps its place in flight until its client has gone."""
    caller = await _faulty(serve, "hang_before", hang_s=60)
    request = asyncio.create_task(_try_create(caller))
    assert await _in_flight(caller, 1)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await _in_flight(caller, 0)


async def test_closing_does_not_wait_for_a_hang(serve: Serve) -> None:
    """Closing the sandbox drops hung requests at once."""
    caller = await _faulty(serve, "hang_after", hang_s=60)
    request = asyncio.create_task(_try_create(caller))
    assert await _in_flight(caller, 1)
    began_s = asyncio.get_running_loop().time()
    await caller.sandbox.aclose()
    assert isinstance(await request, _SILENT)
    assert asyncio.get_running_loop().time() - began_s < 2


async def test_late_effect_meets_the_rules(serve: Serve) -> None:
    """A late create of what is there by then is refused like any other."""
    caller = await _faulty(serve, "reset_late", late_s=0.3)
    assert isinstance(await _try_create(caller), _SILENT)
    caller.sandbox.faults.replace([])
    assert (await caller.create("10.0.0.1", "b")).status == 201
    await caller.sandbox.flush()
    assert [effect.name_after for effect in caller.sandbox.ledger.effects] == ["b"]
    assert caller.sandbox.stats.late_refused == 1


async def test_late_delete_and_update(serve: Serve) -> None:
    """Updates and deletes land late too."""
    caller = await serve(SandboxConfig(late_s=0.05))
    sid = (await caller.create()).json["sid"]
    path = f"{caller.entries_path()}/{sid}"
    caller.sandbox.faults.replace([Fault("500_late", 1.0)])
    assert (await caller.call("POST", path, {"FriendlyName": "z"})).status == 500
    await caller.sandbox.flush()
    assert (await caller.call("DELETE", path)).status == 500
    await caller.sandbox.flush()
    effects = caller.sandbox.ledger.effects
    assert [(e.op, e.late) for e in effects] == [
        ("create", False),
        ("update", True),
        ("delete", True),
    ]


async def test_bodies(serve: Serve) -> None:
    """What is no JSON is none, a mismatched echo differs in the address, a redirect points away."""
    garbage = await (await _faulty(serve, "garbage_after")).create()
    with pytest.raises(orjson.JSONDecodeError):
        _ = garbage.json
    html = await (await _faulty(serve, "html_503_before")).create()
    assert html.headers["Content-Type"] == "text/html"
    assert "Twilio-Request-Id" not in html.headers
    echo = await (await _faulty(serve, "echo_mismatch_after")).create("10.0.0.1", "a")
    assert echo.json["ip_address"] != "10.0.0.1"
    assert echo.json["friendly_name"] == "a"
    closed = await (await _faulty(serve, "close_after")).create()
    assert closed.headers["Connection"] == "close"
    caller = await _faulty(serve, "redirect")
    moved = await caller.create()
    followed = await caller.call("POST", moved.headers["Location"])
    assert followed.status == 404
    assert caller.sandbox.stats.redirects_followed == 1


async def test_slow_body(serve: Serve) -> None:
    """A slow body takes a second, whatever its length, and is complete."""
    caller = await serve(SandboxConfig(entries=100, faults=(Fault("slow_after", 1.0),)))
    path = f"/2010-04-01/Accounts/{caller.ac}{caller.entries_path()}.json?PageSize=1000"
    began_s = asyncio.get_running_loop().time()
    assert len((await caller.call("GET", path)).json["ip_addresses"]) == 100
    assert asyncio.get_running_loop().time() - began_s == pytest.approx(1.0, abs=0.1)


async def test_faults_on_an_empty_answer(serve: Serve) -> None:
    """A delete's empty answer can be cut, garbled or closed as well; its echo cannot differ."""
    caller = await serve(SandboxConfig())
    seen: dict[str, int] = {}
    for number, kind in enumerate(("garbage_after", "close_after", "echo_mismatch_after")):
        sid = (await caller.create(f"10.0.0.{number}")).json["sid"]
        caller.sandbox.faults.replace([Fault(kind, 1.0)])
        seen[kind] = (await caller.call("DELETE", f"{caller.entries_path()}/{sid}")).status
        caller.sandbox.faults.replace([])
    assert seen == {"garbage_after": 200, "close_after": 204, "echo_mismatch_after": 204}
    assert "echo_mismatch_after" not in caller.sandbox.stats.faults
    sid = (await caller.create("10.0.1.1")).json["sid"]
    caller.sandbox.faults.replace([Fault("truncated_after", 1.0)])
    with pytest.raises((*_SILENT, aiohttp.ClientError)):
        await caller.call("DELETE", f"{caller.entries_path()}/{sid}")
    assert len(caller.sandbox.ledger.of("delete")) == 4


async def test_refused_effect_under_a_fault(serve: Serve) -> None:
    """A request that the rules refuse has no effect, whatever the fault says."""
    caller = await serve(SandboxConfig(entries=100))
    caller.sandbox.faults.replace([Fault("500_after", 1.0)])
    assert (await caller.create()).status == 500
    caller.sandbox.faults.replace([Fault("echo_mismatch_after", 1.0)])
    assert (await caller.create()).code == 21237
    assert len(caller.sandbox.ledger) == 0


async def test_methods(serve: Serve) -> None:
    """Faults can be kept to some methods."""
    config = SandboxConfig(faults=(Fault("500_before", 1.0),), fault_methods=frozenset({"GET"}))
    caller = await serve(config)
    assert (await caller.create()).status == 201
    assert (await caller.call("GET", caller.entries_path())).status == 500


def _dealt(plan: FaultPlan, bodies: list[bytes]) -> dict[bytes, list[str | None]]:
    dealt: dict[bytes, list[str | None]] = {body: [] for body in bodies}
    for body in bodies:
        choice = plan.choose("POST", "/p", body)
        dealt[body].append(choice.kind if choice else None)
    return dealt


def test_choice_is_reproducible_whatever_the_order() -> None:
    """A seed deals each request the same, in whatever order they arrive; another seed does not."""
    faults = [Fault("reset", 0.3), Fault("500", 0.3)]
    bodies = [b"%d" % (number % 40) for number in range(120)]
    forward = _dealt(FaultPlan(faults, seed=3), bodies)
    assert forward == _dealt(FaultPlan(faults, seed=3), bodies[::-1])
    assert forward != _dealt(FaultPlan(faults, seed=4), bodies)


def test_probabilities_and_aliases() -> None:
    """Kinds come about as often as asked, and an alias deals its kinds in equal parts."""
    plan = FaultPlan([Fault("hang", 0.3), Fault("429", 0.1)], late_s=2.0)
    count: Counter[str] = Counter()
    for number in range(6000):
        choice = plan.choose("POST", "/p", b"%d" % number)
        if choice is not None:
            count[choice.kind] += 1
            assert 0.4 <= choice.late_s <= 2.0
    assert set(count) == {*ALIASES["hang"], "429"}
    for kind, seen in count.items():
        assert seen == pytest.approx(600, rel=0.2), kind


@pytest.mark.parametrize("text", ["500", "500=x", "500=1.5", "500=nan", "501=0.1", "=0.1"])
def test_parse_fault_refuses(text: str) -> None:
    """Text that is no fault is a ValueError of one line."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text differs per case
        parse_fault(text)
    assert "\n" not in str(caught.value)


def test_parse_fault() -> None:
    """KIND=P is read; more than certainty is refused."""
    assert parse_fault("reset_late=0.25") == Fault("reset_late", 0.25)
    with pytest.raises(ValueError, match="add up"):
        SandboxConfig(faults=(Fault("500", 0.6), Fault("503", 0.6)))
