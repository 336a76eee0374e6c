"""Starting a run's participants: actors, certificates, roster. The driver's half of the run is in `driver.py`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import ray

from actors.chronicle import Sink
from actors.faults.log import FaultLog
from actors.faults.schedule import Fault, parse_all
from actors.keepsakes import owner_folder
from actors.membership.view import Member
from actors.mesh_actor import MeshActor
from actors.records import Event
from actors.spec import NAMESPACE, ParticipantSpec, emulation_for
from actors.transport.identity import Identity, Owner
from orchestrator.churn import Change
from orchestrator.churn import parse_all as parse_changes
from orchestrator.config import ConfigError, RunConfig, as_dict, as_yaml, config_hash
from orchestrator.data.source import OpenTokens, describe
from orchestrator.names import participant_names
from sharding.partition import no_stage, partition

START_S = 180.0
"""Deadline for actors to come up and answer."""
FIRST = 16
"""Addresses that a participant is given to find the mesh; any one that lives is enough."""


@dataclass(frozen=True)
class Launched:
    """A participant that this driver started."""

    spec: ParticipantSpec
    actor: Any

    @property
    def label(self) -> str:
        """Name and stage, for messages."""
        return f"{self.spec.name} (stage {self.spec.stage.index})"


def with_data(config: RunConfig) -> RunConfig:
    """Read the corpus and return the config with its fingerprint and vocabulary. Raises ValueError."""
    found = describe(config.data, config.train)
    if config.model.vocab_size not in (0, found.vocab_size):
        raise ConfigError(
            f"model.vocab_size={config.model.vocab_size} but the tokenizer has {found.vocab_size} ids: leave it at 0."
        )
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, vocab_size=found.vocab_size),
        data=dataclasses.replace(config.data, fingerprint=config.data.fingerprint or found.fingerprint),
    )


@dataclass(frozen=True)
class OpenReport:
    """Opens the run's journal and report anew, in whatever process; for participants without a driver."""

    config: RunConfig
    command: str
    folder: str

    def __call__(self) -> Sink:
        """Open it, going on with what is there."""
        from rich.console import Console

        from orchestrator.telemetry.telemetry import Telemetry

        quiet = dataclasses.replace(self.config.telemetry, wandb="disabled", progress="lines", ray_metrics=False)
        console = Console(quiet=True)
        resolved = as_dict(self.config)
        steps = self.config.train.steps
        folder = Path(self.folder)
        return Telemetry.open(quiet, self.config.run_id, folder, resolved, self.command, steps, console, resume=True)

    def tell(self, events: Sequence[Event]) -> None:
        """Leave events for whoever writes the report."""
        from orchestrator.telemetry.files import Journal

        journal = Journal(Path(self.folder), resume=True, name=Journal.EVENTS)
        for event in events:
            journal.append(dataclasses.asdict(event))
        journal.close()


def places(config: RunConfig) -> list[tuple[str, int, int]]:
    """(name, stage, replica) of all participants of a run that the launcher names itself."""
    names = participant_names(config.run_id, config.layout.stages * config.layout.replicas)
    where = [(stage, replica) for stage in range(config.layout.stages) for replica in range(config.layout.replicas)]
    return [(name, stage, replica) for name, (stage, replica) in zip(names, where, strict=True)]


def schedule(config: RunConfig) -> tuple[Fault, ...]:
    """The run's faults. Raises ConfigError for what could never happen."""
    if config.faults and config.mesh.bundle:
        raise ConfigError(
            "faults: only a simulation has faults on purpose; leave them out where there is a mesh.bundle."
        )
    try:
        return parse_all(config.faults, places(config), config.train.steps)
    except ValueError as error:
        raise ConfigError(f"faults: {error}") from None


