"""What a record may leave out, as the command line says it.

Defaults         the value that `open_source` takes
parse_defaults   from the texts of --operation, --account, --list and --name-template
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bulkipacl.errors import UsageError
from bulkipacl.intake.fields import read_name, read_operation, read_sid
from bulkipacl.model import Operation, Problem, cidr_text, ip_text

_LIKE_A_SID = re.compile(r"[A-Za-z]{2}[0-9a-fA-F]{32}|AL[0-9A-Za-z]*[0-9][0-9A-Za-z]*")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_PLACEHOLDERS = ("{cidr}", "{ip}", "{prefix}", "{row}")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for a record that does not say it itself.

    Attributes:
        list_sid, list_name: at most one of them; a row's own list, of either kind, wins.
        name_template: the friendly_name of a create that has none. {cidr}, {ip}, {prefix} and
            {row} (the row's number in the run) are replaced; nothing else is interpreted.
    """

    operation: Operation | None = None
    account_sid: str | None = None
    list_sid: str | None = None
    list_name: str | None = None
    name_template: str = "{cidr}"


def fill_template(template: str, address: int, prefix: int, row: int) -> str:
    """The name that a template gives; plain replacement, so no format string can reach in."""
    if template == "{cidr}":
        return cidr_text(address, prefix)
    return (
        template.replace("{cidr}", cidr_text(address, prefix))
        .replace("{ip}", ip_text(address))
        .replace("{prefix}", str(prefix))
        .replace("{row}", str(row))
    )


def parse_defaults(
    operation: str | None = None,
    account: str | None = None,
    list_: str | None = None,
    name_template: str | None = None,
) -> Defaults:
    """Defaults from command-line texts; `list_` is a sid if it looks like one, else a name.

    Raises:
        UsageError: a text is not what its flag takes; the hint says what would be.
    """
    problems: list[Problem] = []
    number = 0
    if operation is not None:
        number = read_operation(operation, problems)
        _refuse("--operation", problems)
        if not number:
            raise UsageError("--operation is empty", hint="write create, update, delete or upsert")
    account_sid = list_sid = list_name = None
    if account is not None:
        account_sid = read_sid("account_sid", account, problems)
        _refuse("--account", problems, is_empty=not account_sid)
    if list_ is not None:
        # What is shaped like a sid is held to be one, so that a mistyped one is not looked up.
        if _LIKE_A_SID.fullmatch(list_.strip()):
            list_sid = read_sid("ip_access_control_list_sid", list_, problems)
        else:
            list_name = read_name("list_name", list_, problems)
        _refuse("--list", problems, is_empty=not (list_sid or list_name))
    template = "{cidr}" if name_template is None else _checked_template(name_template)
    return Defaults(
        Operation(number) if number else None,
        account_sid or None,
        list_sid or None,
        list_name or None,
        template,
    )


def _refuse(flag: str, problems: list[Problem], *, is_empty: bool = False) -> None:
    for problem in problems:
        text = f"{flag} {problem.value!a}: {problem.why}"
        raise UsageError(text, hint=problem.suggestion or None)
    if is_empty:
        raise UsageError(f"{flag} is empty")


def _checked_template(template: str) -> str:
    """The template, once the longest name that it can give is a valid one."""
    unknown = [found for found in _PLACEHOLDER.findall(template) if found not in _PLACEHOLDERS]
    if unknown:
        raise UsageError(
            f"--name-template: {unknown[0]!a} is not a placeholder",
            hint="the placeholders are " + " ".join(_PLACEHOLDERS),
        )
    problems: list[Problem] = []
    longest = fill_template(template, 0xFFFFFFFF, 32, 10**12)
    name = read_name("friendly_name", longest, problems)
    _refuse("--name-template", problems, is_empty=not name)
    return template.strip()
