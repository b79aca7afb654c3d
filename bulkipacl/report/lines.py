"""One row with its outcome as the values of one report line.

    CsvLines    cells for people: texts, neutralised against spreadsheets
    JsonLines   the same keys, typed and unchanged

Both are made once per report from its `Layout` and called once per row: about 3 us for
cells, 4 us for JSON, and 1.5 us more where the input has other columns.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from bulkipacl.model import Operation, Outcome, RowRecord, ip_text
from bulkipacl.report.cells import LOOK_CLOSER, Stamps, neutralise
from bulkipacl.report.columns import REPORT_COLUMNS, SURPLUS_COLUMN, Layout, SourceLayout
from bulkipacl.report.records import json_text, read_record
from bulkipacl.report.words import STANDARD_INPUT

_OPERATION_WORDS = {0: "", **{int(operation): operation.word for operation in Operation}}


class CsvLines:
    """Cells of report lines."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._stamp = Stamps().text
        # A sign alone is no formula, and it is what standard input is called everywhere.
        self._names = {
            i: s.source.name if s.source.name == STANDARD_INPUT else neutralise(s.source.name)
            for i, s in layout.sources.items()
        }

    def cells(self, record: RowRecord) -> list[str]:
        """The cells of one row, as many as the layout's header has columns."""
        (source_id, line, operation, account_sid, list_sid, _, sid, address, prefix, name,
         _, _, raw, result) = record  # fmt: skip
        (number, outcome, evidence, reason, status, code, message, more_info, attempts,
         request_id, finished_at, duration_ms, suggestion,
         end_sid, end_address, end_prefix, end_name) = result  # fmt: skip
        # The entry as the row ended with it where that is known, else as the row names it.
        sid = sid if end_sid is None else end_sid
        address = address if end_address is None else end_address
        prefix = prefix if end_prefix is None else end_prefix
        name = name if end_name is None else end_name
        cells = [
            str(number),
            self._names[source_id],
            str(line),
            _OPERATION_WORDS[operation],
            account_sid,
            list_sid,
            _for_people(sid),
            "" if address is None else ip_text(address),
            "" if prefix is None else str(prefix),
            _for_people(name),
            outcome,
            evidence or "",
            reason and neutralise(reason),
            str(status) if status else "",
            str(code) if code else "",
            message and neutralise(message),
            more_info and neutralise(more_info),
            str(attempts),
            request_id and neutralise(request_id),
            self._stamp(finished_at),
            f"{duration_ms:.1f}",
            suggestion and neutralise(suggestion),
        ]
        source = self._layout.sources[source_id]
        is_understood = outcome is not Outcome.INVALID
        if source.others or not is_understood or self._layout.has_surplus:
            self._add_input(cells, source, raw, is_understood=is_understood)
        return cells

    def _add_input(
        self, cells: list[str], source: SourceLayout, raw: bytes, *, is_understood: bool
    ) -> None:
        """Add what only the kept record knows: other columns, and what was not understood."""
        values, surplus = read_record(raw, source.source)
        if not is_understood:
            for place, index in source.given:
                cells[place] = _for_people(values[index]) or cells[place]
        cells += [_for_people(values[index]) for index in source.others]
        if self._layout.has_surplus:
            cells.append(neutralise(json_text(surplus)) if surplus else "")


class JsonLines:
    """Report lines as JSON objects."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._stamp = Stamps().text
        self._others = layout.others

    def encode(self, record: RowRecord) -> bytes:
        """One line of compact JSON, without its line end.

        What UTF-8 cannot hold, a byte that was not UTF-8 in the input, is an escape: `\\udcff`.
        """
        values = self.values(record)
        try:
            return orjson.dumps(values)
        except TypeError:
            return json.dumps(values, separators=(",", ":")).encode()

    def values(self, record: RowRecord) -> dict[str, Any]:
        """The values of one row by column, None where there is nothing to say.

        A record with surplus cells has one key more for them, `SURPLUS_COLUMN`.
        """
        (source_id, line, operation, account_sid, list_sid, _, sid, address, prefix, name,
         _, _, raw, result) = record  # fmt: skip
        (number, outcome, evidence, reason, status, code, message, more_info, attempts,
         request_id, finished_at, duration_ms, suggestion,
         end_sid, end_address, end_prefix, end_name) = result  # fmt: skip
        address = address if end_address is None else end_address
        source = self._layout.sources[source_id]
        values: dict[str, Any] = {
            "row": number,
            "source": source.source.name,
            "line": line,
            "operation": _OPERATION_WORDS[operation] or None,
            "account_sid": account_sid or None,
            "list_sid": list_sid or None,
            "sid": sid if end_sid is None else end_sid,
            "ip_address": None if address is None else ip_text(address),
            "cidr_prefix_length": prefix if end_prefix is None else end_prefix,
            "friendly_name": name if end_name is None else end_name,
            "outcome": outcome,
            "evidence": evidence,
            "reason": reason or None,
            "http_status": status or None,
            "error_code": code or None,
            "error_message": message or None,
            "more_info": more_info or None,
            "attempts": attempts,
            "request_id": request_id or None,
            "finished_at": self._stamp(finished_at) or None,
            "duration_ms": round(duration_ms, 1),
            "suggestion": suggestion or None,
        }
        is_understood = outcome is not Outcome.INVALID
        if source.others or not is_understood:
            given, surplus = read_record(raw, source.source)
            if not is_understood:
                for place, index in source.given:
                    if given[index] not in (None, ""):
                        values[REPORT_COLUMNS[place]] = given[index]
            for key, index in zip(self._others, source.others, strict=True):
                values[key] = given[index]
            if surplus:
                values[SURPLUS_COLUMN] = surplus
        return values


def _for_people(value: object) -> str:
    """Any value as a cell of a file that a spreadsheet may open."""
    if type(value) is str:
        return value if not value or value[0] not in LOOK_CLOSER else neutralise(value)
    return "" if value is None else neutralise(json_text(value))
