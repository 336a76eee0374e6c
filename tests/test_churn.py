"""Sentences about who comes and goes, and traces: what they mean, and one clear sentence for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.churn import Act, TraceLine, parse, parse_all, read_trace, sentences
from orchestrator.config import ConfigError, load

KNOWN = [("amber-bear", 0, 0), ("calm-crane", 1, 0)]


def test_sentences_say_who_comes_and_who_goes() -> None:
    assert [str(change) for change in parse("join x2 at step 5")] == ["join at step 5"] * 2
    changes = parse_all(
        [
            "leave stage-1/0 at second 7.5",
            "join at step 3",
            "remove newcomer-1 at step 4",
            "leave amber-bear at step 0",
        ],
        KNOWN,
        10,
    )
    assert [(change.act, change.who) for change in changes] == [
        (Act.LEAVE, "calm-crane"),
        (Act.JOIN, ""),
        (Act.REMOVE, "newcomer-1"),
        (Act.LEAVE, "amber-bear"),
    ]
    assert (changes[0].second, changes[0].step) == (7.5, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("join", "is no change"),
        ("flee amber-bear at step 2", "is no change"),
        ("leave at step 2", "say who"),
        ("join x0 at step 2", "can join at once"),
        ("join x1000 at step 2", "can join at once"),
    ],
)
def test_a_sentence_that_means_nothing_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text)
    with pytest.raises(ConfigError, match=f"churn: .*{says}"):
        load(None, [f"churn=[{text}]"])


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["leave nobody-here at step 2"], "there is no nobody-here"),
        (["remove newcomer-2 at step 2", "join at step 1"], "there is no newcomer-2"),
        (["join at step 10"], "10 steps only"),
    ],
)
def test_a_change_that_could_never_happen_is_refused(texts: list[str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_all(texts, KNOWN, 10)


def test_a_trace_is_read_in_order_of_time(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("0,add,a\n2000,add,b\n\n1500,add,c\n3000,remove,a\n9000,add,a\n")
    lines = read_trace(path)
    assert [(line.second, line.add, line.node) for line in lines][:3] == [
        (0.0, True, "a"),
        (1.5, True, "c"),
        (2.0, True, "b"),
    ]
    assert len(lines) == 5


@pytest.mark.parametrize(
    "text",
    ["0,add", "x,add,a", "0,grow,a", "-5,add,a", "0,remove,a", "0,add,a\n1,add,a", "\xff\xfe,add,a", "nan,add,a"],
)
def test_a_damaged_trace_names_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"trace\.csv, line \d"):
        read_trace(path)


def test_a_trace_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    for name in ("none", "bytes"):
        with pytest.raises(ValueError, match="cannot be read"):
            read_trace(tmp_path / name)


def test_a_trace_becomes_sentences_in_which_its_first_machines_are_those_of_the_run() -> None:
    lines = [
        TraceLine(5.0, True, "a"),
        TraceLine(5.0, True, "b"),
        TraceLine(5.0, True, "c"),
        TraceLine(25.0, True, "d"),
    ]
    lines += [TraceLine(45.0, False, "b"), TraceLine(65.0, False, "d"), TraceLine(85.0, True, "b")]
    texts = sentences(lines, ["amber-bear", "calm-crane"], 2.0)
    assert texts == [
        "join at second 0.0",
        "join at second 10.0",
        "remove calm-crane at second 20.0",
        "remove newcomer-2 at second 30.0",
        "join at second 40.0",
    ]
    assert len(parse_all(texts, KNOWN, 10)) == len(texts)
    assert sentences([], []) == []
