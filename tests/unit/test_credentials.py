"""Every way in which a credential is given, or is not; and that no secret ever shows."""

from __future__ import annotations

import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from bulkipacl import credentials as module
from bulkipacl.credentials import Credential, CredentialMap, load_credentials
from bulkipacl.errors import CredentialError

ONE = "AC" + "1" * 32
TWO = "AC" + "2" * 32
PARENT = "AC" + "F" * 32
KEY = "SK" + "a" * 32
HUSH = "hush-hush-0123456789"
"""The secret of all tests: it must be in no message."""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a credentials file that nobody else can read."""

    def write_text(text: str) -> Path:
        file = tmp_path / "creds.toml"
        file.write_bytes(text.encode("latin-1"))
        file.chmod(0o600)
        return file

    return write_text


def refusal(
    environ: dict[str, str], file: Path | None = None, account: str | None = None
) -> CredentialError:
    """The error of loading, or of asking for an account; checked for secrets in all its parts."""
    with pytest.raises(CredentialError) as caught:
        load_credentials(environ, file).for_account(account or "AC0")
    error: BaseException | None = caught.value
    shown = "".join(traceback.format_exception(caught.value))
    shown += f"{caught.value!r} {caught.value.message} {caught.value.hint}"
    while error is not None:
        # Hidden contexts count as well: a debugger or a crash report shows them.
        shown += repr(error) + repr(vars(error)) + repr(error.args)
        error = error.__cause__ or error.__context__
    assert HUSH not in shown
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2
    return caught.value


def test_a_credential_shows_its_username_only() -> None:
    """Neither text nor representation holds the secret; the header does."""
    credential = Credential(ONE, HUSH)
    assert HUSH not in f"{credential} {credential!r} {[credential]}"
    assert ONE in repr(credential)
    assert Credential("a", "b").authorization == "Basic YTpi"


UNSAFE = {
    "empty": ("", "the secret is empty"),
    "line break": (HUSH + "\r\nX: y", "line break"),
    "last line break": (HUSH + "\n", "line break"),
    "nul": (HUSH + "\0", "control character"),
    "tab": (HUSH + "\t", "control character"),
    "another alphabet": (HUSH + "ж", "outside ASCII"),
    "accent": (HUSH + "é", "outside ASCII"),
    "space at the end": (HUSH + " ", "begins or ends with a space"),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_a_secret_that_would_break_a_header(name: str) -> None:
    """It is refused before it can be sent, wherever it came from."""
    secret, why = UNSAFE[name]
    with pytest.raises(CredentialError, match=why) as caught:
        Credential(ONE, secret)
    assert HUSH not in str(caught.value)
    if secret:
        error = refusal({"TWILIO_ACCOUNT_SID": ONE, "TWILIO_AUTH_TOKEN": secret}, None, ONE)
        assert error.message.startswith("TWILIO_AUTH_TOKEN: ")
    with pytest.raises(CredentialError, match="colon"):
        Credential("a:b", HUSH)


def test_a_token_reaches_its_account_and_all_others() -> None:
    """A parent's token is good for its subaccounts (vendor documentation)."""
    found = load_credentials({"TWILIO_ACCOUNT_SID": PARENT, "TWILIO_AUTH_TOKEN": HUSH})
    assert found.for_account(PARENT) == found.for_account(ONE) == Credential(PARENT, HUSH)
    assert found.default_account == PARENT
    assert found.accounts() == [PARENT]
    assert HUSH not in repr(found)
    assert HUSH not in repr(vars(found))


def test_a_key_reaches_its_own_account_only() -> None:
    """For another account the error says why, and what to do."""
    environ = {"TWILIO_ACCOUNT_SID": PARENT, "TWILIO_API_KEY": KEY, "TWILIO_API_SECRET": HUSH}
    assert load_credentials(environ).for_account(PARENT) == Credential(KEY, HUSH)
    error = refusal(environ, None, ONE)
    assert f"account {ONE} has no credential" in error.message
    assert "does not reach its subaccounts" in error.message
    assert "TWILIO_AUTH_TOKEN" in (error.hint or "")
    assert f'["{ONE}"]' in (error.hint or "")


