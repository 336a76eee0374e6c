"""With which checkpoint a run begins, which history its own ones get, and when the one before it is tried."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from checkpoint.config import CheckpointConfig
from checkpoint.errors import STORE_FAILS
from checkpoint.names import CheckpointId
from checkpoint.store import Store
from orchestrator.config import ConfigError, RunConfig, load
from orchestrator.resume import absolute, unusable, with_checkpoint
from tests.checkpoint.world import save, write

STEPS = 40


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A store with commits 10 of history 0 and 39 of history 2."""
    store = Store.open(str(tmp_path / "kept"))
    for history, commit in ((0, 10), (2, 39)):
        save(store, CheckpointId(history, commit))
    return tmp_path / "kept"


def config(**settings: object) -> RunConfig:
    """A run of forty steps."""
    base = load(None, ["model.vocab_size=256", f"train.steps={STEPS}"])
    return dataclasses.replace(base, checkpoint=CheckpointConfig(**settings))  # type: ignore[arg-type]


def chosen(given: RunConfig, skip: frozenset[CheckpointId] = frozenset()) -> tuple[CheckpointConfig, list[str]]:
    """What a run begins with, and what is said."""
    said: list[str] = []
    return with_checkpoint(given, said.append, skip).checkpoint, said


@pytest.mark.parametrize("url", ["", "s3://bucket/x", "memory://x", "file:///x", "simplecache::s3://x"])
def test_addresses_stay_as_they_are(url: str) -> None:
    assert absolute(url) == url


def test_a_path_is_seen_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somewhere")
    assert absolute("a/../b") == str(tmp_path / "b")
    assert absolute("~/x") == "/home/somewhere/x"
    found, _ = chosen(config(url="there"))
    assert (found.url, found.resume) == (str(tmp_path / "there"), "")


def test_nothing_is_taken_up_where_that_is_not_asked_for() -> None:
    found, said = chosen(config())
    assert (found, said) == (CheckpointConfig(), [])


def test_the_last_commit_before_the_end_can_be_taken_up(kept: Path) -> None:
    found, said = chosen(config(resume=str(kept)))
    assert (found.resume_history, found.resume_commit) == (2, 39)
    assert said == ["going on from commit 39 (h0002-c0000000039)"]
    short = dataclasses.replace(config(resume=str(kept)), train=dataclasses.replace(config().train, steps=39))
    with pytest.raises(ConfigError, match=r"^checkpoint\.resume: commit 39 is not before train\.steps=39\.$"):
        chosen(short)


def test_one_that_is_named_is_not_looked_up(kept: Path) -> None:
    found, said = chosen(config(resume=str(kept), resume_history=0, resume_commit=10))
    assert (found.resume_history, found.resume_commit, said) == (0, 10, [])
    first = chosen(config(resume=str(kept / "none"), resume_history=0, resume_commit=0))[0]
    assert (first.resume_history, first.resume_commit) == (0, 0), "the commit before the first step is one as well"


def test_newer_ones_that_are_passed_over_are_said(kept: Path) -> None:
    write(Store.open(str(kept)), CheckpointId(3, 1), 0, 0, "w")
    (kept / CheckpointId(2, 39).manifest).write_text("{}")
    found, said = chosen(config(resume=str(kept)))
    assert (found.resume_history, found.resume_commit) == (0, 10)
    assert said == [
        "checkpoint h0003-c0000000001 is passed over: checkpoint h0003-c0000000001 has no manifest: it was never "
        "completed.",
        "checkpoint h0002-c0000000039 is passed over: h0002-c0000000039/manifest.json is malformed: the manifest lacks "
        "'format'.",
        "going on from commit 10 (h0000-c0000000010)",
    ]
    with pytest.raises(ConfigError, match=r"checkpoint\.resume=.*none of 2 checkpoints is good"):
        chosen(config(resume=str(kept)), frozenset({CheckpointId(0, 10)}))


@pytest.mark.parametrize(
    ("there", "resumed", "given", "history"),
    [
        pytest.param([], -1, 0, 0, id="an empty folder"),
        pytest.param([0], -1, 0, 1, id="above what is there"),
        pytest.param([0, 4], -1, 0, 5, id="above the latest that is there"),
        pytest.param([], 2, 0, 3, id="above the one that is taken up from elsewhere"),
        pytest.param([4], 2, 0, 5, id="above both"),
        pytest.param([1], 2, 0, 3, id="above both, the other way round"),
        pytest.param([1], 2, 9, 9, id="not below what was said"),
    ],
)
def test_its_own_checkpoints_get_a_later_history_than_all_others(
    there: list[int], resumed: int, given: int, history: int, tmp_path: Path
) -> None:
    store = Store.open(str(tmp_path))
    for number in there:
        write(store, CheckpointId(number, 5), 0, 0, "w")
    settings = {"resume": "/elsewhere", "resume_history": resumed, "resume_commit": 5} if resumed >= 0 else {}
    found, _ = chosen(config(url=str(tmp_path), history=given, **settings))
    assert found.history == history


def test_a_store_that_cannot_be_read_is_named_with_its_setting() -> None:
    with pytest.raises(ConfigError, match=r"^checkpoint\.url=nonsense://x: 'nonsense://x' is not a URL of a folder"):
        chosen(config(url="nonsense://x"))
    with pytest.raises(ConfigError, match=r"^checkpoint\.resume=nonsense://x: 'nonsense://x' is not a URL"):
        chosen(config(resume="nonsense://x"))


TAKEN = config(resume="/x", resume_history=2, resume_commit=39)
DAMAGE = "nobody of stage 1 can use the checkpoint of commit 39: h0002-c0000000039/stage-0001/a is damaged"


@pytest.mark.parametrize(
    ("given", "failure", "found"),
    [
        pytest.param(TAKEN, DAMAGE, CheckpointId(2, 39), id="it is damaged"),
        pytest.param(TAKEN, f"ann: {DAMAGE}.", CheckpointId(2, 39), id="behind a name"),
        pytest.param(TAKEN, DAMAGE.replace("39", "38"), None, id="another one"),
        pytest.param(TAKEN, DAMAGE.replace("commit 39", "commit 390"), None, id="another one that begins alike"),
        pytest.param(
            TAKEN, f"nobody can use the checkpoint of commit 39: {STORE_FAILS}: no", None, id="the store fails"
        ),
        pytest.param(TAKEN, f"{DAMAGE}, {STORE_FAILS}", CheckpointId(2, 39), id="damaged, and the store fails too"),
        pytest.param(TAKEN, "the run was stopped", None, id="another failure"),
        pytest.param(TAKEN, "", None, id="no failure"),
        pytest.param(config(resume_commit=39), DAMAGE, None, id="nothing was taken up"),
    ],
)
def test_only_its_own_damage_makes_a_run_try_the_one_before(
    given: RunConfig, failure: str, found: CheckpointId | None
) -> None:
    assert unusable(given, failure) == found
