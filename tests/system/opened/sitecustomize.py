"""Python imports this first in every process of a test cluster: who opens what below a folder named `watched`.

Each process appends to a file of its own beside that folder: how it is opened, path.
"""

from __future__ import annotations

import os
import sys

WATCHED = f"{os.sep}watched{os.sep}"


def _opened(event: str, given: tuple[object, ...]) -> None:
    if event != "open" or not isinstance(given[0], str) or WATCHED not in given[0]:
        return
    path, mode = given[0], given[1]
    root, _, inside = path.partition(WATCHED)
    with open(f"{root}{os.sep}opened-by-{os.getpid()}", "a") as log:
        log.write(f"{mode or 'os'} {inside}\n")


sys.addaudithook(_opened)
