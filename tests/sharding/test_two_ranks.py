"""Two local devices: the engine equals plain torch, and states go onto other numbers of devices and back.

A process has one process group, so both ranks are processes of their own; they are started once for all tests here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sharding.moves import ONE, read, write
from tests.sharding.ranks import run_ranks
from tests.sharding.two_ranks_worker import CROSSED

pytestmark = [pytest.mark.usefixtures("one_rank"), pytest.mark.timeout(180), pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where states are kept."""
    return tmp_path_factory.mktemp("states")


@pytest.fixture(scope="module")
def alone(folder: Path, one_rank: None) -> list[dict[str, Any]]:
    """How one rank goes on in bf16, by ZeRO stage; its states are in the folder."""
    return [write(zero, "bf16", "adamw", ONE, folder / "one-bf16") for zero in range(4)]


@pytest.fixture(scope="module")
def both(folder: Path, alone: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each of the two ranks found."""
    return run_ranks("tests.sharding.two_ranks_worker", 2, [str(folder / "meeting"), str(folder)])


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_two_ranks_equal_plain_torch_and_each_other(zero: int, both: list[dict[str, Any]]) -> None:
    for rank in both:
        found = rank["trained"][zero]
        assert found["parameters"] < 1e-5
        assert found["hashes"] == both[0]["trained"][zero]["hashes"]
        assert found["part"] == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_the_clip_factor_is_applied_once_on_both_ranks(zero: int, both: list[dict[str, Any]]) -> None:
    for rank in both:  # three norms of four elements: 1 - 0.1 * 0.5 * 2
        assert rank["updated"][zero] == pytest.approx([0.9] * 12)


@pytest.mark.parametrize("what", ["written adamw", "written sgd", "two to two", "one to two"])
def test_both_ranks_tell_the_same(what: str, both: list[dict[str, Any]]) -> None:
    assert both[0][what] == both[1][what]


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_the_same_bits_come_back_on_the_same_layout(zero: int, both: list[dict[str, Any]]) -> None:
    assert both[0]["two to two"][zero] == both[0]["written adamw"][zero]


@pytest.mark.parametrize(("case", "source"), list(enumerate(source for source, _ in CROSSED)))
def test_two_ranks_go_on_where_one_ended(
    case: int, source: int, alone: list[dict[str, Any]], both: list[dict[str, Any]]
) -> None:
    found, origin = both[0]["one to two"][case], alone[source]
    assert found["before"] == origin["before"], "other parameters arrived"
    assert found["losses"] == pytest.approx(origin["losses"], rel=2e-2)


@pytest.mark.parametrize(("source", "zero"), CROSSED)
def test_one_rank_goes_on_where_two_ended(source: int, zero: int, folder: Path, both: list[dict[str, Any]]) -> None:
    found, origin = read(source, zero, "fp32", "sgd", ONE, folder / "two-sgd"), both[0]["written sgd"][source]
    assert found["before"] == origin["before"], "other parameters arrived"
    assert found["losses"] == pytest.approx(origin["losses"], rel=1e-5)
