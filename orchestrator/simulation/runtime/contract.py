"""What every simulated run has to keep, checked from outside at each effect of each participant (DESIGN, section 5).

The checks use what participants do, and not what they believe: votes as they go to disk, averages as they are applied,
parameters as the shards hold them, against a training of the same model in one process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from actors.records import CommitRecord
from actors.spec import ParticipantSpec
from actors.steps import ballots, effects
from actors.steps.ballots import Decision
from actors.steps.eras import origin
from actors.steps.participant import Participant
from actors.steps.vote import Vote
from orchestrator.simulation.runtime.numpy_engine import NumpyEngine
from orchestrator.simulation.runtime.numpy_model import Reference

TOLERANCE = 1e-5
"""Largest relative difference to the reference, for losses and for parameters."""


class Contract:
    """The ledger of one run.

    Args:
        spec: any participant of the run.
        reference: the undisturbed training.
        broken: called with a sentence when something does not hold.
        now: returns the world's time.
    """

    def __init__(
        self, spec: ParticipantSpec, reference: Reference, broken: Callable[[str], None], now: Callable[[], float]
    ) -> None:
        self._spec, self._reference, self._broken, self._now = spec, reference, broken, now
        self.votes: dict[str, Vote] = {}
        """Peer -> what is on its disk."""
        self._given: dict[tuple[str, int], tuple[int, int, int]] = {}
        """(Peer, life) -> the newest (slot, promised, accepted ballot) that went to its disk."""
        self._accepted: dict[int, list[tuple[Decision, set[tuple[str, int]]]]] = {}
        """Slot -> proposals, each with (peer, life) of those that have accepted it."""
        self.decisions: dict[int, Decision] = {}
        """Slot -> what was decided."""
        self.decided_at: dict[int, float] = {}
        """Slot -> when the first participant knew."""
        self.steps: dict[int, CommitRecord] = {}
        """Step -> the record of the newest era."""
        self._averages: dict[tuple[int, int, int], tuple[bytes, float]] = {}
        """(Stage, era, step) -> the average that was applied first, and its clip factor."""
        self._parameters: dict[tuple[int, int, int], str] = {}
        """(Stage, era, commit) -> hash of the parameters."""
        self.notes: Counter[str] = Counter()

    # --- effects ---------------------------------------------------------------------------------------------------

    def before(self, peer: str, effect: effects.Effect, participant: Participant) -> None:
        """A participant is about to do this."""
        decision = participant.context.decision
        if decision.slot >= 0 and self.decisions.get(decision.slot) is not decision:
            self._decided(decision, participant)
        match effect:
            case effects.KeepVote(vote):
                self._remembers(peer, vote)
                self.votes[peer] = vote
                self._voted(peer, vote)
            case effects.Send(_, ballots.Promise() | ballots.Accepted()) if participant.context.view.number == 0:
                self._voted(peer, participant.context.agreement.vote(0))  # needs all members, so no vote is on disk
            case effects.Send(_, ballots.Promise(slot, ballot, accepted)):
                kept = self.votes.get(peer)
                given = self._given.get((peer, participant.context.me.life), (-1, -1, -1))
                if given[0] == slot and given[2] > accepted:
                    self._broken(f"{self._name(participant)} forgets that it accepted {given[2]} in slot {slot}")
                if ballot > 0 and (kept is None or kept.slot != slot or kept.promised < ballot):  # none is below 0
                    self._broken(f"{self._name(participant)} tells a promise, {slot}/{ballot}, that is not on disk")
            case effects.Send(_, ballots.Accepted(slot, ballot)):
                kept = self.votes.get(peer)
                if kept is None or kept.slot != slot or kept.accepted_ballot < ballot:
                    self._broken(f"{self._name(participant)} tells a vote, {slot}/{ballot}, that is not on disk")
            case effects.ApplyUpdate(step, average, clip_factor):
                self._applies(participant, step, average.tobytes(), clip_factor)
            case effects.Committed(record):
                self._committed(participant, record)
            case effects.Note(kind, _):
                self.notes[kind] += 1

    @staticmethod
    def _name(participant: Participant) -> str:
        return participant.context.me.name

    def _remembers(self, peer: str, vote: Vote) -> None:
        """What one life has promised and accepted is never taken back, in whichever process."""
        now = (vote.slot, vote.promised, vote.accepted_ballot)
        before = self._given.get((peer, vote.life), now)
        if now < before:
            self._broken(f"{peer[:8]} forgets its vote: {now} after {before}, (slot, promised, accepted)")
        self._given[peer, vote.life] = max(now, before)

    def _voted(self, peer: str, vote: Vote) -> None:
        if vote.accepted is None:
            return
        proposals = self._accepted.setdefault(vote.slot, [])
        for proposal, voters in proposals:
            if proposal == vote.accepted:
                voters.add((peer, vote.life))
                return
        proposals.append((vote.accepted, {(peer, vote.life)}))

    # --- requirements of agreement -----------------------------------------------------------------------------------

    def _decided(self, decision: Decision, participant: Participant) -> None:
        """A decision is unique in its slot, and a quorum of the view before it has accepted it."""
        name, slot = self._name(participant), decision.slot
        known = self.decisions.get(slot)
        if known is not None:
            if known != decision and slot > 0:  # slot 0 is no decision: a process without memory has its own idea of it
                self._broken(f"{name} knows another decision {slot} than others do")
            return
        self.decisions[slot] = decision
        self.decided_at[slot] = self._now()
        before = self.decisions.get(slot - 1)
        if slot == 0:
            return
        if before is None:
            self._broken(f"{name} knows decision {slot}, and there never was one before it")
            return
        voters: set[tuple[str, int]] = set()
        for proposal, accepted_by in self._accepted.get(slot, ()):
            if proposal == decision:
                voters = {(peer, life) for peer, life in accepted_by if before.view.votes(peer, life)}
        own = before.view.number == 0 or before.view.quorum == 1  # where the leader's own vote is told to no peer
        if len(voters) < before.view.quorum - own:
            self._broken(f"{name} takes decision {slot} with {len(voters)} votes of {before.view.quorum}")
        self._accepted = {other: found for other, found in self._accepted.items() if other >= slot}

    def _applies(self, participant: Participant, step: int, average: bytes, clip_factor: float) -> None:
        """Only what is decided is applied, and everywhere the same."""
        name, context = self._name(participant), participant.context
        if not any(d.record is not None and d.record.step == step for d in self.decisions.values()):
            self._broken(f"{name} applies step {step}, which is not decided")
        key = (context.me.stage, origin(context.decision.returns, step + 1), step)
        if self._averages.setdefault(key, (average, clip_factor)) != (average, clip_factor):
            self._broken(f"{name} applies another average in step {step} than its replicas")

    def _committed(self, participant: Participant, record: CommitRecord) -> None:
        """Every microbatch counts once at each stage; loss and norm are those of the reference."""
        known = self.steps.get(record.step)
        if known is not None and record.era < known.era:
            return
        if known is not None and record.era == known.era:
            if known != record:
                self._broken(f"{self._name(participant)} commits another step {record.step} than others did")
            return
        self.steps[record.step] = record
        if record.validation_loss is not None:
            self._near(record.step, "validation loss", record.validation_loss, self._reference.validation[record.step])
        if not record.tokens:
            return
        everything = list(range(self._spec.train.microbatches))
        for stage in range(self._spec.layout.stages):
            names = [name for name, served in record.stages.items() if served == stage]
            counted = sorted(index for name in names for index in record.counted.get(name, []))
            if counted != everything:
                self._broken(f"step {record.step}: stage {stage} counted {counted}")
            hashes = {record.hashes[name] for name in names if record.hashes.get(name)}
            if len(hashes) != 1:
                self._broken(f"step {record.step}: replicas of stage {stage} held {len(hashes)} different parameters")
        self._near(record.step, "loss", record.loss, self._reference.losses[record.step])
        self._near(record.step, "gradient norm", record.grad_norm, self._reference.norms[record.step])

    def _near(self, step: int, what: str, found: float | None, wanted: float) -> None:
        if found is None or abs(found - wanted) > TOLERANCE * abs(wanted):
            self._broken(f"step {step}: the {what} is {found} and not {wanted}")

    # --- shards ------------------------------------------------------------------------------------------------------

    def holds(self, participant: Participant | None, engine: NumpyEngine) -> None:
        """The shards of a participant hold other parameters than before."""
        commit, stage = engine.commit, engine.stage.index
        returns = participant.context.decision.returns if participant is not None else ()
        name = engine.spec.name
        digest = engine.parameter_hash()
        if self._parameters.setdefault((stage, origin(returns, commit), commit), digest) != digest:
            self._broken(f"{name} holds other bits of commit {commit} than its replicas")
        wanted = self._reference.commits[commit]
        for key, value in engine.values().items():
            error = _error(value, wanted[key])
            if error > TOLERANCE:
                self._broken(f"{name} holds {key} of commit {commit} with an error of {error:.1e}")

    def missing(self) -> list[int]:
        """Steps that are not committed."""
        first = max(0, self._spec.checkpoint.resume_commit)
        return [step for step in range(first, self._spec.train.steps) if step not in self.steps]


def _error(found: Any, wanted: Any) -> float:
    return float(np.abs(found - wanted).max() / max(1e-3, float(np.abs(wanted).max())))
