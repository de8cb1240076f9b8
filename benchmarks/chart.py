"""One picture of the drains, readable on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from benchmarks.peers import PEERS

_TITLES = {
    "ours-sqlite": "Celeriac on SQLite",
    "ours-postgresql": "Celeriac on PostgreSQL",
    **{name: peer.title for name, peer in PEERS.items()},
}
_TITLE = "No-op tasks per second, two processes, results kept"
_WIDTH, _LEFT, _RIGHT, _TOP, _STEP, _BAR = 720, 220, 80, 44, 30, 18

# A page that shows the picture as an image has its own colours; the reader's system says which.
_STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 } .bar { fill: #8c959f } .ours { fill: #2da44e }
.range { stroke: #1f2328; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .bar { fill: #6e7681 } .ours { fill: #3fb950 } .range { stroke: #e6edf3 }
}
"""


def draw(rows: Sequence[dict[str, Any]]) -> str:
    """Return an SVG with a bar for each contender of the plain drain, the fastest first."""
    runs = _drains(rows)
    most = max((max(values) for _, values in runs), default=1.0)
    height = _TOP + _STEP * len(runs) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
        f' role="img" aria-label="{_TITLE}">',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="8" y="24">{_TITLE}</text>',
    ]
    for number, (contender, values) in enumerate(runs):
        parts += _bar(contender, values, _TOP + number * _STEP, (_WIDTH - _LEFT - _RIGHT) / most)
    return "\n".join([*parts, "</svg>"])


def _drains(rows: Sequence[dict[str, Any]]) -> list[tuple[str, list[float]]]:
    """Return each contender of the plain drain with its rates, the fastest first."""
    found: dict[str, list[float]] = {}
    for row in rows:
        kind = row["row"].rpartition("-")[0]
        plain = kind == "drain" or kind.removeprefix("drain-") in PEERS
        if plain and row["unit"] == "tasks/s":
            for side, contender in row["contenders"].items():
                found[contender] = row["runs"][side]
    return sorted(found.items(), key=lambda each: -_median(each[1]))


def _bar(contender: str, values: list[float], top: float, scale: float) -> list[str]:
    median, least, most = _median(values), min(values), max(values)
    middle = top + _BAR / 2
    kind = "bar ours" if contender.startswith("ours") else "bar"
    return [
        f'<text x="{_LEFT - 10}" y="{middle + 5}" text-anchor="end">'
        f"{escape(_TITLES[contender])}</text>",
        f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{median * scale:.1f}"'
        f' height="{_BAR}" rx="2"/>',
        f'<line class="range" x1="{_LEFT + least * scale:.1f}" x2="{_LEFT + most * scale:.1f}"'
        f' y1="{middle}" y2="{middle}"/>',
        f'<text x="{_LEFT + most * scale + 8:.1f}" y="{middle + 5}">{median:,.0f}</text>',
    ]


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
