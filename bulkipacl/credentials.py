"""Which secret opens which account.

Credentials come from the environment, or from a TOML file with one table per account, never from
a flag: a flag shows in the process list. Values are read when an account first needs them (a
`cmd:` may ask a password manager), and kept in memory only.

What this does not do: it never sends anything, so a wrong secret is found by the API, not here.
No message, representation or exception chain made here holds a secret.

    Credential          a username and its secret, ready as a Basic header
    CredentialMap       answers `for_account`
    load_credentials    builds the map from environment and file
    _Source             where one account's credential is to be read from
"""

from __future__ import annotations

import base64
import difflib
import os
import re
import shlex
import subprocess
import threading
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bulkipacl.errors import CredentialError

COMMAND_TIMEOUT_S = 30.0
"""A password manager may wait for a fingerprint; a command that hangs must not hang the run."""

FILE_MAX_BYTES = 4 * 1024 * 1024
"""Far above 1,001 accounts' tables (1,000 subaccounts per parent is the API's limit)."""

_ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}")
_KEY_SID = re.compile(r"SK[0-9a-fA-F]{32}")
_PRINTABLE = re.compile(r"[ -~]+")
_LINE = re.compile(r"line (\d+)")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*_[A-Z0-9_]*|[A-Za-z_][A-Za-z0-9_]{0,23}")
_PLAIN_WORD = re.compile(r"[A-Za-z_-]{1,24}")
_TABLE_KEYS = ("auth_token", "api_key", "api_secret", "parent")

_NOWHERE = (
    "set TWILIO_ACCOUNT_SID with TWILIO_AUTH_TOKEN, or with TWILIO_API_KEY and TWILIO_API_SECRET, "
    "or give --credentials FILE"
)


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """A username (account or key sid) and its secret.

    Raises:
        CredentialError: one of them is empty, or holds what would break out of a header.
    """

    username: str
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        _check_header_safe(self.username, "the username")
        _check_header_safe(self.secret, "the secret")
        if ":" in self.username:
            raise CredentialError("the username holds a colon, which HTTP Basic does not allow")

    @property
    def authorization(self) -> str:
        """The value of the Authorization header."""
        pair = f"{self.username}:{self.secret}".encode("ascii")
        return "Basic " + base64.b64encode(pair).decode("ascii")

    def __repr__(self) -> str:
        return f"Credential(username={self.username!r}, secret=...)"


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """Where an account's credential is read from; compared by identity, so that each is read once.

    `where` is what messages call the place. An API key reaches its own account only.
    """

    account: str
    username: Callable[[], str] = field(repr=False)
    secret: Callable[[], str] = field(repr=False)
    where: str
    is_key: bool

    def read(self) -> Credential:
        """Read and check it; what goes wrong names the place, never the value."""
        try:
            username = self.username()
            if self.is_key and not _KEY_SID.fullmatch(username):
                raise CredentialError(
                    "the API key is not a key sid",
                    hint="a key sid is SK and 32 hexadecimal digits; its secret goes into "
                    "api_secret (TWILIO_API_SECRET)",
                )
            return Credential(username, self.secret())
        except CredentialError as exc:
            raise CredentialError(f"{self.where}: {exc.message}", hint=exc.hint) from None


class CredentialMap:
    """Answers which credential an account is reached with. May be used from several threads.

    `default_account` is that of rows that name none, or None where none is obvious; `file` is the
    one that this was made from, or None.
    """

    def __init__(
        self,
        sources: Iterable[_Source],
        *,
        parent: _Source | None = None,
        default_account: str | None = None,
        file: Path | None = None,
    ) -> None:
        self.default_account = default_account
        self._sources = {source.account: source for source in sources}
        self._parent = parent
        self.file = file
        # Two maps: a parent's one command serves a thousand accounts and runs once.
        self._read: dict[_Source, Credential] = {}
        self._credentials: dict[str, Credential] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"CredentialMap(accounts={self.accounts()})"

    def accounts(self) -> list[str]:
        """The accounts that have a credential of their own, in the order given."""
        return list(self._sources)

    def for_account(self, account_sid: str) -> Credential:
        """The credential for an account: read at first use (up to 30 s for a command), then kept.

        Raises:
            CredentialError: there is none, or it cannot be read.
        """
        found = self._credentials.get(account_sid)
        if found is not None:
            return found
        source = self._sources.get(account_sid, self._parent)
        if source is None:
            raise self._no_credential(account_sid)
        with self._lock:
            credential = self._read.get(source)
            if credential is None:
                credential = self._read[source] = source.read()
            self._credentials[account_sid] = credential
        return credential

    def resolve(self, accounts: Iterable[str]) -> None:
        """`for_account` for all of these, so that errors come before any request."""
        for account_sid in accounts:
            self.for_account(account_sid)

    def _no_credential(self, account_sid: str) -> CredentialError:
        if self.file is not None:
            return CredentialError(
                f"account {account_sid} has no table in {self.file}",
                hint=f'add ["{account_sid}"] with auth_token (or api_key and api_secret), or '
                "parent = true to the table of its parent account, if that has an auth_token",
            )
        return CredentialError(
            f"account {account_sid} has no credential: the API key in the environment belongs to "
            f"{self.default_account}, and a parent's API key does not reach its subaccounts",
            hint="set TWILIO_AUTH_TOKEN to the parent's auth token, which reaches them, or give "
            f'--credentials FILE with a table ["{account_sid}"]',
        )


