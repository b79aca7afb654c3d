"""From a request to an answer: the API's paths and operations, with no I/O at all.

    Call   one request, taken apart
    Api    performs a Call against the state

A late effect is a Call performed later, so it meets the very rules that an ordinary request
does. Limits, faults and the connection are not its business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_plus

from bulkipacl.sandbox import directory
from bulkipacl.sandbox.auth import Principal
from bulkipacl.sandbox.config import SandboxConfig
from bulkipacl.sandbox.ledger import Origin
from bulkipacl.sandbox.pages import (
    account_json,
    domain_json,
    entry_json,
    list_json,
    mapping_json,
    page,
)
from bulkipacl.sandbox.records import Account, Refusal
from bulkipacl.sandbox.state import Params, State
from bulkipacl.sandbox.wire import Answer, error_answer, json_answer, xml_not_found

ROOT = "/2010-04-01/"
_NO_PARAMS: Mapping[str, str] = {}


@dataclass(slots=True)
class Call:
    """One request: `path` without the query, `tail` the path's parts after the version.

    `tail` is empty where the path lacks `.json`: there the API answers in XML.
    """

    method: str
    path: str
    query: str
    tail: list[str]
    body: bytes
    content_type: str

    @classmethod
    def of(cls, method: str, target: str, body: bytes, content_type: str) -> "Call":
        """Take a request's target apart. Parts stay percent-encoded: no sid needs that."""
        path, _, query = target.partition("?")
        tail = path[len(ROOT) : -len(".json")].split("/") if path.endswith(".json") else []
        return cls(method, path, query, tail, body, content_type)

    @property
    def account_sid(self) -> str | None:
        """The account in the path, if there is one."""
        return self.tail[1] if len(self.tail) > 1 else None

    def pairs(self) -> list[tuple[str, str]]:
        """The query's parameters."""
        return parse_qsl(self.query, keep_blank_values=True) if self.query else []

    def params(self) -> Params:
        """The body's parameters; unknown ones are ignored by all, and so are other formats."""
        kind = self.content_type.partition(";")[0].strip().lower()
        if not self.body or kind not in ("", "application/x-www-form-urlencoded"):
            return _NO_PARAMS
        # By hand: parse_qsl is three times as slow, and this runs per create.
        params = {}
        for pair in self.body.decode("utf-8", "replace").split("&"):
            name, _, value = pair.partition("=")
            params[_plain(name)] = _plain(value)
        return params


