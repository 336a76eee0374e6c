"""A trace of machines that come and go, replayed in virtual time."""

from __future__ import annotations

from orchestrator.churn import TraceLine
from orchestrator.simulation.trace_world import Replay, TraceSetting


def test_a_trace_is_trained_through_and_nothing_stands_still() -> None:
    """Six machines begin, four come, three go without a word."""
    lines = [TraceLine(0.0, True, f"node{number}") for number in range(6)]
    lines += [TraceLine(100.0 + 40 * number, True, f"late{number}") for number in range(4)]
    lines += [TraceLine(400.0, False, "node0"), TraceLine(600.0, False, "late1"), TraceLine(601.0, False, "node4")]
    lines.append(TraceLine(900.0, True, "last"))
    setting = TraceSetting(stages=2, microbatches=32, compute_s=1.0, load_s=10.0, max_share=0.5)
    result = Replay(lines, setting).run()
    assert result.outcome == ""
    assert result.stalls == 0
    assert result.empty_s == 0.0
    assert result.commits > 30
    assert 0.6 < result.goodput <= 1.05
    assert 0.3 < result.utilisation < 1.0
    assert 6 < result.mean_machines < 10
