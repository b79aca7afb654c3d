"""One record's ten texts to one `model.Draft`.

Not here: bytes and formats (`readers`), rows against each other (`crosscheck`).

A record takes one of three ways. Many at once that all are plainly right (`Checker.plain`) are
judged column by column, in about 1 us each. Where one of them is not, each goes the quick way by
itself (`Checker.draft`), in about 2 us, which gives up at the first unusual thing. The patient way
(`Checker.explain`) then starts again from the texts and collects every problem. What one way
accepts, the next one accepts with the same Draft: property tests hold the three together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, repeat
from typing import NamedTuple, cast

from bulkipacl.intake.addresses import (
    host_bits,
    is_plain,
    read_block,
    read_plain,
    special_range,
)
from bulkipacl.intake.columns import FIELDS
from bulkipacl.intake.defaults import Defaults, fill_template
from bulkipacl.intake.fields import (
    MAX_NAME_CHARS,
    OPERATIONS,
    SID_PATTERNS,
    bare,
    read_name,
    read_operation,
    read_place,
    read_sid,
)
from bulkipacl.intake.problems import make, warn
from bulkipacl.model import Draft, Operation, Problem, cidr_text, ip_text
from bulkipacl.model import make as make_tuple

Texts = tuple[str, str, str, str, str, str, str, str, str, str]
"""A record's texts in the order of `columns.FIELDS`."""

_CREATE, _UPDATE, _DELETE, _UPSERT = (operation.value for operation in Operation)

_KEPT_TARGETS = 4096
"""Accounts and lists that already passed the check: sorted input needs one, shuffled input of a
large estate some thousands. About 1 kB each."""

_NOWHERE: tuple[int | None, int | None] = (None, None)
_MAKING = frozenset({_CREATE, _UPSERT})

_is_entry_sid = SID_PATTERNS["sid"].fullmatch
_ADDRESS = ("ip_address", "cidr_prefix_length")
_MATCH = ("match_ip_address", "match_cidr_prefix_length")


class _Parts(NamedTuple):
    """A record's values, as far as they could be understood, and what is wrong with them."""

    operation: int
    sid: str
    address: int | None
    prefix: int | None
    name: str
    match_address: int | None
    match_prefix: int | None
    texts: Texts
    problems: list[Problem]

    def gives(self, field: str) -> bool:
        """Whether the record says anything in this field, right or wrong."""
        text = self.texts[FIELDS.index(field)]
        is_filled = text.strip() if field == "friendly_name" else bare(text)
        return bool(is_filled) or problems_of(self.problems, field)

    def blame(self, field: str, reason: str, why: str, suggestion: str) -> None:
        """Adds a problem, quoting what stands in the field."""
        value = self.texts[FIELDS.index(field)] if field else ""
        self.problems.append(make(field, value, reason, why, suggestion))


