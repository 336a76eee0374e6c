"""`orchestrator checkpoints URL`: what is in a store, and what is wrong with what cannot be used."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from checkpoint.catalogue import Found, State, catalogue
from checkpoint.store import Store

COLOURS = {State.GOOD: "green", State.DAMAGED: "red", State.UNFINISHED: "yellow"}
UNFINISHED = "{} has no manifest: it is being written now, or its writers ended before it was complete."


def show_checkpoints(url: str, *, verify: bool, as_json: bool, console: Console) -> int:
    """Print all checkpoints at `url`, the newest first; return 0 when one is good, else 1.

    Args:
        url: the folder that holds them.
        verify: read every byte; without it, only whether all files are there is looked at.
        as_json: for programs.
        console: where people read.

    Raises StoreError (a ValueError) when the store cannot be read.
    """
    found = catalogue(Store.open(url), deep=verify)
    if as_json:
        sys.stdout.write(json.dumps([_as_json(one) for one in found], indent=1) + "\n")
    else:
        _print(found, url, verify, console)
    return 0 if any(one.state is State.GOOD for one in found) else 1


def _print(found: list[Found], url: str, verify: bool, console: Console) -> None:
    if not found:
        console.print(f"There is no checkpoint at {url}.", highlight=False, markup=False)
        return
    table = Table(box=None, pad_edge=False)
    for name in ("commit", "state", "written, UTC", "stages", "size", "folder", "run"):
        table.add_column(name, justify="right" if name in ("commit", "size") else "left", no_wrap=name != "run")
    for one in found:
        state = f"[{COLOURS[one.state]}]{one.state.value}[/]"
        table.add_row(str(one.id.commit), state, *_columns(one))
    console.print(table)
    for one in found:
        for problem in [UNFINISHED.format(one.id.folder)] if one.state is State.UNFINISHED else one.problems:
            console.print(escape(problem), highlight=False, soft_wrap=True)
    good = next((one for one in found if one.state is State.GOOD), None)
    if good is None:
        console.print("None of them can be used.", highlight=False)
    else:
        how = "every byte was read" if verify else "its files are all there; --verify reads every byte"
        console.print(f"The newest good one is {good.id.folder}: {how}.", highlight=False, soft_wrap=True)


def _columns(one: Found) -> tuple[str, str, str, str, str]:
    if one.manifest is None:
        return "", "", "", one.id.folder, ""
    when = datetime.fromtimestamp(one.manifest.created, UTC).strftime("%Y-%m-%d %H:%M")
    parts = sorted({len(stage.parts) for stage in one.manifest.stages})
    span = str(parts[0]) if len(parts) == 1 else f"{parts[0]}-{parts[-1]}"
    stages = f"{len(one.manifest.stages)} x {span}"
    return when, stages, _size(one.manifest.tensor_bytes), one.id.folder, escape(one.manifest.run)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _as_json(one: Found) -> dict[str, object]:
    manifest = one.manifest
    described: dict[str, object] = {
        "checkpoint": one.id.folder,
        "history": one.id.history,
        "commit": one.id.commit,
        "state": one.state.value,
        "problems": list(one.problems),
    }
    if manifest is None:
        return described
    return described | {
        "run": manifest.run,
        "created": manifest.created,
        "stages": len(manifest.stages),
        "tensor_bytes": manifest.tensor_bytes,
        "layout": manifest.layout,
    }
