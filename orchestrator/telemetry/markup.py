"""Building HTML and SVG so that text cannot become markup: what is not `Markup` is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = frozenset({"meta", "br", "path", "line", "rect", "circle", "polyline"})
"""Elements that never have content; in SVG they are closed by themselves."""


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Attribute = str | float | None


def text(value: str) -> Markup:
    """Escape text, also for use inside attributes. Control characters, which no HTML may hold, become `\ufffd`."""
    printable = "".join(c if c >= " " or c in "\n\t" else "\ufffd" for c in value)
    return Markup(escape(printable.encode("utf-8", "replace").decode("utf-8"), quote=True))


def tag(name: str, /, *children: str, **attributes: Attribute) -> Markup:
    """One element. `class_` writes `class`, `stroke_width` writes `stroke-width`; None leaves an attribute out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(_value(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if not children and name in VOID:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Iterable[str]) -> Markup:
    """Parts one after another, each escaped unless it is markup."""
    return Markup("".join(part if isinstance(part, Markup) else text(part) for part in parts))


def _value(value: str | float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def svg(width: float, height: float, label: str, *children: str, style: str | None = None) -> Markup:
    """A picture that scales with its place; `label` describes it to those who cannot see it."""
    box = f"0 0 {width:g} {height:g}"
    return tag(
        "svg",
        *children,
        viewBox=box,
        role="img",
        aria_label=label,
        style=style,
    )


def tip(value: str) -> Markup:
    """What appears when the pointer rests on the surrounding SVG element; may have several lines."""
    return tag("title", value)