def churn(config: RunConfig) -> list[Change]:
    """Who comes and goes. Raises ConfigError for what could never happen."""
    if config.churn and config.mesh.bundle:
        raise ConfigError("churn: only a simulation starts newcomers by itself; leave it out where there is a bundle.")
    spares = 0 if config.mesh.bundle else config.layout.spares * config.layout.stages
    first = [f"join spare x{spares} at step 1"] if spares else []
    try:
        return parse_changes([*first, *config.churn], places(config), config.train.steps)
    except ValueError as error:
        raise ConfigError(f"churn: {error}") from None


def participant_specs(config: RunConfig) -> list[ParticipantSpec]:
    """Return the specs of all participants of the run that the launcher names itself."""
    return [_spec(config, *place) for place in places(config)]


def _spec(config: RunConfig, name: str, stage: int, replica: int, folder: str = "", port: int = 0) -> ParticipantSpec:
    stages = config.layout.stages
    return ParticipantSpec(
        run_id=config.run_id,
        name=name,
        replica=replica,
        stage=partition(config.model, stages)[stage] if stage >= 0 else no_stage(stages),
        model=config.model,
        optimizer=config.optimizer,
        layout=config.layout,
        train=config.train,
        emulate=emulation_for(config.emulate, name, stage, replica),
        profile=config.mesh.profile,
        host=config.mesh.host,
        port=port,
        folder=folder,
        config_hash=config_hash(config),
        fingerprint=config.data.fingerprint,
        tokens=OpenTokens(config.data, config.train),
        gpus=_gpus(config),
        checkpoint=config.checkpoint,
        config_text=as_yaml(config),
        spot=config.mesh.spot,
        spot_url=config.mesh.spot_url,
    )


def _gpus(config: RunConfig) -> int:
    if config.layout.device == "cpu":
        return 0
    shards = config.layout.stages * config.layout.replicas * config.layout.devices
    enough = ray.is_initialized() and ray.cluster_resources().get("GPU", 0) >= shards
    return 1 if enough else 0


def fault_folder(folder: str) -> Path:
    """Where it is written down which faults of a run have happened."""
    return Path(folder) / "faults"


# Invitation bundles: how participants of several sites get to know each other without Ray


def write_bundle(config: RunConfig, folder: Path, addresses: list[str]) -> list[Member]:
    """Make keys, certificates and the roster for participants that listen at `addresses` (host:port each)."""
    specs = participant_specs(config)
    if len(addresses) != len(specs):
        raise ConfigError(f"{len(specs)} participants need {len(specs)} addresses, and {len(addresses)} were given.")
    owner = Owner.load_or_create(folder / "owner")
    members = []
    for spec, address in zip(specs, addresses, strict=True):
        identity = Identity.load_or_create(folder / spec.name)
        identity.install(owner.issue(identity.public_key, spec.name, config.run_id), owner.ca_pem)
        members.append(Member(identity.peer_id, spec.name, spec.stage.index, address))
    roster = {"run_id": config.run_id, "members": [dataclasses.asdict(member) for member in members]}
    (folder / "roster.json").write_text(json.dumps(roster, indent=2) + "\n")
    return members


