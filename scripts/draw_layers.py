"""Draws docs/layers.svg: the rooms of kdmos_ros as the import-linter contract orders them.

python3 scripts/draw_layers.py [FILE]    (default: docs/layers.svg; `make layers`)
"""

from __future__ import annotations

import ast
import re
import sys
from html import escape
from pathlib import Path

from importlinter.api import read_configuration

ROOT = Path(__file__).resolve().parents[1]
WIDTH, ROW, GAP, MARGIN, TITLE, NAME = 1100, 46, 14, 20, 40, 116
INK, FAINT, BOX, EDGE = "#1f2933", "#52606d", "#e8f1fb", "#2f6fb0"


def layers() -> list[list[str]]:
    """Names of the rooms, a list for each layer, the top one first."""
    options = read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]
    return [re.split(r"\s*[|:]\s*", layer) for layer in options[0]["layers"]]


def purpose(room: str) -> str:
    """The first sentence of a room's docstring."""
    base = ROOT / "kdmos_ros" / room
    path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    sentence = text.split("\n\n")[0].replace("\n", " ")
    return sentence.split(". ")[0].rstrip(".").replace("`", "")


def wrapped(text: str, room_px: float, lines: int) -> list[str]:
    """Text in lines of about 6.3 pixels a character; what does not fit ends in an ellipsis."""
    words, rows = text.split(), [""]
    for word in words:
        longer = f"{rows[-1]} {word}".strip()
        if len(longer) * 6.3 <= room_px:
            rows[-1] = longer
        elif len(rows) < lines:
            rows.append(word)
        else:
            rows[-1] = f"{rows[-1]} …"
            break
    return rows


def drawing() -> str:
    """The SVG."""
    rows = layers()
    # The lowest layer holds single modules, whose names are enough.
    words = rows.pop()
    height = TITLE + (len(rows) + 1) * (ROW + GAP) + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{MARGIN}" y="26" fill="{FAINT}">Each room imports only from the rows below it.'
        " Rooms in one row do not import each other.</text>",
    ]
    y = TITLE
    for rooms in rows:
        width = (WIDTH - 2 * MARGIN - GAP * (len(rooms) - 1)) / len(rooms)
        for i, room in enumerate(sorted(rooms)):
            x = MARGIN + i * (width + GAP)
            parts.append(_box(x, y, width))
            shown = room if room == "cli" else f"{room}/"
            parts.append(
                f'<text x="{x + 12:.0f}" y="{y + 28}" fill="{INK}" font-weight="bold">'
                f"{shown}</text>"
            )
            lines = wrapped(purpose(room), width - NAME - 10, 2)
            for n, line in enumerate(lines):
                top = y + (28 if len(lines) == 1 else 20 + 16 * n)
                parts.append(
                    f'<text x="{x + NAME:.0f}" y="{top}" fill="{FAINT}" '
                    f'font-size="12">{escape(line)}</text>'
                )
        y += ROW + GAP
    parts.append(_box(MARGIN, y, WIDTH - 2 * MARGIN))
    parts.append(
        f'<text x="{MARGIN + 12}" y="{y + 28}" fill="{INK}">shared words: '
        f"{', '.join(sorted(words))}</text>"
    )
    return "\n".join([*parts, "</svg>", ""])


def _box(x: float, y: float, width: float) -> str:
    return (
        f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{ROW}" rx="6" '
        f'fill="{BOX}" stroke="{EDGE}"/>'
    )


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "layers.svg"
    target.write_text(drawing(), encoding="utf-8")
    print(target)