class Checker:
    """Checks the records of one source, with the defaults that hold for them.

    Attributes:
        defaults: what a record may leave out.
        targets: (account, list, list name) as they stood, to the same three as understood.
    """

    def __init__(self, defaults: Defaults) -> None:
        self.defaults = defaults
        self.targets: dict[tuple[str, ...], tuple[str, str, str]] = {}
        default = defaults.operation
        self._operations: dict[str, int] = {"": default.value} if default else {}
        for word, operation in OPERATIONS.items():
            for text in (word, word.upper(), word.capitalize()):
                self._operations[text] = operation.value
        self._template = defaults.name_template

    def draft(self, line: int, row: int, texts: Texts, raw: bytes) -> Draft:
        """One record's Draft; `row` is its number in the run, for the name template."""
        word, _, _, _, sid, ip, bits, name, match_ip, match_bits = texts
        target = self.targets.get(texts[1:4]) or self._target(texts[1:4])
        operation = self._operations.get(word)
        block = read_block(ip, bits) if ip else None if bits else _NOWHERE
        if target is None or operation is None or block is None or match_ip or match_bits:
            return self.explain(line, row, texts, raw)
        name = name.strip()
        if len(name) > MAX_NAME_CHARS or not name.isprintable():
            return self.explain(line, row, texts, raw)
        address, prefix = block
        problems: tuple[Problem, ...] = ()
        if sid:
            makes = operation in _MAKING
            gives_too_little = not ip and (makes or (operation == _UPDATE and not name))
            if gives_too_little or not _is_entry_sid(sid):
                return self.explain(line, row, texts, raw)
            if makes:  # exports carry their sids, so this is no rare row
                problems = (_ignored_sid("sid", sid, operation),)
                sid, prefix = "", prefix or 32
        elif address is None or (operation == _UPDATE and not name):
            return self.explain(line, row, texts, raw)
        elif prefix is None:
            prefix = 32
        if (
            address is not None
            and not is_plain(address, prefix or 32)
            and operation != _DELETE
            and (sid or operation != _UPDATE)
        ):
            problems += _address_warnings(ip, address, prefix or 32)
        if not name and operation == _CREATE and address is not None:
            name = self._fill(address, prefix or 32, row)
        return make_tuple(
            Draft,
            (
                line, operation, *target, sid or None, address, prefix, name or None,
                None, None, raw, problems,
            ),
        )  # fmt: skip

    def plain(
        self,
        lines: Sequence[int],
        row: int,
        columns: Sequence[Sequence[str]],
        raws: Sequence[bytes],
    ) -> list[Draft] | None:
        """The Drafts of records that are all plainly right; None where one of them may not be.

        Args:
            row: the number of the first record in the run.
            columns: the records' texts, one sequence for each of `columns.FIELDS`.
        """
        words, accounts, lists, list_names, sids, ips, bits, names, *matches = columns
        operations = list(map(self._operations.get, words))
        if any(sids) or any(map(any, matches)) or None in operations:
            return None
        blocks = read_plain(ips, bits)
        targets = self._targets(list(zip(accounts, lists, list_names, strict=True)))
        if blocks is None or targets is None:
            return None
        stripped: list[str | None] = list(map(str.strip, names))
        if max(map(len, names)) > MAX_NAME_CHARS or not "".join(names).isprintable():
            return None
        if "" in stripped:
            if _UPDATE in operations:
                return None
            parts = zip(stripped, operations, *blocks, count(row))
            stripped = [
                name or (self._fill(address, prefix, number) if asks == _CREATE else None)
                for name, asks, address, prefix, number in parts
            ]
        nothing = repeat(None)
        fields = zip(
            lines, operations, *zip(*targets, strict=True), nothing, *blocks, stripped,
            nothing, nothing, raws, repeat(()),
        )  # fmt: skip
        return list(map(make_tuple, repeat(Draft), fields))

    def _targets(self, keys: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]] | None:
        """Account and list of each of these; None where one of them needs explaining."""
        found = list(map(self.targets.get, keys))
        if None in found:
            # Kept here, because a full memory of targets is emptied in between.
            known = {key: self.targets.get(key) or self._target(key) for key in set(keys)}
            found = [known[key] for key in keys]
        return None if None in found else cast("list[tuple[str, str, str]]", found)

    def explain(
        self, line: int, row: int, texts: Texts, raw: bytes, found: tuple[Problem, ...] = ()
    ) -> Draft:
        """The patient way: every problem of the record at once.

        Args:
            found: problems that the reader already has, such as a value of a wrong JSON type;
                the text of such a field is "", and it does not count as absent.
        """
        problems = list(found)
        operation = read_operation(texts[0], problems)
        if not operation and self.defaults.operation and not problems_of(problems, "operation"):
            operation = self.defaults.operation.value
        account, list_sid, list_name = self._read_target(texts, problems)
        sid = read_sid("sid", texts[4], problems)
        address, prefix = read_place(_ADDRESS, (texts[5], texts[6]), problems)
        name = read_name("friendly_name", texts[7], problems)
        match, match_prefix = read_place(_MATCH, (texts[8], texts[9]), problems)
        parts = _Parts(operation, sid, address, prefix, name, match, match_prefix, texts, problems)
        if operation in _MAKING:
            _check_create(parts)
            sid, match, match_prefix = "", None, None
            prefix = self._default_prefix(address, prefix)
            if operation == _CREATE and not name and address is not None:
                name = self._fill(address, prefix or 32, row)
        elif operation == _UPDATE:
            _check_update(parts)
            match_prefix = self._default_prefix(match, match_prefix)
            if not parts.gives("sid") and not parts.gives("match_ip_address"):
                prefix = self._default_prefix(address, prefix)
        elif operation == _DELETE:
            _check_delete(parts)
            match, match_prefix = None, None
            if not parts.gives("sid"):
                prefix = self._default_prefix(address, prefix)
        elif not parts.gives("operation"):
            hint = "give --operation, or fill the column operation"
            parts.blame("operation", "no_operation", "the row does not say what to do", hint)
        return Draft(
            line, operation, account, list_sid, list_name, sid or None, address, prefix,
            name or None, match, match_prefix, raw, tuple(problems),
        )  # fmt: skip

    @staticmethod
    def _default_prefix(address: int | None, prefix: int | None) -> int | None:
        return 32 if prefix is None and address is not None else prefix

    def _fill(self, address: int, prefix: int, row: int) -> str:
        if self._template == "{cidr}":
            return cidr_text(address, prefix)
        return fill_template(self._template, address, prefix, row)

    def _target(self, key: tuple[str, ...]) -> tuple[str, str, str] | None:
        """Account and list of a row, kept for the next one; None where they need explaining."""
        problems: list[Problem] = []
        target = self._read_target(("", *key, "", "", "", "", "", ""), problems)
        if problems:
            return None
        if len(self.targets) >= _KEPT_TARGETS:
            self.targets.clear()
        self.targets[key] = target
        return target

    def _read_target(
        self, texts: Texts | tuple[str, ...], problems: list[Problem]
    ) -> tuple[str, str, str]:
        defaults = self.defaults
        account = read_sid("account_sid", texts[1], problems)
        if not account and not problems_of(problems, "account_sid"):
            account = defaults.account_sid or ""
            if not account:
                why = "the row names no account"
                hint = "give --account, or fill the column account_sid"
                problems.append(make("account_sid", texts[1], "no_account", why, hint))
        list_sid = read_sid("ip_access_control_list_sid", texts[2], problems)
        list_name = read_name("list_name", texts[3], problems)
        if bare(texts[2]) and texts[3].strip():
            why = "the row names its list by sid and by name"
            problems.append(make("list_name", texts[3], "list_twice", why, "keep one of the two"))
        is_given = problems_of(problems, "ip_access_control_list_sid") or problems_of(
            problems, "list_name"
        )
        if list_sid or list_name or is_given:
            return account, list_sid, list_name
        if not (defaults.list_sid or defaults.list_name):
            hint = "give --list, or fill the column list_sid or list_name"
            why = "the row names no list"
            problems.append(make("ip_access_control_list_sid", "", "no_list", why, hint))
        return (
            account,
            defaults.list_sid or "",
            "" if defaults.list_sid else defaults.list_name or "",
        )