def test_key_and_token_together() -> None:
    """The key for its own account, the token for the others."""
    found = load_credentials(
        {
            "TWILIO_ACCOUNT_SID": PARENT,
            "TWILIO_AUTH_TOKEN": HUSH,
            "TWILIO_API_KEY": KEY,
            "TWILIO_API_SECRET": "other",
        }
    )
    assert found.for_account(PARENT) == Credential(KEY, "other")
    assert found.for_account(ONE) == Credential(PARENT, HUSH)
    assert found.for_account(PARENT) == Credential(KEY, "other")


ENVIRONS: dict[str, tuple[dict[str, str], str, str]] = {
    "nothing": ({}, "no credential was given", "--credentials FILE"),
    "nothing but blanks": ({"TWILIO_AUTH_TOKEN": ""}, "no credential", "TWILIO_ACCOUNT_SID"),
    "token alone": ({"TWILIO_AUTH_TOKEN": HUSH}, "TWILIO_ACCOUNT_SID is not set", "AC..."),
    "sid alone": ({"TWILIO_ACCOUNT_SID": ONE}, "no secret for it", "TWILIO_AUTH_TOKEN"),
    "key without secret": (
        {"TWILIO_ACCOUNT_SID": ONE, "TWILIO_API_KEY": KEY},
        "TWILIO_API_KEY is set without TWILIO_API_SECRET",
        "set TWILIO_API_SECRET",
    ),
    "secret without key": (
        {"TWILIO_ACCOUNT_SID": ONE, "TWILIO_API_SECRET": HUSH},
        "TWILIO_API_SECRET is set without TWILIO_API_KEY",
        "set TWILIO_API_KEY",
    ),
    "key as account": (
        {"TWILIO_ACCOUNT_SID": KEY, "TWILIO_AUTH_TOKEN": HUSH},
        "not an account sid",
        "TWILIO_API_KEY",
    ),
    "secret as account": (
        {"TWILIO_ACCOUNT_SID": HUSH, "TWILIO_AUTH_TOKEN": ONE},
        "not an account sid",
        "AC and 32",
    ),
    "secret as key": (
        {"TWILIO_ACCOUNT_SID": "AC0".ljust(34, "0"), "TWILIO_API_KEY": HUSH}
        | {"TWILIO_API_SECRET": KEY},
        "not a key sid",
        "SK and 32",
    ),
}


@pytest.mark.parametrize("name", ENVIRONS)
def test_an_environment_that_lacks_something(name: str) -> None:
    """Each says what is missing and how to give it."""
    environ, why, hint = ENVIRONS[name]
    error = refusal(environ, None, "AC0".ljust(34, "0"))
    assert why in error.message
    assert hint in (error.hint or "")


def test_a_file_for_many_accounts(write: Write) -> None:
    """Literals, variables, commands, keys, and a parent for the rest."""
    command = f"{sys.executable} -c 'print(chr(99) + chr(111))'"
    file = write(
        f"""
        default = "{TWO}"
        ["{ONE}"]
        auth_token = "env:TOKEN_OF_ONE"
        ["{TWO}"]
        api_key = "env:KEY_OF_TWO"
        api_secret = '''cmd:{command}'''
        ["{PARENT}"]
        auth_token = "{HUSH}"
        parent = true
        """
    )
    found = load_credentials({"TOKEN_OF_ONE": "one", "KEY_OF_TWO": KEY}, file)
    assert found.accounts() == [ONE, TWO, PARENT]
    assert found.default_account == TWO
    found.resolve([ONE, TWO, PARENT])
    assert found.for_account(ONE) == Credential(ONE, "one")
    assert found.for_account(TWO) == Credential(KEY, "co")
    assert found.for_account("AC" + "3" * 32) == Credential(PARENT, HUSH)
    assert HUSH not in repr(found) + repr(vars(found))


