"""Tables for terminals and pipes. Every command lays out its tables here."""

# Theory of operation
#
# A table has columns with an order of importance, and its rows are texts. `choose_layout` looks for the first form
# that fits the width of the terminal:
#
#   1. all columns, with borders;
#   2. all columns, without borders;
#   3. the same two forms without the least important column, then without the next one, and so on;
#   4. if even the columns that are always shown do not fit: one block per row, with one value after the other.
#
# An id is copied from the terminal into other programs. Its column is therefore always shown, and is never wrapped or
# cut. Only a column with `wraps` is wrapped, between words: a message may contain an id as well.
#
# A pipe has no width. It gets every column, aligned and without borders, with one line per row, so that the output
# depends on the data only. `--wide` shows every column on a terminal, too, however narrow that is.
#
# Scripts call `orchestrator status` often, and importing Rich takes a tenth of that command's time. So an output
# consists of the three classes below, which import Rich when they are drawn (`__rich__`). A pipe does not draw.

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.core.structs import Struct, field
from orchestrator.core.text_sanitizer import sanitize_line

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

MAX_TABLE_ROWS = 200  # drawing borders takes a millisecond per row
MIN_TEXT_WIDTH = 20  # a narrower column of sentences would be wrapped into too many lines
PIPE_WIDTH_COLUMNS = 100_000  # a pipe has no width; wide enough that nothing is wrapped
GAP = 2  # spaces between columns without borders
BLOCK_INDENT = 2
EMPTY_VALUES = frozenset({"", "–"})


class Column(Struct, frozen=True, kw_only=True):
    """A column of a table. Without `importance` it is always shown; otherwise the lowest one is left out first."""

    heading: str
    importance: int | None = None
    wraps: bool = False  # at most one column of a table
    min_width: int = MIN_TEXT_WIDTH  # of a column that wraps
    colours: Mapping[str, str] = field(default_factory=dict)  # by value
    has_notes: bool = False  # the caller prints its texts below the table, where it is not in the table


class TableLayout(Struct, frozen=True):
    """The form of a table: the indices of the columns that are shown, and their widths. Without columns: blocks."""

    shown: tuple[int, ...] = ()
    widths: tuple[int, ...] = ()
    has_borders: bool = False

    @property
    def width(self) -> int:
        """Width of a row in characters."""
        return sum(self.widths) + (3 * len(self.widths) + 1 if self.has_borders else GAP * (len(self.widths) - 1))


class Line(Struct, frozen=True):
    """A line of text."""

    text: str
    styles: tuple[tuple[str, int, int], ...] = ()  # style, first character, character after the last
    wraps: bool = False  # whether a terminal may wrap it; otherwise it is neither wrapped nor cut

    def __rich__(self) -> Text:
        """Build the form that Rich draws."""
        from rich.text import Text

        text = Text(self.text) if self.wraps else Text(self.text, no_wrap=True, overflow="ignore")
        for style, start, end in self.styles:
            text.stylize(style, start, end)
        return text


