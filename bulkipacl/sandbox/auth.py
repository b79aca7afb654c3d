"""Who may reach which account, by HTTP Basic.

Documented: a parent's sid and auth token reach every subaccount by its path; an API key reaches
its own account alone; a subaccount reaches itself alone. Nothing else is known here, OAuth and
restricted keys least of all.

    Principal   what a credential proved
    Doorkeeper  checks credentials and reach
"""

from base64 import b64encode
from typing import Literal, NamedTuple

from bulkipacl.sandbox.config import SandboxConfig
from bulkipacl.sandbox.records import Account, Refusal, not_found
from bulkipacl.sandbox.state import State


class Principal(NamedTuple):
    """The account that a credential belongs to, and whether it is an API key."""

    account_sid: str
    is_key: bool


class Doorkeeper:
    """Checks credentials against the accounts; accounts made later are known at once."""

    def __init__(self, config: SandboxConfig, state: State) -> None:
        self._config = config
        self._state = state
        self._known: dict[str, Principal] = {}
        self._seen_accounts = 0

    def identify(self, authorization: str) -> Principal:
        """Who the value of an Authorization header is; Refusal 20003 where nobody."""
        scheme, _, pair = authorization.partition(" ")
        if len(self._state.accounts) != self._seen_accounts:
            self._learn()
        principal = self._known.get(pair.strip())
        if principal is None or scheme.lower() != "basic":
            raise self._refused("Authenticate")
        return principal

    def admit(self, principal: Principal, account_sid: str | None, *, is_account: bool) -> None:
        """Let a principal through to a path, or raise Refusal.

        Args:
            principal: who asks.
            account_sid: the path's account; None for the list of accounts.
            is_account: whether the path is an account itself rather than something in it.
        """
        own = self._state.accounts[principal.account_sid]
        if own.status != "active":
            raise self._inactive(own)
        if principal.is_key and is_account:
            # Documented for the list of accounts; assumed for one account.
            raise self._refused("API keys cannot reach accounts")
        if account_sid is None or account_sid == own.sid:
            return
        account = self._state.accounts.get(account_sid)
        is_parent = own.owner_sid == own.sid and not principal.is_key
        if account is None and is_parent:
            raise not_found(f"/Accounts/{account_sid}")
        if account is None or not is_parent or account.owner_sid != own.sid:
            raise self._refused("Authenticate")
        # A parent still reads a suspended account, and wakes it.
        if account.status != "active" and not is_account:
            raise self._inactive(account)

    def _learn(self) -> None:
        for account in self._state.accounts.values():
            for user, password, use in self._credentials(account):
                pair = b64encode(f"{user}:{password}".encode()).decode()
                self._known[pair] = Principal(account.sid, use == "key")
        self._seen_accounts = len(self._state.accounts)

    @staticmethod
    def _credentials(account: Account) -> tuple[tuple[str, str, Literal["token", "key"]], ...]:
        return (
            (account.sid, account.auth_token, "token"),
            (account.key_sid, account.key_secret, "key"),
        )

    def _refused(self, message: str) -> Refusal:
        return Refusal(self._config.auth_status, 20003, message)

    def _inactive(self, account: Account) -> Refusal:
        return Refusal(
            self._config.auth_status,
            self._config.suspended_code,
            f"Account {account.sid} is not active: {account.status}",
        )