def load_credentials(environ: Mapping[str, str], file: Path | None = None) -> CredentialMap:
    """Build the map; no command is run and no named variable read yet.

    With a file, the file alone counts: a token that happens to be in the environment must not
    reach accounts that the file leaves out.

    Raises:
        CredentialError: nothing is given, or what is given is incomplete or kept unsafely.
    """
    if file is None:
        return _from_environ(environ)
    return _from_file(file, environ)


def _from_environ(environ: Mapping[str, str]) -> CredentialMap:
    account = environ.get("TWILIO_ACCOUNT_SID", "")
    token = environ.get("TWILIO_AUTH_TOKEN", "")
    key = environ.get("TWILIO_API_KEY", "")
    secret = environ.get("TWILIO_API_SECRET", "")
    if not (account or token or key or secret):
        raise CredentialError("no credential was given", hint=_NOWHERE)
    if not account:
        hint = "set it to the sid of the account (AC...) that the credential belongs to"
        raise CredentialError("TWILIO_ACCOUNT_SID is not set", hint=hint)
    if not _ACCOUNT_SID.fullmatch(account):
        hint = "an account sid is AC and 32 hexadecimal digits; a key (SK...) is a TWILIO_API_KEY"
        raise CredentialError("TWILIO_ACCOUNT_SID is not an account sid", hint=hint)
    if bool(key) != bool(secret):
        names = ("TWILIO_API_KEY", "TWILIO_API_SECRET")
        given, missing = names if key else reversed(names)
        raise CredentialError(f"{given} is set without {missing}", hint=f"set {missing} too")
    if not (token or key):
        raise CredentialError("TWILIO_ACCOUNT_SID is set, but no secret for it", hint=_NOWHERE)
    sources, parent = [], None
    if token:
        parent = _Source(account, lambda: account, lambda: token, "TWILIO_AUTH_TOKEN", is_key=False)
        sources.append(parent)
    if key:
        # A key can be revoked alone and is what the vendor advises, so it goes before the token.
        own = _Source(account, lambda: key, lambda: secret, "TWILIO_API_KEY", is_key=True)
        sources.append(own)
    return CredentialMap(sources, parent=parent, default_account=account)


def _from_file(file: Path, environ: Mapping[str, str]) -> CredentialMap:
    document = _parse(file, _read_private(file))
    default = document.pop("default", None)
    sources = []
    parent: _Source | None = None
    for account, table in document.items():
        if not _ACCOUNT_SID.fullmatch(account):
            raise CredentialError(
                f"{file}: {_shown(account)} is not an account sid",
                hint='write one table per account, ["AC..."]; before them, default = "AC..."',
            )
        if not isinstance(table, dict):
            hint = f'write ["{account}"] and under it auth_token = "env:NAME"'
            raise CredentialError(f"{file}: {account} is not a table", hint=hint)
        source = _from_table(account, table, f"{file}: {account}", environ)
        sources.append(source)
        if _is_parent(table, source):
            if parent is not None:
                raise CredentialError(
                    f"{file}: {parent.account} and {account} both say parent = true",
                    hint="keep one, and give the other's subaccounts their own tables",
                )
            parent = source
    if not sources:
        raise CredentialError(f"{file} holds no account", hint=_NOWHERE)
    if default is None:
        obvious = parent or (sources[0] if len(sources) == 1 else None)
        default = obvious.account if obvious else None
    elif not isinstance(default, str) or default not in document:
        raise CredentialError(f"{file}: default names no table", hint="name one of its accounts")
    return CredentialMap(sources, parent=parent, default_account=default, file=file)


def _from_table(
    account: str, table: dict[str, object], where: str, environ: Mapping[str, str]
) -> _Source:
    """One account's table; exactly one kind of credential in it."""
    for key, value in table.items():
        if key not in _TABLE_KEYS:
            close = difflib.get_close_matches(key, _TABLE_KEYS, n=1)
            raise CredentialError(
                f"{where}: {_shown(key)} is unknown",
                hint=f"did you mean {close[0]}?" if close else f"known: {', '.join(_TABLE_KEYS)}",
            )
        if key != "parent" and not isinstance(value, str):
            raise CredentialError(f"{where}: {key} is not a text", hint=f'write {key} = "..."')
    given = {key: str(table[key]) for key in _TABLE_KEYS[:3] if key in table}
    if set(given) == {"auth_token"}:
        secret = _reader(given["auth_token"], "auth_token", environ)
        return _Source(account, lambda: account, secret, where, is_key=False)
    if set(given) == {"api_key", "api_secret"}:
        username = _reader(given["api_key"], "api_key", environ)
        secret = _reader(given["api_secret"], "api_secret", environ)
        return _Source(account, username, secret, where, is_key=True)
    has = " and ".join(given) or "no credential"
    hint = "write either auth_token, or both api_key and api_secret"
    raise CredentialError(f"{where} has {has}", hint=hint)


