"""Tables for the terminal and one HTML page that holds its pictures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

STYLE = """
body { font: 16px/1.55 system-ui, sans-serif; color: #1f2937; max-width: 60rem; margin: 2.5rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; line-height: 1.25; } h2 { font-size: 1.25rem; margin-top: 2.8rem; }
table { border-collapse: collapse; margin: 1.2rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .9rem .35rem 0; border-bottom: 1px solid #e5e7eb; text-align: right; }
th:first-child, td:first-child { text-align: left; padding-right: 2rem; } th { border-bottom-color: #9ca3af; }
figure { margin: 1.8rem 0; } img { width: 100%; height: auto; } figcaption { color: #4b5563; font-size: .92rem; }
footer { margin-top: 3rem; color: #6b7280; font-size: .9rem; }
"""


@dataclass(frozen=True)
class Table:
    """A table of text: the names of its columns and its rows; the first column names the row."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def to_markdown(self) -> str:
        """Give a markdown table with columns of equal width, to read on a terminal as well."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        return "\n".join("| " + " | ".join(pad(line, widths)) + " |" for line in (self.columns, rule, *self.rows))

    def to_html(self) -> str:
        """Give an HTML table."""
        head, *body = ["".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in line) for tag, line in self._tagged()]
        rows = "\n".join(f"<tr>{row}</tr>" for row in body)
        return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody>\n</table>"

    def _tagged(self) -> list[tuple[str, Sequence[str]]]:
        return [("th", self.columns), *(("td", row) for row in self.rows)]


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure and what to say of it."""

    figure: Figure
    caption: str

    def to_html(self) -> str:
        """Give the figure as PNG within the page, and close it."""
        store = io.BytesIO()
        self.figure.savefig(store, format="png", dpi=140)
        plt.close(self.figure)
        data = base64.b64encode(store.getvalue()).decode("ascii")
        caption = html.escape(self.caption)
        return f'<figure><img alt="{caption}" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'


@dataclass(frozen=True, eq=False)
class Section:
    """A part of the page."""

    title: str
    text: str
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    def to_html(self) -> str:
        """Give the part as HTML: text, tables, pictures."""
        parts = [f"<h2>{html.escape(self.title)}</h2>", f"<p>{html.escape(self.text)}</p>"]
        return "\n".join(parts + [each.to_html() for each in (*self.tables, *self.pictures)])


def pad(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Align the first cell left and the others right."""
    return [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]


def write_page(path: Path, title: str, sections: Sequence[Section], footer: str) -> Path:
    """Write one HTML file that needs no other, and give its full path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "\n".join(section.to_html() for section in sections)
    path.write_text(
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n<h1>{html.escape(title)}</h1>\n{body}\n"
        f"<footer>{html.escape(footer)}</footer>\n</body>\n</html>\n",
        encoding="utf-8",
    )
    return path.resolve()