def read_bundle(config: RunConfig) -> tuple[str, list[Member]]:
    """Return run id and members of the config's bundle. Raises ConfigError."""
    path = Path(config.mesh.bundle) / "roster.json"
    try:
        data = json.loads(path.read_text())
        members = [Member(**entry) for entry in data["members"]]
        run_id = str(data["run_id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"mesh.bundle: {path} is not a roster made by `orchestrator invite` ({error}).") from None
    unknown = set(config.mesh.participants) - {member.name for member in members}
    if unknown:
        raise ConfigError(f"mesh.participants: {', '.join(sorted(unknown))} is not in {path}.")
    return run_id, members


def bundle_specs(config: RunConfig, members: list[Member]) -> list[ParticipantSpec]:
    """Return the specs of the bundle's participants that this site hosts."""
    counts: dict[int, int] = {}
    specs = []
    for member in members:
        replica = counts[member.stage] = counts.get(member.stage, -1) + 1
        if not config.mesh.participants or member.name in config.mesh.participants:
            folder = str((Path(config.mesh.bundle) / member.name).resolve())
            port = int(member.address.rsplit(":", 1)[1])
            specs.append(_spec(config, member.name, member.stage, replica, folder, port))
    return specs


def launch(config: RunConfig, sink: OpenReport, say: Callable[[str], None], started: list[Launched]) -> None:
    """Start this site's participants, appending each to `started` as it comes up, so that a failure can end them."""
    members: list[Member] | None = None
    if config.mesh.bundle:
        _, members = read_bundle(config)
        specs = bundle_specs(config, members)
    else:
        specs = participant_specs(config)
    specs = [dataclasses.replace(spec, sink=sink) for spec in specs]
    faults = schedule(config)
    if faults:
        folder = fault_folder(sink.folder)
        FaultLog(folder).clear()
        known = tuple(places(config))
        specs = [dataclasses.replace(spec, faults=faults, faults_folder=str(folder), places=known) for spec in specs]
    say(f"starting {len(specs)} participants")
    started.extend(Launched(spec, _actor(spec)) for spec in specs)
    anew = members is None
    opened = ray.get([entry.actor.open.remote(anew=anew) for entry in started], timeout=START_S)
    certificates = _certificates(config, specs, opened) if members is None else [(b"", b"")] * len(specs)
    say("exchanging certificates and addresses")
    calls = [entry.actor.listen.remote(*pair) for entry, pair in zip(started, certificates, strict=True)]
    addresses = ray.get(calls, timeout=START_S)
    first = addresses if members is None else [member.address for member in members]
    say("building stages")
    ray.get([entry.actor.start.remote(first[:FIRST]) for entry in started], timeout=START_S)


def create_newcomer(config: RunConfig, sink: OpenReport, number: int, *, spare: bool = False) -> Launched:
    """The actor of one more participant of a running run, number `number` from 1. Nothing is waited for."""
    first = config.layout.stages * config.layout.replicas
    name = participant_names(config.run_id, first + number)[-1]
    spec = dataclasses.replace(_spec(config, name, -1, number), sink=sink, spare=spare)
    return Launched(spec, _actor(spec))


def bring_up(config: RunConfig, newcomer: Launched, others: Sequence[Launched]) -> None:
    """Give a newcomer its certificate and addresses; the mesh gives it a stage.

    Args:
        config: the run's.
        newcomer: made by `create_newcomer`.
        others: participants that are there, any of which is enough to find the mesh.

    Raises RayError, IdentityError, or ValueError where nobody answers.
    """
    addresses: list[str] = []
    for entry in others:
        with contextlib.suppress(ray.exceptions.RayError):
            addresses.append(ray.get(entry.actor.address.remote(), timeout=5.0))
    if not any(addresses):
        raise ValueError("no participant answers through which it could find the mesh")
    actor = newcomer.actor
    _, public_key, _ = ray.get(actor.open.remote(anew=True), timeout=START_S)
    owner = Owner.load(owner_folder(config.run_id))
    certificate = owner.issue(public_key, newcomer.spec.name, config.run_id), owner.ca_pem
    ray.get(actor.listen.remote(*certificate), timeout=START_S)
    ray.get(actor.start.remote([one for one in addresses if one][:FIRST]), timeout=START_S)


def _actor(spec: ParticipantSpec) -> Any:
    options = cast(Any, MeshActor).options(
        name=spec.actor_name, namespace=NAMESPACE, lifetime="detached", scheduling_strategy="SPREAD"
    )
    return options.remote(spec)


def _certificates(config: RunConfig, specs: list[ParticipantSpec], opened: list[Any]) -> list[tuple[bytes, bytes]]:
    """Issue a certificate for each participant. The owner's key stays on this machine, for `orchestrator drop`."""
    folder = owner_folder(config.run_id)
    shutil.rmtree(folder, ignore_errors=True)
    owner = Owner.create(folder)
    return [
        (owner.issue(public_key, spec.name, config.run_id), owner.ca_pem)
        for spec, (_, public_key, _) in zip(specs, opened, strict=True)
    ]
