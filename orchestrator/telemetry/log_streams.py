"""Letting log lines pass a live display without tearing it.

rich replaces sys.stdout and sys.stderr while a display is up, and prints what is written to them above it. Log handlers
made before that still hold the streams from before; for the time of the display they write to the replacements.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any


def through_standard_streams() -> Callable[[], None]:
    """Point handlers that write to the terminal at the present sys.stdout and sys.stderr; returns what undoes it."""
    moved: list[tuple[logging.StreamHandler[Any], Any]] = []
    for handler in _stream_handlers():
        stream = handler.stream
        for now in (sys.stderr, sys.stdout):
            if now is not stream and _replaced(now) is stream:
                handler.setStream(now)
                moved.append((handler, stream))
                break

    def undo() -> None:
        for handler, stream in moved:
            handler.setStream(stream)

    return undo


def _replaced(stream: Any) -> Any:
    """The stream that rich's stand-in writes for, or None for one that is no stand-in."""
    return getattr(stream, "rich_proxied_file", None)


def _stream_handlers() -> list[logging.StreamHandler[Any]]:
    loggers = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
    return [
        handler
        for logger in loggers
        if isinstance(logger, logging.Logger)
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
    ]