class BorderedTable(Struct, frozen=True):
    """A table with borders, for terminals."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    widths: tuple[int, ...]
    width: int

    def __rich__(self) -> Table:
        """Build the form that Rich draws."""
        from rich.table import Table
        from rich.text import Text

        table = Table(width=self.width)
        for column, width in zip(self.columns, self.widths, strict=True):
            table.add_column(column.heading, no_wrap=not column.wraps, overflow="fold", width=width)
        for row in self.rows:
            cells = zip(self.columns, row, strict=True)
            table.add_row(*(Text(cell, style=column.colours.get(cell, "")) for column, cell in cells))
        return table


class Output(Struct, frozen=True):
    """Lines and tables, one below the other."""

    parts: tuple[Line | BorderedTable, ...]

    def __rich__(self) -> Group:
        """Build the form that Rich draws."""
        from rich.console import Group

        return Group(*self.parts)


class FittedTable(Struct, frozen=True):
    """A table in the form that fits the terminal, and the headings of the columns that it does not have."""

    parts: tuple[Line | BorderedTable, ...]
    left_out: tuple[str, ...] = ()
    noted: tuple[str, ...] = ()  # those with `has_notes`

    def place_between(self, above: Iterable[str], below: Iterable[str]) -> Output:
        """Return the output of the table with these sentences around it; the last one names the columns left out."""
        notes = [f"Not shown: {', '.join(self.left_out)}. Use --wide to show every column."] if self.left_out else []
        before, after = (tuple(Line(text, wraps=True) for text in texts) for texts in (above, (*below, *notes)))
        return Output(before + self.parts + after)


def join_outputs(outputs: Iterable[Output]) -> Output:
    """Return the outputs one below the other, with an empty line between two of them."""
    parts = [part for output in outputs for part in (Line(""), *output.parts)]
    return Output(tuple(parts[1:]))


def create_console() -> Console:
    """Create a console for stdout. Markup is off: a provider's text such as `[key 1a2b3c4d]` is printed unchanged."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else PIPE_WIDTH_COLUMNS
    return Console(width=width, highlight=False, markup=False, emoji=False)


def get_table_width(*, wide: bool) -> int | None:
    """Return the number of characters that a table may use; None if there is no limit."""
    return None if wide or not sys.stdout.isatty() else create_console().width


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, wide: bool = False) -> None:
    """Print a table in a form that fits the terminal, and name the columns that were left out."""
    table = fit_table(columns, rows, get_table_width(wide=wide), borders=sys.stdout.isatty())
    print_output(table.place_between((), ()))


def print_output(output: Output) -> None:
    """Print to stdout. Lines that are longer than the terminal is wide are not cut."""
    lines = [part.text for part in output.parts if isinstance(part, Line)]
    if sys.stdout.isatty() or len(lines) < len(output.parts):
        create_console().print(output, crop=False)
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines)


def fit_table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int | None, *, borders: bool = True
) -> FittedTable:
    """Build a table in the first form that fits into `width` characters. None is unlimited. Cells are sanitized."""
    texts = [tuple(map(sanitize_line, row)) for row in rows]
    layout = choose_layout(columns, texts, width, borders=borders and len(texts) <= MAX_TABLE_ROWS)
    hidden = [
        column
        for index, column in enumerate(columns)
        if (index not in layout.shown if layout.shown else column.has_notes) and not _is_empty(texts, index)
    ]
    parts: Iterable[Line | BorderedTable]
    if not layout.shown:
        parts = _build_blocks(columns, texts, width or PIPE_WIDTH_COLUMNS)
    elif layout.has_borders:
        parts = [_build_bordered_table(columns, texts, layout)]
    else:
        parts = _build_aligned_lines(columns, texts, layout)
    left_out, noted = ([each.heading for each in hidden if each.has_notes == flag] for flag in (False, True))
    return FittedTable(tuple(parts), tuple(left_out), tuple(noted))


def choose_layout(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None, *, borders: bool
) -> TableLayout:
    """Choose the first form that fits into `width` characters, see the theory of operation."""
    natural = [
        max(map(_measure, set(cells))) for cells in zip([each.heading for each in columns], *rows, strict=True)
    ]
    every = tuple(range(len(columns)))
    if width is None:
        return TableLayout(every, tuple(natural), borders)
    least = [_min_width(column, index, rows, natural[index]) for index, column in enumerate(columns)]
    for shown in _list_column_sets(columns, rows):
        for has_borders in (True, False) if borders else (False,):
            narrowest = TableLayout(shown, tuple(least[index] for index in shown), has_borders)
            spare = width - narrowest.width
            if spare >= 0:
                widths = (min(natural[index], least[index] + spare) for index in shown)
                return TableLayout(shown, tuple(widths), has_borders)
    return TableLayout()


