"""The command line."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from orchestrator.config import ConfigError, RunConfig, as_dict, as_yaml, load
from orchestrator.ray_keeper import use_token

EXAMPLES = """examples:
  python -m orchestrator simulate --config cluster_configs/runs/quickstart.yaml train.steps=20
  python -m orchestrator reference --config cluster_configs/runs/quickstart.yaml
  python -m orchestrator status
  python -m orchestrator checkpoints outputs/checkpoints --verify
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; mistakes of a person are one sentence, not a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    console = Console(stderr=False)
    try:
        if options.command == "status":
            from orchestrator.status import show_status

            return show_status(
                options.run,
                options.address,
                via=options.via,
                as_json=options.json,
                watch=options.watch,
                console=console,
            )
        if options.command == "stop":
            from orchestrator.stop import stop_run

            return stop_run(options.run, options.address, console)
        if options.command == "leave":
            from orchestrator.stop import let_leave

            return let_leave(options.run, options.names, options.address, console)
        if options.command == "drop":
            from orchestrator.drop import drop_votes

            return drop_votes(
                options.run, options.address, options.names, options.owner, sure=options.yes, console=console
            )
        if options.command == "checkpoints":
            from orchestrator.checkpoints import show_checkpoints

            return show_checkpoints(options.url, verify=options.verify, as_json=options.json, console=console)
        config = load(options.config, options.set)
        if options.dry_run:
            sys.stdout.write(as_yaml(config))
            return 0
        return _run(options, config, shlex.join(["orchestrator", *given]), console)
    except ValueError as error:
        sys.stderr.write(f"tessera: {error}\n")
        return 2


def _run(options: argparse.Namespace, config: RunConfig, command: str, console: Console) -> int:
    local = options.command == "simulate" and not (config.ray.address or os.environ.get("RAY_ADDRESS"))
    if local:
        use_token()
    if options.command == "reference":
        return _reference(config, command, console)
    from orchestrator import driver

    if getattr(options, "trace", None):
        config = _with_trace(config, options.trace, options.trace_speed)
    if options.command != "simulate":
        for name in ("faults", "churn"):
            if getattr(config, name):
                raise ConfigError(f"{name}: only `simulate` has {name} on purpose.")
    if options.command == "invite":
        from orchestrator.launcher import write_bundle

        config = driver.resolve(config)
        for member in write_bundle(config, Path(options.out), options.address):
            console.print(f"{member.name}: stage {member.stage}, {member.address}", highlight=False)
        return 0
    return driver.run(config, command, local=local, console=console)


def _with_trace(config: RunConfig, path: str, speed: float) -> RunConfig:
    """The config with a trace's comings and goings. Raises ValueError for a file that is none."""
    import dataclasses

    from orchestrator.churn import read_trace, sentences
    from orchestrator.driver import resolve
    from orchestrator.launcher import places

    if not speed > 0:
        raise ConfigError(f"--trace-speed {speed:g} must be more than 0.")
    config = resolve(config)
    known = [name for name, _, _ in places(config)]
    return dataclasses.replace(config, churn=[*config.churn, *sentences(read_trace(Path(path)), known, speed)])


def _reference(config: RunConfig, command: str, console: Console) -> int:
    from actors.records import CommitRecord
    from orchestrator.data.source import OpenTokens
    from orchestrator.driver import resolve
    from orchestrator.reference import ReferenceStep, run_reference
    from orchestrator.telemetry.telemetry import Telemetry

    config = resolve(config)
    folder = Path(config.telemetry.output).expanduser().resolve() / f"{config.run_id}-reference"
    telemetry = Telemetry.open(
        config.telemetry, config.run_id, folder, as_dict(config), command, config.train.steps, console
    )

    def on_step(step: ReferenceStep) -> None:
        telemetry.commit(
            CommitRecord(
                step=step.step,
                commit=step.step + (step.loss is not None),
                loss=step.loss,
                grad_norm=step.grad_norm,
                clip_factor=1.0,
                lr=step.lr,
                tokens=step.tokens,
                seconds=step.seconds,
                validation_loss=step.validation_loss,
                leader="",
                counted={},
                hashes={},
                throughput={},
                boundary_bytes={},
                averaging_bytes=0,
                control_bytes=0,
            )
        )

    outcome = "failed"
    try:
        run_reference(
            config.model,
            config.optimizer,
            config.train,
            OpenTokens(config.data, config.train)(),
            on_step,
            options_threads(),
        )
        outcome = "finished"
    except KeyboardInterrupt:
        outcome = "stopped"
    finally:
        telemetry.finish(outcome, "")
    console.print(f"Report: {folder / 'report.html'}", highlight=False, soft_wrap=True)
    return 0 if outcome == "finished" else 130


def options_threads() -> int:
    """Return the torch threads of a single process: all cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="orchestrator",
        description="Train a language model together over ordinary connections; nobody holds the whole model.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("simulate", "train on this machine: several participants over emulated connections"),
        ("train", "train on the Ray cluster that this runs on (for `ray job submit`)"),
        ("reference", "the same training in one process, for comparison"),
        ("invite", "make keys, certificates and a roster for participants of several sites"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--config", help="YAML file with settings")
        command.add_argument("--dry-run", action="store_true", help="print the resolved config and stop")
        command.add_argument("set", nargs="*", metavar="section.key=value", help="settings that win over the file")
        if name == "simulate":
            command.add_argument("--trace", metavar="FILE", help="machines that come and go: ms,add|remove,node")
            command.add_argument("--trace-speed", type=float, default=1.0, help="replay it so many times as fast")
        if name == "invite":
            command.add_argument("--out", required=True, help="folder for the bundle")
            command.add_argument("--address", action="append", default=[], help="host:port of a participant, in order")
    stop = commands.add_parser("stop", help="end a running run, whether its driver lives or not")
    stop.add_argument("run", nargs="?", default="", help="run id; the newest one by default")
    stop.add_argument("--address", default="", help="of its Ray cluster")
    leave = commands.add_parser("leave", help="let participants go politely: nothing is lost, and the run goes on")
    leave.add_argument("run", help="run id")
    leave.add_argument("names", nargs="+", help="participants of this cluster that should go")
    leave.add_argument("--address", default="", help="of its Ray cluster")
    drop = commands.add_parser("drop", help="let a run go on that has lost the majority of its votes (its owner only)")
    drop.add_argument("run", help="run id")
    drop.add_argument("names", nargs="*", help="whose votes are lost for good; without names: show which are lost")
    drop.add_argument(
        "--owner", default="", metavar="FOLDER", help="with the owner's key; by default where it was made"
    )
    drop.add_argument("--yes", action="store_true", help="do not ask")
    drop.add_argument("--address", default="", help="of its Ray cluster")
    status = commands.add_parser("status", help="show a running run's mesh")
    status.add_argument("run", nargs="?", default="", help="run id; the newest one by default")
    status.add_argument("--address", default="", help="address of its Ray cluster")
    status.add_argument("--via", default="", metavar="NAME", help="ask this participant; by default whoever answers")
    status.add_argument("--json", action="store_true", help="print JSON; with --watch one line each time")
    status.add_argument("--watch", action="store_true", help="go on, once a second, until Ctrl-C or the run's end")
    checkpoints = commands.add_parser("checkpoints", help="list checkpoints, and say what is wrong with bad ones")
    checkpoints.add_argument("url", help="where they are: a folder, file://, s3://, ...")
    checkpoints.add_argument("--verify", action="store_true", help="read every byte and compare it with its hash")
    checkpoints.add_argument("--json", action="store_true", help="print JSON")
    return parser


__all__ = ["ConfigError", "main"]
