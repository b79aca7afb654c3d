"""What every answer to an API request needs, true or false: latency, effect, headers, counts.

It does not decide which answer a request gets: that is `frontend`'s, and `inject`'s for faults.

    Exchange   one request on its way through
    Stage      works, performs, replies
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from aiohttp import web

from bulkipacl.sandbox.api import Api, Call
from bulkipacl.sandbox.auth import Principal
from bulkipacl.sandbox.config import SandboxConfig
from bulkipacl.sandbox.connection import Pending, Reply
from bulkipacl.sandbox.ledger import Origin, Stats
from bulkipacl.sandbox.limits import Limits
from bulkipacl.sandbox.records import Refusal
from bulkipacl.sandbox.state import State
from bulkipacl.sandbox.wire import Answer, render

# A refused request is never processed, so it is quick (assumed: 20 ms at most).
_REFUSED_LATENCY_S = 0.02


@dataclass(slots=True)
class Exchange:
    """One request on its way through; `charged` is the account that its limits are counted on."""

    request: web.BaseRequest
    request_id: str
    arrived_s: float
    call: Call
    charged: str = ""


class Stage:
    """Works, performs and replies; `now_s` gives the event loop's time in seconds."""

    def __init__(
        self, config: SandboxConfig, state: State, pending: Pending, now_s: Callable[[], float]
    ) -> None:
        self.config = config
        self.now_s = now_s
        self.stats = Stats()
        self.pending = pending
        self.limits = Limits(config.limits, config.limit_steps, config.others)
        self.api = Api(config, state)
        self._random = Random(config.seed)  # noqa: S311 - reproducible on purpose

    def new_request_id(self) -> str:
        """RQ and 32 hex digits, from the seed."""
        return f"RQ{self._random.getrandbits(128):032x}"

    async def work(self) -> None:
        """Pass the time that the API takes."""
        latency_s = self.config.latency.draw_s(self._random)
        if latency_s:
            await self.pending.sleep(latency_s)

    def perform(
        self, exchange: Exchange, principal: Principal, fault: str | None, *, late: bool = False
    ) -> Answer:
        """The effect, now; `fault` and `late` go into the ledger."""
        origin = Origin(exchange.request_id, late, fault)
        return self.api.perform(exchange.call, principal, origin)

    def refuse(self, exchange: Exchange, refusal: Refusal) -> Reply:
        """A refusal as a reply."""
        return self.reply(exchange, self.api.refused(refusal, exchange.call.path))

    async def too_many(self, exchange: Exchange) -> Reply:
        """The reply to a request that is over a limit: 429, soon."""
        latency_s = min(self.config.latency.median_s, _REFUSED_LATENCY_S)
        if latency_s:
            await self.pending.sleep(latency_s)
        answer = self.api.refused(
            Refusal(429, 20429, "Too Many Requests: account over its concurrency"),
            exchange.call.path,
        )
        if self.config.retry_after_s is not None:
            answer.extra = f"Retry-After: {self.config.retry_after_s:g}\r\n"
        return self.reply(exchange, answer)

    def reply(self, exchange: Exchange, answer: Answer, *, close: bool = False) -> Reply:
        """An answer as a reply, counted."""
        close = close or not exchange.request.keep_alive
        head, body = self.render(exchange, answer, close=close)
        return Reply(answer.status, head + body, close=close)

    def render(self, exchange: Exchange, answer: Answer, *, close: bool) -> tuple[bytes, bytes]:
        """Head and body of an answer, counted as answered."""
        method = exchange.call.method
        self.count(exchange, answer.status)
        headers = ""
        if self.config.headers and not answer.from_gateway:
            headers = (
                f"Twilio-Concurrent-Requests: {self.limits.concurrent(exchange.charged)}\r\n"
                f"Twilio-Request-Id: {exchange.request_id}\r\n"
                f"Twilio-Request-Duration: {self.now_s() - exchange.arrived_s:.3f}\r\n"
            )
        return render(answer, headers, close=close, is_head=method == "HEAD")

    def count(self, exchange: Exchange, status: int) -> None:
        """Count a request under its status, 0 where there was no answer."""
        self.stats.requests[exchange.call.method, status] += 1