def _measure(text: str) -> int:
    """Return the width of a text in characters of a terminal, where for example a Chinese character takes two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _list_column_sets(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Iterator[tuple[int, ...]]:
    """Yield all columns, then fewer and fewer: those without any value go first, then those that matter least."""
    shown = list(range(len(columns)))
    yield tuple(shown)
    optional = [index for index, column in enumerate(columns) if column.importance is not None]
    for index in sorted(optional, key=lambda index: (not _is_empty(rows, index), columns[index].importance)):
        shown.remove(index)
        yield tuple(shown)


def _is_empty(rows: Sequence[Sequence[str]], index: int) -> bool:
    return all(row[index] in EMPTY_VALUES for row in rows)


def _min_width(column: Column, index: int, rows: Sequence[Sequence[str]], natural: int) -> int:
    """Return the least width of a column. A column that wraps is never narrower than its longest word."""
    if not column.wraps:
        return natural
    longest = max((_measure(word) for row in rows for word in row[index].split()), default=0)
    return min(natural, max(column.min_width, longest, _measure(column.heading)))


def _build_bordered_table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], layout: TableLayout
) -> BorderedTable:
    return BorderedTable(
        columns=tuple(columns[index] for index in layout.shown),
        rows=tuple(tuple(row[index] for index in layout.shown) for row in rows),
        widths=layout.widths,
        width=layout.width,
    )


def _build_aligned_lines(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], layout: TableLayout
) -> Iterator[Line]:
    shown = [columns[index] for index in layout.shown]
    wrapping = next((position for position, column in enumerate(shown) if column.wraps), None)
    widths = [width + GAP for width in layout.widths]
    yield _align([column.heading for column in shown], widths, [{column.heading: "bold"} for column in shown])
    colours = [column.colours for column in shown]
    for row in rows:
        cells, more = [row[index] for index in layout.shown], []
        if wrapping is not None:
            cells[wrapping], *more = _wrap_cell(cells[wrapping], layout.widths[wrapping])
        yield _align(cells, widths, colours)
        for part in more:
            yield _align([part if position == wrapping else "" for position in range(len(cells))], widths, colours)


def _align(cells: Sequence[str], widths: Sequence[int], colours: Sequence[Mapping[str, str]]) -> Line:
    padded = list(map(_pad, cells, widths))
    styles = []
    for position, (cell, styles_by_value) in enumerate(zip(cells, colours, strict=True)):
        if styles_by_value and (style := styles_by_value.get(cell)):
            start = sum(map(len, padded[:position]))
            styles.append((style, start, start + len(cell)))
    return Line("".join(padded).rstrip(), tuple(styles))


def _pad(text: str, width: int) -> str:
    return text.ljust(width) if text.isascii() else text + " " * (width - _measure(text))


def _wrap_cell(text: str, width: int) -> list[str]:
    if _measure(text) <= width:
        return [text]
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _build_blocks(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> Iterator[Line]:
    """Yield one block per row: its name, then the other values that it has, each with its heading."""
    for row in rows:
        values = [
            (column, cell)
            for column, cell in zip(columns[1:], row[1:], strict=True)
            if cell not in EMPTY_VALUES and not column.has_notes
        ]
        yield from map(Line, _wrap_block(row[0], values, width))


def _wrap_block(name: str, values: Sequence[tuple[Column, str]], width: int) -> list[str]:
    """Format a block as lines. Short values share a line; one that does not fit moves to the next, with its name."""
    indent = " " * BLOCK_INDENT
    wrap = textwrap.TextWrapper(width, subsequent_indent=2 * indent, break_long_words=False, break_on_hyphens=False)
    lines = [name]
    for column, cell in values:
        named = f"{column.heading}: {cell}"
        if len(lines) > 1 and _measure(lines[-1]) + GAP + _measure(named) <= width:
            lines[-1] += f"{' ' * GAP}{named}"
        else:
            lines += wrap.wrap(f"{indent}{named}") if column.wraps else [f"{indent}{named}"]
    return lines