class Api:
    """Performs calls. `perform` never raises: a refusal is an answer."""

    def __init__(self, config: SandboxConfig, state: State) -> None:
        self._config = config
        self._state = state

    def refused(self, refusal: Refusal, path: str = "") -> Answer:
        """A refusal as an answer, in the style of body that the switches say."""
        return error_answer(
            self._config.errors, refusal.status, refusal.code, refusal.message, path
        )

    def perform(self, call: Call, principal: Principal, origin: Origin) -> Answer:
        """Do what the call asks, with its effect, and say what came of it."""
        if not call.tail:
            return xml_not_found()
        try:
            return self._route(call, principal, origin)
        except Refusal as refusal:
            return self.refused(refusal, call.path)

    def _route(self, call: Call, principal: Principal, origin: Origin) -> Answer:
        match call.tail:
            case ["Accounts", ac, "SIP", "IpAccessControlLists", al, "IpAddresses"]:
                return self._entries(call, ac, al, origin)
            case ["Accounts", ac, "SIP", "IpAccessControlLists", al, "IpAddresses", sid]:
                return self._entry(call, (ac, al, sid), origin)
            case ["Accounts", ac, "SIP", "IpAccessControlLists"]:
                return self._lists(call, ac, origin)
            case ["Accounts", ac, "SIP", "IpAccessControlLists", al]:
                return self._list(call, ac, al, origin)
            case ["Accounts", ac, "SIP", "Domains", *rest]:
                return self._domains(call, ac, rest, origin)
            case ["Accounts"]:
                return self._accounts(call, principal, origin)
            case ["Accounts", ac]:
                return self._account(call, ac, origin)
        raise Refusal(404, 20404, f"The requested resource {call.path} was not found")

    def _entries(self, call: Call, ac: str, al: str, origin: Origin) -> Answer:
        if call.method == "POST":
            entry = self._state.create_entry(ac, al, call.params(), origin)
            return json_answer(201, entry_json(ac, al, entry))
        _only(call, "GET")
        entries = self._state.acl(ac, al).entries.values()
        return json_answer(
            200,
            page(
                "ip_addresses",
                call.path,
                call.pairs(),
                entries,
                lambda entry: entry_json(ac, al, entry),
            ),
        )

    def _entry(self, call: Call, where: tuple[str, str, str], origin: Origin) -> Answer:
        if call.method == "DELETE":
            self._state.delete_entry(where, origin)
            return Answer(204)
        if call.method == "POST":
            entry = self._state.update_entry(where, call.params(), origin)
        else:
            _only(call, "GET")
            entry = self._state.entry(*where)
        return json_answer(200, entry_json(where[0], where[1], entry))

    def _lists(self, call: Call, ac: str, origin: Origin) -> Answer:
        if call.method == "POST":
            acl = self._state.create_list(ac, call.params(), origin)
            return json_answer(201, list_json(ac, acl))
        _only(call, "GET")
        lists = self._state.account(ac).lists.values()
        return json_answer(
            200,
            page(
                "ip_access_control_lists",
                call.path,
                call.pairs(),
                lists,
                lambda acl: list_json(ac, acl),
            ),
        )

    def _list(self, call: Call, ac: str, al: str, origin: Origin) -> Answer:
        if call.method == "DELETE":
            self._state.delete_list(ac, al, origin)
            return Answer(204)
        if call.method == "POST":
            acl = self._state.rename_list(ac, al, call.params(), origin)
        else:
            _only(call, "GET")
            acl = self._state.acl(ac, al)
        return json_answer(200, list_json(ac, acl))

    def _domains(self, call: Call, ac: str, rest: list[str], origin: Origin) -> Answer:
        state = self._state
        if self._config.hide_domains:
            raise Refusal(403, 20003, "This credential may not see SIP domains")
        match rest:
            case []:
                _only(call, "GET")
                return json_answer(
                    200,
                    page(
                        "domains",
                        call.path,
                        call.pairs(),
                        state.account(ac).domains.values(),
                        lambda domain: domain_json(ac, domain),
                    ),
                )
            case [sd]:
                _only(call, "GET")
                return json_answer(200, domain_json(ac, state.domain(ac, sd)))
            case [sd, "Auth", "Calls", "IpAccessControlListMappings"]:
                return self._mappings(call, ac, sd, origin)
            case [sd, "Auth", "Calls", "IpAccessControlListMappings", al]:
                if call.method == "DELETE":
                    directory.unmap_list(state, ac, sd, al, origin)
                    return Answer(204)
                _only(call, "GET")
                mapping = state.domain(ac, sd).mappings.get(al)
                if mapping is not None:
                    return json_answer(200, mapping_json(ac, state.acl(ac, al), mapping))
        raise Refusal(404, 20404, f"The requested resource {call.path} was not found")

    def _mappings(self, call: Call, ac: str, sd: str, origin: Origin) -> Answer:
        state = self._state
        if call.method == "POST":
            mapping = directory.map_list(state, ac, sd, call.params(), origin)
            return json_answer(201, mapping_json(ac, state.acl(ac, mapping.sid), mapping))
        _only(call, "GET")
        return json_answer(
            200,
            page(
                "contents",
                call.path,
                call.pairs(),
                state.domain(ac, sd).mappings.values(),
                lambda mapping: mapping_json(ac, state.acl(ac, mapping.sid), mapping),
            ),
        )

    def _accounts(self, call: Call, principal: Principal, origin: Origin) -> Answer:
        own = principal.account_sid
        if call.method == "POST":
            account = directory.create_account(self._state, own, call.params(), origin)
            return json_answer(201, account_json(account))
        _only(call, "GET")
        query = call.pairs()
        asked = dict(query)

        def is_shown(account: Account) -> bool:
            return (
                own in (account.sid, account.owner_sid)
                and asked.get("FriendlyName", account.name) == account.name
                and asked.get("Status", account.status) == account.status
            )

        shown = [account for account in self._state.accounts.values() if is_shown(account)]
        return json_answer(200, page("accounts", call.path, query, shown, account_json))

    def _account(self, call: Call, ac: str, origin: Origin) -> Answer:
        if call.method == "POST":
            account = directory.update_account(self._state, ac, call.params(), origin)
        else:
            _only(call, "GET")
            account = self._state.account(ac)
        return json_answer(200, account_json(account))


def _plain(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def _only(call: Call, method: str) -> None:
    if call.method != method:
        raise Refusal(405, 20004, f"Method {call.method} is not allowed here")
