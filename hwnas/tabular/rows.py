"""Architecture of each row: by a column per choice, by a string of the space's notation, or by hwnas's key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import final

from hwnas.errors import DataError, SpaceError, did_you_mean
from hwnas.io.fields import loads
from hwnas.notation import read_architecture
from hwnas.space import AnySpace, Choice, Value
from hwnas.tabular.columns import Columns

ROW_KEY = re.compile(r"[0-9a-f]{12}")


@final
class Names:
    """Architecture keys by text in one space; results are remembered, because several files use the same texts."""

    def __init__(self, space: AnySpace) -> None:
        self.space = space
        self._known: dict[str, str] = {}

    def keys(self, columns: Columns, key: str | None) -> list[str]:
        """Return the architecture key of each row, by its column `key`, or by a column for each choice.

        Raises:
            DataError: a row names no architecture of the space, or what another row names with the same words.
        """
        if key is None:
            return self._by_picks(columns)
        texts = columns.texts(key)
        _refuse_twice(columns, texts)
        if all(ROW_KEY.fullmatch(text) for text in texts):
            return texts
        return [self._read(text, columns, row) for row, text in enumerate(texts, 1)]

    def _read(self, text: str, columns: Columns, row: int) -> str:
        if text not in self._known:
            try:
                raw = loads(text) if text[:1] in ("{", "[") else text
                self._known[text] = read_architecture(self.space, raw, where=f"{columns.path}: row {row}").key
            except ValueError as error:  # a FieldError or a SpaceError
                raise _unread(error, text, columns, row) from error
        return self._known[text]

    def _by_picks(self, columns: Columns) -> list[str]:
        choices = [choice.name for choice in self.space.choices]
        if lacking := [name for name in choices if name not in columns.names]:
            raise columns.error(
                f"no column says which architecture a row is of: `key` is not given, and `{lacking[0]}` is no column",
                f"A row has a column for each choice ({', '.join(choices)}), or `key` names the column that holds "
                f"strings. {did_you_mean(lacking[0], columns.names)}",
                "Name that column: `key: COLUMN`",
            )
        rows = list(zip(*(columns.texts(name) for name in choices), strict=True))
        _refuse_twice(columns, [", ".join(row) for row in rows])
        options = {choice.name: {_text(option): option for option in choice.options} for choice in self.space.choices}
        return [
            self._picked(dict(zip(choices, row, strict=True)), options, columns, n) for n, row in enumerate(rows, 1)
        ]

    def _picked(
        self, cells: Mapping[str, str], options: Mapping[str, Mapping[str, Value]], columns: Columns, row: int
    ) -> str:
        def pick(choice: Choice) -> Value:
            return choice.option(options[choice.name].get(cells[choice.name], cells[choice.name]), where=f"row {row}")

        try:
            return self.space.sample(pick).key
        except SpaceError as error:
            raise _unread(error, ", ".join(cells.values()), columns, row) from error


def _text(option: Value) -> str:
    return f"{option:g}" if isinstance(option, float) else str(option)


def _unread(error: Exception, text: str, columns: Columns, row: int) -> DataError:
    met = error.met if isinstance(error, SpaceError) else str(error)
    allowed = error.allowed if isinstance(error, SpaceError) else "A name is text of the space's notation"
    return DataError(
        f"row {row} names no architecture of the space: {met}",
        where=str(columns.path),
        allowed=allowed,
        do=f"Correct `{text[:60]}`, or name another `key` or space",
    )


def _refuse_twice(columns: Columns, names: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for row, name in enumerate(names, 1):
        if (before := first.setdefault(name, row)) != row:
            raise columns.error(
                f"rows {before} and {row} name the same architecture, `{name[:100]}`",
                "A row is of one architecture, and none has two rows",
                "Remove one, or average what was measured more than once",
            )
