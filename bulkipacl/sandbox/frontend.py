"""The API's side of the socket: credentials, limits and faults decide how a request goes on.

One handler for every path, since a router's regular expressions per request would cost more than
the request. What a path means is in `api`, what a fault does in `inject`.

    Frontend   the handler
"""

from collections.abc import Callable

from aiohttp import hdrs, web

from bulkipacl.sandbox.api import ROOT, Call
from bulkipacl.sandbox.auth import Doorkeeper, Principal
from bulkipacl.sandbox.config import SandboxConfig
from bulkipacl.sandbox.connection import Pending, silence
from bulkipacl.sandbox.faults import FaultPlan
from bulkipacl.sandbox.inject import REDIRECTED, Injector
from bulkipacl.sandbox.records import Refusal
from bulkipacl.sandbox.stage import Exchange, Stage
from bulkipacl.sandbox.state import State


class Frontend:
    """Answers API requests. Attributes are shared with the sandbox that made it."""

    def __init__(
        self, config: SandboxConfig, state: State, pending: Pending, now_s: Callable[[], float]
    ) -> None:
        self.stage = Stage(config, state, pending, now_s)
        self.faults = FaultPlan(
            config.faults, seed=config.seed, methods=config.fault_methods, late_s=config.late_s
        )
        self._doorkeeper = Doorkeeper(config, state)
        self._injector = Injector(self.stage)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request, from its first byte to the reply."""
        arrived_s = self.stage.now_s()
        try:
            body = await _body(request)
        except (ConnectionError, web.RequestPayloadError):
            return silence()
        content_type = request.headers.get(hdrs.CONTENT_TYPE, "") if body else ""
        call = Call.of(request.method, request.raw_path, body, content_type)
        exchange = Exchange(request, self.stage.new_request_id(), arrived_s, call)
        if not call.path.startswith(ROOT):
            if call.path.startswith(REDIRECTED):
                self.stage.stats.redirects_followed += 1
            return self.stage.refuse(exchange, Refusal(404, 20404, "No such path"))
        try:
            principal = self._authenticate(exchange)
        except Refusal as refusal:
            return self.stage.refuse(exchange, refusal)
        admitted = self.stage.limits.enter(exchange.charged, arrived_s)
        try:
            if not admitted:
                return await self.stage.too_many(exchange)
            return await self._serve(exchange, principal)
        finally:
            self.stage.limits.leave(exchange.charged, admitted=admitted)

    def _authenticate(self, exchange: Exchange) -> Principal:
        call = exchange.call
        exchange.charged = call.account_sid or ""
        authorization = exchange.request.headers.get(hdrs.AUTHORIZATION, "")
        principal = self._doorkeeper.identify(authorization)
        if call.account_sid is None or self.stage.config.charge == "credential":
            exchange.charged = principal.account_sid
        if call.tail:
            self._doorkeeper.admit(principal, call.account_sid, is_account=len(call.tail) <= 2)
        return principal

    async def _serve(self, exchange: Exchange, principal: Principal) -> web.StreamResponse:
        call = exchange.call
        choice = self.faults.choose(call.method, exchange.request.raw_path, call.body)
        if choice is not None:
            return await self._injector.act(exchange, principal, choice)
        if self.stage.config.latency.median_s:
            await self.stage.work()
        return self.stage.reply(exchange, self.stage.perform(exchange, principal, None))


async def _body(request: web.BaseRequest) -> bytes:
    if not request.body_exists:
        return b""
    content = request.content
    # Most bodies arrive with their head, and then there is nothing to wait for.
    return content.read_nowait() if content.is_eof() else await request.read()