def _is_parent(table: dict[str, object], source: _Source) -> bool:
    is_parent = table.get("parent", False)
    if not isinstance(is_parent, bool):
        raise CredentialError(f"{source.where}: parent is neither true nor false")
    if is_parent and source.is_key:
        raise CredentialError(
            f"{source.where}: parent = true with an API key, which does not reach subaccounts",
            hint="use the parent's auth_token, or give each subaccount its own table",
        )
    return is_parent


def _read_private(file: Path) -> bytes:
    """The file's bytes, if nobody else can read them; checked on the open file, so no race."""
    try:
        with file.open("rb") as handle:
            if os.name != "nt":
                _check_private(file, os.fstat(handle.fileno()))
            content = handle.read(FILE_MAX_BYTES + 1)
    except OSError as exc:
        raise CredentialError(f"cannot read {file}: {exc.strerror or 'error'}") from exc
    if len(content) > FILE_MAX_BYTES:
        raise CredentialError(f"{file} is larger than {FILE_MAX_BYTES:,} bytes")
    return content


def _check_private(file: Path, status: os.stat_result) -> None:
    quoted = shlex.quote(str(file))
    if status.st_uid not in (0, os.geteuid()):
        hint = f"chown $(id -u) {quoted}"
        raise CredentialError(f"{file} belongs to another user, who can change it", hint=hint)
    if status.st_mode & 0o077:
        raise CredentialError(
            f"{file} can be read or changed by others (mode {status.st_mode & 0o777:03o})",
            hint=f"chmod 600 {quoted}",
        )


def _parse(file: Path, content: bytes) -> dict[str, object]:
    """The TOML document. The parser may quote a line: of its message the number alone is kept."""
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    except tomllib.TOMLDecodeError as exc:
        line = _LINE.search(str(exc))
        why = f"line {line[1]}" if line else "the mistake is at its end"
    # Raised outside of the except blocks, so that the cause is not even its hidden context.
    hint = 'values are quoted: auth_token = "env:NAME"'
    raise CredentialError(f"{file} is not TOML: {why}", hint=hint)


def _reader(value: str, key: str, environ: Mapping[str, str]) -> Callable[[], str]:
    """What reads a value of the file: a literal, `env:NAME` or `cmd:...`."""
    if value.startswith("env:"):
        return partial(_from_variable, value[4:].strip(), key, environ)
    if value.startswith("cmd:"):
        return partial(_from_command, value[4:], key)
    return lambda: value


def _from_variable(name: str, key: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name)
    if not value:
        state = "empty" if value == "" else "not set"
        # Where the secret itself was written after `env:`, it must not be shown.
        shown = name if _VARIABLE.fullmatch(name) else "(not shown)"
        raise CredentialError(
            f"{key} names the environment variable {shown}, which is {state}", hint=f"set {shown}"
        )
    return value


def _from_command(command: str, key: str) -> str:
    """Standard output of a command, run without a shell; neither output nor arguments are shown."""
    try:
        argv = shlex.split(command)
    except ValueError:
        argv = []
    if not argv:
        hint = "is a quotation mark missing?"
        raise CredentialError(f"the command of {key} cannot be taken apart", hint=hint)
    name = Path(argv[0]).name
    try:
        # From the user's own private file; no shell.
        done = subprocess.run(  # noqa: S603
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_TIMEOUT_S
        )
        code, output = done.returncode, done.stdout.decode("utf-8").strip()
    except subprocess.TimeoutExpired:
        why = f"did not end within {COMMAND_TIMEOUT_S:g} s"
    except UnicodeDecodeError:
        why = "printed what is not text"
    except (OSError, ValueError):
        why = "cannot be run: is it installed and executable?"
    else:
        if code == 0 and output:
            return output
        why = f"ended with exit code {code}" if code else "printed nothing"
    raise CredentialError(
        f"the command of {key} ({name}) {why}", hint="run it by hand to see what it says"
    )


def _check_header_safe(value: str, what: str) -> None:
    """Refuse what could break out of a header: line breaks, controls, other alphabets."""
    if not value:
        raise CredentialError(f"{what} is empty")
    if not _PRINTABLE.fullmatch(value):
        raise CredentialError(
            f"{what} holds a line break, a control character or a letter outside ASCII",
            hint="copy it again: it is one line of letters and digits",
        )
    if value != value.strip():
        raise CredentialError(f"{what} begins or ends with a space", hint="remove it")


def _shown(key: str) -> str:
    """A key as people may see it: one that does not look like a word may be a misplaced secret."""
    return repr(key) if _PLAIN_WORD.fullmatch(key) else "a key that is not shown"
