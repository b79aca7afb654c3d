"""Faults acted out: each does to the effect and to the connection what its name says.

Which request meets which fault is `faults`' choice.

    Injector   acts one fault out on one request
"""

import asyncio

import orjson

from bulkipacl.sandbox.auth import Principal
from bulkipacl.sandbox.connection import Connection, Reply, reset, silence
from bulkipacl.sandbox.faults import Choice
from bulkipacl.sandbox.records import Refusal
from bulkipacl.sandbox.stage import Exchange, Stage
from bulkipacl.sandbox.wire import Answer, gateway_page

#: Where `redirect` sends a client. A client that follows it is counted, and gets a 404.
REDIRECTED = "/redirected/"

#: How long `slow_after` takes over one body.
_SLOW_S = 1.0
#: Single bytes at most; the rest follows at once, or a page of 1000 entries would take minutes.
_SLOW_STEPS = 50

#: RFC 5737: an address that filling gives out last, so it differs from what was sent.
_OTHER_ADDRESS, _ANOTHER_ADDRESS = "192.0.2.253", "192.0.2.254"


class Injector:
    """Acts faults out, by way of the stage's own latency, effects and replies."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def act(self, exchange: Exchange, principal: Principal, choice: Choice) -> Reply:
        """One fault on one request, from latency to reply."""
        stage = self._stage
        if choice.kind == "429":
            self._count(choice)
            return await stage.too_many(exchange)
        await stage.work()
        if choice.is_after:
            answer = stage.perform(exchange, principal, choice.kind)
            return await self._after(exchange, choice, answer)
        self._count(choice)
        if choice.is_late:
            self._schedule(exchange, principal, choice)
        return await self._trouble(exchange, choice)

    def _count(self, choice: Choice) -> None:
        self._stage.stats.faults[choice.kind] += 1

    def _schedule(self, exchange: Exchange, principal: Principal, choice: Choice) -> None:
        stage = self._stage

        def land() -> None:
            answer = stage.perform(exchange, principal, choice.kind, late=True)
            if answer.status >= 400:
                stage.stats.late_refused += 1

        stage.pending.later(choice.late_s, land)

    async def _after(self, exchange: Exchange, choice: Choice, answer: Answer) -> Reply:
        """Faults that are done to the true answer; the rest hide it behind `_trouble`."""
        stage = self._stage
        if choice.base == "echo_mismatch":
            if answer.status >= 300:
                return stage.reply(exchange, answer)
            self._count(choice)
            return stage.reply(exchange, _with_another_address(answer))
        self._count(choice)
        match choice.base:
            case "close":
                return stage.reply(exchange, answer, close=True)
            case "slow":
                return await self._dribble(exchange, answer)
            case "truncated":
                return self._truncate(exchange, answer)
            case "garbage":
                status = 200 if answer.status == 204 else answer.status
                return stage.reply(exchange, _garbage(status))
        return await self._trouble(exchange, choice)

    async def _trouble(self, exchange: Exchange, choice: Choice) -> Reply:
        """What the client sees in place of an answer, whatever the effect."""
        stage = self._stage
        match choice.base:
            case "500":
                return stage.refuse(exchange, Refusal(500, 20500, "Internal Server Error"))
            case "503":
                return stage.refuse(exchange, Refusal(503, 20503, "Service Unavailable"))
            case "502" | "504":
                return stage.reply(exchange, gateway_page(int(choice.base)))
            case "html_503":
                return stage.reply(exchange, gateway_page(503))
            case "garbage":
                return stage.reply(exchange, _garbage(200))
            case "redirect":
                target = REDIRECTED + exchange.request.raw_path.lstrip("/")
                moved = Answer(307, b"", "text/plain", f"Location: {target}\r\n")
                return stage.reply(exchange, moved)
            case "hang":
                await self._hang(exchange)
        stage.count(exchange, 0)
        reset(exchange.request.transport)
        return silence()

    async def _hang(self, exchange: Exchange) -> None:
        connection = exchange.request.protocol
        # Always so: `Server` makes no other.
        if isinstance(connection, Connection):
            await connection.wait_gone(self._stage.config.hang_s)

    async def _dribble(self, exchange: Exchange, answer: Answer) -> Reply:
        close = not exchange.request.keep_alive
        head, body = self._stage.render(exchange, answer, close=close)
        if not body:
            await asyncio.sleep(_SLOW_S)
            return Reply(answer.status, head, close=close)
        steps = min(_SLOW_STEPS, len(body))
        sent = head
        for index in range(steps):
            transport = exchange.request.transport
            if transport is None:
                return silence()
            transport.write(sent)
            await asyncio.sleep(_SLOW_S / steps)
            sent = body[index : index + 1] if index < steps - 1 else body[index:]
        return Reply(answer.status, sent, close=close)

    def _truncate(self, exchange: Exchange, answer: Answer) -> Reply:
        head, body = self._stage.render(exchange, answer, close=False)
        # Where there is no body to cut, the head is.
        sent = head + body[: len(body) // 2] if body else head[: len(head) // 2]
        return Reply(answer.status, sent, close=True)


def _garbage(status: int) -> Answer:
    return Answer(status, b"\x00\xff{not JSON, whatever the content type says")


def _with_another_address(answer: Answer) -> Answer:
    record = orjson.loads(answer.body)
    same = record["ip_address"] == _OTHER_ADDRESS
    record["ip_address"] = _ANOTHER_ADDRESS if same else _OTHER_ADDRESS
    return Answer(answer.status, orjson.dumps(record))
