"""The sandbox's own paths, outside of the API: what happened, and what shall happen.

They answer on the loopback alone and ask for no credential; tokens are not shown here.

    Admin   GET /sandbox/ledger, state, stats; POST /sandbox/faults, entries, flush
"""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import orjson
from aiohttp import web

from bulkipacl.sandbox.connection import Reply
from bulkipacl.sandbox.faults import Fault
from bulkipacl.sandbox.frontend import Frontend
from bulkipacl.sandbox.ledger import Ledger, Origin
from bulkipacl.sandbox.pages import entry_json
from bulkipacl.sandbox.records import Account, AclList, Refusal
from bulkipacl.sandbox.state import State
from bulkipacl.sandbox.wire import Answer, error_answer, json_answer, render

PREFIX = "/sandbox/"
_PARAMS = {
    "friendly_name": "FriendlyName",
    "ip_address": "IpAddress",
    "cidr_prefix_length": "CidrPrefixLength",
}


class Admin:
    """Answers the sandbox's own paths."""

    def __init__(self, state: State, ledger: Ledger, frontend: Frontend) -> None:
        self._state = state
        self._ledger = ledger
        self._frontend = frontend

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One admin request."""
        answer = await self._answer(request)
        close = not request.keep_alive
        head, body = render(answer, "", close=close, is_head=request.method == "HEAD")
        return Reply(answer.status, head + body, close=close)

    async def _answer(self, request: web.BaseRequest) -> Answer:
        if not ip_address(request.remote or "0.0.0.0").is_loopback:  # noqa: S104 - not bound
            return _refuse(403, "the sandbox's own paths answer on the loopback alone")
        route = f"{request.method} {request.path[len(PREFIX) :]}"
        views: dict[str, Callable[[], Any]] = {
            "GET stats": self.stats,
            "GET state": self.state,
        }
        if route in views:
            return json_answer(200, views[route]())
        try:
            match route:
                case "GET ledger":
                    effects = self._ledger.since(int(request.query.get("since", "0")))
                    return json_answer(200, [effect.as_dict() for effect in effects])
                case "POST faults":
                    return self._set_faults(_object(await request.read()))
                case "POST entries":
                    return self._write(_object(await request.read()))
                case "POST flush":
                    await self._frontend.stage.pending.wait_idle()
                    return json_answer(200, {"effects": len(self._ledger)})
        except (ValueError, TypeError, KeyError) as exc:
            return _refuse(400, f"bad request: {exc}")
        except Refusal as refusal:
            return error_answer("classic", refusal.status, refusal.code, refusal.message)
        return _refuse(404, f"no such path: {route}")

    def stats(self) -> dict[str, Any]:
        """Counts of requests, faults and peaks as JSON-ready values."""
        stage = self._frontend.stage
        stats = stage.stats
        requests: dict[str, dict[str, int]] = {}
        for (method, status), count in sorted(stats.requests.items()):
            requests.setdefault(method, {})[str(status) if status else "none"] = count
        accounts = stage.limits.accounts
        return {
            "total": stats.total,
            "requests": requests,
            "faults": dict(sorted(stats.faults.items())),
            "redirects_followed": stats.redirects_followed,
            "late_pending": stage.pending.late,
            "late_refused": stats.late_refused,
            "effects": len(self._ledger),
            "in_flight": {sid: account.in_flight for sid, account in accounts.items()},
            "peak_in_flight": {sid: account.peak_in_flight for sid, account in accounts.items()},
            "peak_admitted": {sid: account.peak_admitted for sid, account in accounts.items()},
        }

    def state(self) -> dict[str, Any]:
        """All accounts with their lists, entries and domains as JSON-ready values."""
        return {"accounts": [_account(account) for account in self._state.accounts.values()]}

    def _set_faults(self, asked: dict[str, Any]) -> Answer:
        self._frontend.faults.replace(Fault(kind, float(p)) for kind, p in asked.items())
        return json_answer(200, asked)

    def _write(self, asked: dict[str, Any]) -> Answer:
        """Another client's write, under the same rules but no limit or fault."""
        account_sid, list_sid = str(asked["account"]), str(asked["list"])
        params = {
            name: str(asked[field])
            for field, name in _PARAMS.items()
            if asked.get(field) is not None
        }
        origin = Origin(self._frontend.stage.new_request_id(), by="other")
        match asked["op"]:
            case "create":
                entry = self._state.create_entry(account_sid, list_sid, params, origin)
                return json_answer(201, entry_json(account_sid, list_sid, entry))
            case "update":
                where = (account_sid, list_sid, str(asked["sid"]))
                entry = self._state.update_entry(where, params, origin)
                return json_answer(200, entry_json(account_sid, list_sid, entry))
            case "delete":
                self._state.delete_entry((account_sid, list_sid, str(asked["sid"])), origin)
                return Answer(204)
        raise ValueError(f"op {asked['op']!r} is not create, update or delete")


def _refuse(status: int, message: str) -> Answer:
    return json_answer(status, {"status": status, "message": message})


def _object(body: bytes) -> dict[str, Any]:
    value = orjson.loads(body or b"{}")
    if not isinstance(value, dict):
        raise ValueError("the body is not a JSON object")
    return value


def _account(account: Account) -> dict[str, Any]:
    return {
        "sid": account.sid,
        "owner_account_sid": account.owner_sid,
        "friendly_name": account.name,
        "status": account.status,
        "lists": [_list(acl) for acl in account.lists.values()],
        "domains": [
            {"sid": domain.sid, "friendly_name": domain.name, "lists": list(domain.mappings)}
            for domain in account.domains.values()
        ],
    }


def _list(acl: AclList) -> dict[str, Any]:
    return {
        "sid": acl.sid,
        "friendly_name": acl.name,
        "entries": [
            {
                "sid": entry.sid,
                "ip_address": entry.ip,
                "cidr_prefix_length": entry.prefix,
                "friendly_name": entry.name,
            }
            for entry in acl.entries.values()
        ],
    }