def problems_of(problems: list[Problem], field: str) -> bool:
    """Whether something was already found in this field."""
    return any(problem.field == field for problem in problems)


def _check_create(parts: _Parts) -> None:
    """Create and upsert: an address, and no entry named."""
    if not parts.gives("ip_address"):
        word = Operation(parts.operation).word
        parts.blame("ip_address", "no_address", f"{word} needs an address", "fill ip_address")
    for field in ("sid", "match_ip_address"):
        if parts.gives(field) and not problems_of(parts.problems, field):
            value = parts.texts[FIELDS.index(field)]
            parts.problems.append(_ignored_sid(field, value, parts.operation))
    _warn_address(parts)


def _ignored_sid(field: str, value: str, operation: int) -> Problem:
    word = "create" if operation == _CREATE else "upsert"
    why = f"{word} names its entry by address: the API gives each new entry its own sid"
    return warn(field, value, "sid_ignored", why)


def _check_update(parts: _Parts) -> None:
    """Update: exactly one entry named, and something to change."""
    by_sid, by_match = parts.gives("sid"), parts.gives("match_ip_address")
    if by_sid and by_match:
        why = "the row names its entry by sid and by match_ip_address"
        parts.blame("match_ip_address", "entry_twice", why, "keep one of the two")
    elif parts.gives("match_cidr_prefix_length") and not by_match:
        why = "a prefix alone does not say which entry is meant"
        parts.blame("match_ip_address", "no_entry", why, "fill match_ip_address, or use sid")
    elif not (by_sid or by_match or parts.gives("ip_address")):
        hint = "fill sid, match_ip_address or ip_address"
        parts.blame("", "no_entry", "the row does not say which entry to update", hint)
    if by_sid or by_match:
        changes = ("ip_address", "cidr_prefix_length", "friendly_name")
        if not any(parts.gives(field) for field in changes):
            hint = "fill ip_address, cidr_prefix_length or friendly_name"
            parts.blame("", "nothing_to_update", "the row gives no new value", hint)
        _warn_address(parts)
    elif parts.gives("ip_address") and not parts.gives("friendly_name"):
        why = "the address names the entry, and the row gives no new name for it"
        hint = (
            "fill friendly_name; to change the address, name the entry by sid or match_ip_address"
        )
        parts.blame("friendly_name", "nothing_to_update", why, hint)


def _check_delete(parts: _Parts) -> None:
    """Delete: an entry named, by sid or by address."""
    if not (parts.gives("sid") or parts.gives("ip_address")):
        hint = "fill sid or ip_address"
        if parts.gives("match_ip_address"):
            hint = "write the address into ip_address"
        parts.blame("", "no_entry", "the row does not say which entry to delete", hint)
    elif parts.gives("match_ip_address") and not problems_of(parts.problems, "match_ip_address"):
        why = "delete names its entry by sid or ip_address"
        value = parts.texts[FIELDS.index("match_ip_address")]
        parts.problems.append(warn("match_ip_address", value, "match_ignored", why))


def _warn_address(parts: _Parts) -> None:
    """What is unusual about the address that a row would set."""
    if parts.address is None or problems_of(parts.problems, "cidr_prefix_length"):
        return
    text = parts.texts[FIELDS.index("ip_address")]
    parts.problems.extend(_address_warnings(text, parts.address, parts.prefix or 32))


def _address_warnings(text: str, address: int, prefix: int) -> tuple[Problem, ...]:
    """Host bits and special ranges; the API stores both as sent, so they only warn."""
    found: list[Problem] = []
    if host_bits(address, prefix):
        block = cidr_text(address - host_bits(address, prefix), prefix)
        why = f"{ip_text(address)} is not the first address of its /{prefix} block"
        found.append(warn("ip_address", text, "host_bits", why, f"write {block}"))
    special = special_range(address, prefix)
    if special is not None:
        cidr, reason, use = special
        why = f"{cidr} is for {use}: no caller comes from there over the internet"
        hint = "write the address that the calls come from"
        found.append(warn("ip_address", text, reason, why, hint))
    return tuple(found)
