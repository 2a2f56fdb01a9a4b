# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A matrix of flows as text, as SVG and as an HTML page that needs nothing else."""

from __future__ import annotations

import html
import textwrap
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import ports as port_sets
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.ports import EVERY_PORT
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.summary import Matrix

_CHARACTER, _LINE, _PAD = 7.2, 26, 10
_WIDEST = 34
MOST_COLUMNS = 40
_ALL, _SOME, _NONE = "#f6c6a8", "#cfe3c4", "#ffffff"
_STYLE = "font: 12px/1.4 ui-monospace, Menlo, Consolas, monospace"


def _cell(matrix: Matrix, row: int, column: int) -> str:
    """What stands in a cell; between two sides that are not of the namespace, nothing is said."""
    if row >= matrix.within and column >= matrix.within:
        return ""
    ports = matrix.cells.get((row, column))
    return port_sets.text(ports) if ports else "-"


def _grid(matrix: Matrix) -> t.List[t.List[str]]:
    names = [side.name for side in matrix.sides]
    return [
        ["from \\ to", *names],
        *([name, *(_cell(matrix, row, column) for column in range(len(names)))] for row, name in enumerate(names)),
    ]


def text(matrix: Matrix) -> str:
    """A table for a terminal: sources are rows, destinations columns.

    Columns are numbered, as are the rows, so that names are written once, on several lines if need be. What is too wide
    for any terminal is a list.
    """
    if len(matrix.sides) > MOST_COLUMNS:
        return "".join(f"{entry['from']} -> {entry['to']}: {entry['ports']}\n" for entry in matrix.as_list())
    count = len(matrix.sides)
    digits = len(str(count))
    grid = [["from \\ to", *(str(number + 1) for number in range(count))]]
    for row, side in enumerate(matrix.sides):
        first, *others = textwrap.wrap(side.name, _WIDEST, break_long_words=False, break_on_hyphens=False)
        grid.append([f"{row + 1:>{digits}} {first}", *(_cell(matrix, row, column) for column in range(count))])
        grid += [[" " * (digits + 3) + more, *[""] * count] for more in others]
    widths = [max(len(line[column]) for line in grid) for column in range(count + 1)]
    lines = ["  ".join(entry.ljust(width) for entry, width in zip(line, widths)).rstrip() for line in grid]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]]) + "\n"


def _colour(entry: str) -> str:
    if entry in ("-", ""):
        return _NONE
    return _ALL if entry == port_sets.text(EVERY_PORT) else _SOME


def _clipped(entry: str) -> str:
    return entry if len(entry) <= _WIDEST else f"{entry[: _WIDEST - 1]}\u2026"


def svg(matrix: Matrix) -> str:
    """A drawing. What is cut short in it is told in full by the tooltip."""
    grid = _grid(matrix)
    shown = [[_clipped(entry) for entry in line] for line in grid]
    widths = [max(len(line[column]) for line in shown) * _CHARACTER + 2 * _PAD for column in range(len(grid))]
    width, height = sum(widths), len(grid) * _LINE
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
            f'height="{height}" role="img" style="{_STYLE}">'
        ),
        f"<title>Flows of namespace {html.escape(matrix.namespace)}</title>",
    ]
    for row, line in enumerate(grid):
        left = 0.0
        for column, entry in enumerate(line):
            heading = row == 0 or column == 0
            fill = "#eeeeee" if heading else _colour(entry)
            parts.append(
                f'<g><title>{html.escape(entry)}</title><rect x="{left:.0f}" y="{row * _LINE}" '
                f'width="{widths[column]:.0f}" height="{_LINE}" fill="{fill}" stroke="#bbbbbb"/>'
                f'<text x="{left + _PAD:.0f}" y="{row * _LINE + 17}" fill="#222222">'
                f"{html.escape(shown[row][column])}</text></g>"
            )
            left += widths[column]
    return "\n".join([*parts, "</svg>"]) + "\n"


def page(matrices: t.Sequence[Matrix], notes: t.Sequence[str] = ()) -> str:
    """An HTML page with a table for each namespace."""
    body = []
    for matrix in matrices:
        heading, *rows = _grid(matrix)
        body.append(f"<h2>{html.escape(matrix.namespace)}</h2>\n<table>\n<thead>{_row(heading, 'th')}</thead>\n<tbody>")
        body += [_row(line, "td") for line in rows]
        body.append("</tbody>\n</table>")
    listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Flows</title>\n<style>\n'
        f"body {{ {_STYLE}; margin: 2em; color: #222222 }}\n"
        "table { border-collapse: collapse }\nth, td { border: 1px solid #bbbbbb; padding: 4px 10px; text-align: left }\n"
        "th { background: #eeeeee }\n</style>\n</head>\n<body>\n<h1>Flows</h1>\n"
        "<p>Rows are sources, columns destinations. Ports are TCP's unless another protocol is named.</p>\n"
        + "\n".join(body)
        + (f"\n<ul>{listed}</ul>" if listed else "")
        + "\n</body>\n</html>\n"
    )


def _row(line: t.Sequence[str], kind: str) -> str:
    first, *rest = line
    cells = [
        f"<{kind}>{html.escape(entry)}</{kind}>"
        if kind == "th"
        else f'<td style="background: {_colour(entry)}">{html.escape(entry)}</td>'
        for entry in rest
    ]
    return f"<tr><th>{html.escape(first)}</th>{''.join(cells)}</tr>"