DEFAULTS = {
    "the only one": (f'["{ONE}"]\nauth_token="x"', ONE),
    "the parent": (
        f'["{ONE}"]\nauth_token="x"\n["{TWO}"]\nauth_token="y"\nparent=true',
        TWO,
    ),
    "none of two": (f'["{ONE}"]\nauth_token="x"\n["{TWO}"]\nauth_token="y"', None),
    "with a byte order mark": (f'\xef\xbb\xbf["{ONE}"]\nauth_token="x"', ONE),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_account_of_rows_that_name_none(name: str, write: Write) -> None:
    """Only where there is an obvious one."""
    text, expected = DEFAULTS[name]
    assert load_credentials({}, write(text)).default_account == expected


def test_a_file_alone_counts(write: Write) -> None:
    """A token in the environment reaches no account that the file leaves out."""
    file = write(f'["{ONE}"]\nauth_token = "x"')
    error = refusal({"TWILIO_ACCOUNT_SID": PARENT, "TWILIO_AUTH_TOKEN": HUSH}, file, TWO)
    assert error.message == f"account {TWO} has no table in {file}"
    assert "parent = true" in (error.hint or "")


def test_a_command_runs_when_needed_and_once(write: Write, tmp_path: Path) -> None:
    """Not at loading, not for others, and a single time for a parent of many."""
    log = tmp_path / "log"
    code = f'open("{log}", "a").write("x"); print("token")'
    file = write(
        f"""
        ["{ONE}"]
        auth_token = "cmd:no-such-command-here"
        ["{PARENT}"]
        auth_token = '''cmd:{sys.executable} -c '{code}' '''
        parent = true
        """
    )
    found = load_credentials({}, file)
    assert not log.exists()
    for account in (TWO, "AC" + "3" * 32, PARENT, TWO):
        assert found.for_account(account).secret == "token"
    assert log.read_text() == "x"
    with pytest.raises(CredentialError, match="no-such-command-here"):
        found.resolve([TWO, ONE])


PYTHON = f"cmd:{sys.executable} -c "
TABLES = {
    "not TOML": (f'["{ONE}"]\nauth_token = {HUSH}', "is not TOML: line 2", "quoted"),
    "not TOML, in the text": (f'["{ONE}"]\nauth_token = "{HUSH}\n', "is not TOML: line 2", ""),
    "given twice": (f'["{ONE}"]\nparent=true\nparent=false\nauth_token="{HUSH}"', "line 3", ""),
    "unfinished": (f'["{ONE}"]\na = """{HUSH}', "is not TOML", ""),
    "not UTF-8": (f'["{ONE}"]\nauth_token = "{HUSH}\xff"', "it is not UTF-8", ""),
    "empty": ("", "holds no account", "TWILIO_ACCOUNT_SID"),
    "top-level secret": (f'auth_token = "{HUSH}"', "'auth_token' is not an account sid", '["AC'),
    "secret as a key": (f'{HUSH} = "x"', "not shown is not an account sid", ""),
    "sid of the wrong length": (f'["{ONE}1"]\nauth_token="{HUSH}"', "not an account sid", ""),
    "no table": (f'{ONE} = "{HUSH}"', f"{ONE} is not a table", "env:NAME"),
    "unknown key": (
        f'["{ONE}"]\nauth_tokn = "{HUSH}"',
        "'auth_tokn' is unknown",
        "did you mean auth_token?",
    ),
    "far from any key": (f'["{ONE}"]\nzzz = "{HUSH}"', "'zzz' is unknown", "known: auth_token"),
    "number": (f'["{ONE}"]\nauth_token = 12345', "auth_token is not a text", 'auth_token = "..."'),
    "nothing in it": (f'["{ONE}"]', "has no credential", "either auth_token, or both"),
    "half a key": (f'["{ONE}"]\napi_key = "{KEY}"', "has api_key", "both api_key and api_secret"),
    "both kinds": (
        f'["{ONE}"]\nauth_token="{HUSH}"\napi_key="{KEY}"\napi_secret="{HUSH}"',
        "has auth_token and api_key and api_secret",
        "either",
    ),
    "parent with a key": (
        f'["{ONE}"]\nparent=true\napi_key="{KEY}"\napi_secret="{HUSH}"',
        "does not reach subaccounts",
        "auth_token",
    ),
    "parent as text": (f'["{ONE}"]\nparent="{HUSH}"\nauth_token="x"', "neither true nor false", ""),
    "two parents": (
        f'["{ONE}"]\nparent=true\nauth_token="x"\n["{TWO}"]\nparent=true\nauth_token="y"',
        "both say parent = true",
        "their own tables",
    ),
    "default without a table": (
        f'default="{TWO}"\n["{ONE}"]\nauth_token="x"',
        "default names no table",
        "one of its accounts",
    ),
    "default is a list": (f'default=["{HUSH}"]\n["{ONE}"]\nauth_token="x"', "names no table", ""),
    "variable not set": (
        f'["{ONE}"]\nauth_token = "env:NOT_THERE"',
        "environment variable NOT_THERE, which is not set",
        "set NOT_THERE",
    ),
    "secret as a variable": (
        f'["{ONE}"]\nauth_token = "env:{HUSH}"',
        "environment variable (not shown), which is not set",
        "",
    ),
    "variable empty": (f'["{ONE}"]\nauth_token = "env:BLANK"', "which is empty", "set BLANK"),
    "variable with a line break": (f'["{ONE}"]\nauth_token = "env:BROKEN"', "line break", "copy"),
    "literal is empty": (f'["{ONE}"]\nauth_token = ""', "the secret is empty", ""),
    "literal with a line break": (f'["{ONE}"]\nauth_token = "{HUSH}\\n"', "line break", ""),
    "key that is none": (
        f'["{ONE}"]\napi_key="{HUSH}"\napi_secret="{KEY}"',
        "not a key sid",
        "api_secret",
    ),
    "command that is not there": (
        f'["{ONE}"]\nauth_token = "cmd:/no/such/tool {HUSH}"',
        "(tool) cannot be run",
        "by hand",
    ),
    "command with an open quotation": (
        f'["{ONE}"]\nauth_token = "cmd:tool \'{HUSH}"',
        "cannot be taken apart",
        "quotation mark",
    ),
    "no command": (f'["{ONE}"]\nauth_token = "cmd: "', "cannot be taken apart", ""),
    "command that fails": (
        f"[\"{ONE}\"]\nauth_token = '''{PYTHON}\"print('{HUSH}'); exit(3)\"'''",
        "ended with exit code 3",
        "by hand",
    ),
    "command that prints nothing": (
        f"[\"{ONE}\"]\nauth_token = '''{PYTHON}\"pass\"'''",
        "printed nothing",
        "by hand",
    ),
    "command that prints two lines": (
        f"[\"{ONE}\"]\nauth_token = '''{PYTHON}\"print('{HUSH}'); print(1)\"'''",
        "line break",
        "copy",
    ),
    "command that prints bytes": (
        f"[\"{ONE}\"]\nauth_token = '''{PYTHON}\"import os; os.write(1, b'{HUSH}\\\\xff')\"'''",
        "not text",
        "by hand",
    ),
    "command that hangs": (
        f"[\"{ONE}\"]\nauth_token = '''{PYTHON}"
        f"\"import time; print('{HUSH}', flush=True); time.sleep(9)\"'''",
        "did not end within 0.3 s",
        "by hand",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_file_with_a_mistake(name: str, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, account and field are named; nothing that stands there is."""
    text, why, hint = TABLES[name]
    if name == "command that hangs":
        monkeypatch.setattr(module, "COMMAND_TIMEOUT_S", 0.3)
    file = write(text)
    error = refusal({"BLANK": "", "BROKEN": HUSH + "\n"}, file, ONE)
    assert why in error.message
    assert str(file) in error.message
    assert hint in (error.hint or "")


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o610, 0o666])
def test_a_file_that_others_can_read(mode: int, write: Write) -> None:
    """It is refused with the command that mends it."""
    file = write(f'["{ONE}"]\nauth_token = "{HUSH}"')
    file.chmod(mode)
    error = refusal({}, file)
    assert f"(mode {mode:03o})" in error.message
    assert error.hint == f"chmod 600 {file}"
    file.chmod(0o400)
    assert isinstance(load_credentials({}, file), CredentialMap)


def test_a_file_of_another_user(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner could swap the credential."""
    file = write(f'["{ONE}"]\nauth_token = "{HUSH}"')
    monkeypatch.setattr("os.geteuid", lambda: 77)
    if file.stat().st_uid == 0:
        assert load_credentials({}, file).accounts() == [ONE]
        shutil.chown(file, 78, 78)
    error = refusal({}, file)
    assert "belongs to another user" in error.message
    assert (error.hint or "").startswith("chown ")


def test_a_file_that_cannot_be_read(tmp_path: Path, write: Write) -> None:
    """Missing, a folder, or far too large."""
    assert "No such file" in refusal({}, tmp_path / "none.toml").message
    assert "Is a directory" in refusal({}, tmp_path).message
    file = write("#" * (module.FILE_MAX_BYTES + 1))
    assert "larger than" in refusal({}, file).message
