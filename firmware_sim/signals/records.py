"""The records of a CSV file with their line numbers; one broken line costs that line, not the rest of the file."""

import csv
from collections.abc import Iterator
from pathlib import Path

from hinomi.errors import ConfigError, Rejected

_LONGEST_RECORD = 20
"""A quoted cell may hold line breaks; one that does not end within this many lines was never meant to begin."""

csv.field_size_limit(1 << 20)


class Records:
    """Iterates ``(line, cells)``; the cells of a line that is no CSV are the ``Rejected`` that says why.

    Args:
        path: the file.
        delimiter: one character between cells.
        encoding: of the file; a byte order mark is taken off.
        skip: lines before the header that are no CSV.
        comment: a line that begins with it is passed over.
    """

    def __init__(
        self, path: Path, *, delimiter: str = ",", encoding: str = "utf-8", skip: int = 0, comment: str = "#"
    ) -> None:
        try:
            # A byte that does not belong to the encoding spoils its cell, not the file.
            text = path.read_text("utf-8-sig" if encoding.lower() in {"utf-8", "utf8"} else encoding, "replace")
        except OSError as error:
            raise ConfigError.of(str(path), f"cannot be read: {error.strerror}") from error
        except UnicodeError as error:
            raise ConfigError.of(str(path), f"is not {encoding}: {error}") from error
        self._lines = text.split("\n")
        self._next = skip
        self._delimiter = delimiter
        self._comment = comment

    def __iter__(self) -> Iterator[tuple[int, list[str] | Rejected]]:
        while self._next < len(self._lines):
            start = self._next
            line = self._lines[start]
            self._next += 1
            if not line.strip() or line.startswith(self._comment):
                continue
            yield start + 1, self._record(start)

    def _record(self, start: int) -> list[str] | Rejected:
        for end in range(start + 1, min(start + _LONGEST_RECORD, len(self._lines)) + 1):
            try:
                cells = self._cells("\n".join(self._lines[start:end]))
            except csv.Error as error:
                if "unexpected end of data" not in str(error):
                    return Rejected("bad_quotes", str(error))
            else:
                self._next = end
                return cells
        # The lines after it are read on their own: they may be good.
        return Rejected("unclosed_quote", f"a quote opened in line {start + 1} is never closed")

    def _cells(self, text: str) -> list[str]:
        return next(csv.reader([text], delimiter=self._delimiter, strict=True, skipinitialspace=True))
