"""Names of runs and participants that a person can read and say."""

from __future__ import annotations

import random
import time

_FIRST = [
    "amber",
    "azure",
    "brisk",
    "calm",
    "cedar",
    "clever",
    "coral",
    "crimson",
    "dapper",
    "dusky",
    "eager",
    "fern",
    "gentle",
    "golden",
    "hazel",
    "indigo",
    "ivory",
    "jade",
    "jolly",
    "keen",
    "lilac",
    "lively",
    "lunar",
    "maple",
    "mellow",
    "misty",
    "noble",
    "olive",
    "opal",
    "plum",
    "proud",
    "quiet",
    "rapid",
    "rosy",
    "ruby",
    "rustic",
    "sage",
    "scarlet",
    "sienna",
    "silver",
    "solar",
    "steady",
    "sunny",
    "teal",
    "umber",
    "velvet",
    "vivid",
    "willow",
]
_SECOND = [
    "badger",
    "bear",
    "beaver",
    "bison",
    "crane",
    "deer",
    "dove",
    "eagle",
    "elk",
    "falcon",
    "ferret",
    "finch",
    "fox",
    "gecko",
    "goose",
    "hare",
    "hawk",
    "heron",
    "ibis",
    "jackal",
    "jay",
    "kestrel",
    "koala",
    "lark",
    "lemur",
    "lynx",
    "magpie",
    "marten",
    "mole",
    "moose",
    "newt",
    "ocelot",
    "orca",
    "otter",
    "owl",
    "panda",
    "pika",
    "puffin",
    "quail",
    "raven",
    "robin",
    "seal",
    "stoat",
    "swan",
    "tapir",
    "thrush",
    "toad",
    "vole",
    "walrus",
    "wolf",
    "wren",
    "yak",
]


def run_name() -> str:
    """Return an id for a new run: date, time and a word."""
    return time.strftime("%m%d-%H%M%S-") + random.choice(_SECOND)


def participant_names(run_id: str, count: int) -> list[str]:
    """Return `count` different names, the same for the same run."""
    rng = random.Random(f"tessera {run_id}")
    names: dict[str, None] = {}
    while len(names) < count:
        name = f"{rng.choice(_FIRST)}-{rng.choice(_SECOND)}"
        if count > len(_FIRST) * len(_SECOND) // 2:
            name += f"-{len(names)}"
        names[name] = None
    return list(names)
