"""The command line: its arguments, and what each command prints."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rootfs

from . import inside, process, run, show
from .text import Printer, printable


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 for an error or a deviation, 2 for a wrong command line."""
    args = _parser().parse_args(arguments)
    printer = Printer(sys.stdout)
    try:
        return int(COMMANDS[args.command](args, printer))
    except rootfs.RootfsError as error:
        _complain(args.json, error.as_dict(), error.message)
    except (OSError, ValueError, inside.CannotEnter, run.InitFailed) as error:
        _complain(args.json, {"message": str(error)}, str(error))
    except BrokenPipeError:
        sys.stderr.close()
    return 1


def _complain(as_json: bool, fields: Mapping[str, Any], message: str) -> None:
    """Says what went wrong on standard error."""
    printer = Printer(sys.stderr)
    if as_json:
        printer.line(json.dumps({"error": fields}))
    else:
        printer.line(f"{printer.colour('red', 'rootfs:')} {printable(message)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rootfs", description="The root file system of an OCI bundle: what it asks for, what is done, what is there."
    )
    parser.add_argument("--version", action="version", version=f"rootfs {rootfs.version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, bundle: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        if bundle:
            sub.add_argument("bundle", type=Path, nargs="?", default=Path("."), help="bundle directory, or its config.json (.)")
            sub.add_argument("--options", type=_options, default={}, metavar="JSON", help="host options, or @FILE with them")
        sub.add_argument("--json", action="store_true", help="JSON for programs")
        return sub

    command("plan", "Shows the steps that would set up the root.")
    command("validate", "Checks config.json and the host options.")
    sub = command("verify", "Compares a running container with its config.json.")
    sub.add_argument("--pid", type=int, required=True, help="a process of the container")
    command("features", "Shows what this kernel and this library can do.", bundle=False)
    sub = command("run", "Runs the bundle's process in new namespaces.")
    sub.add_argument("--progress", action="store_true", help="show each step on standard error")
    return parser


def _options(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    except OSError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise argparse.ArgumentTypeError("host options are a JSON object")
    return parsed


def _plan(args: argparse.Namespace, printer: Printer) -> int:
    document = rootfs.plan(args.bundle, options=args.options)
    if args.json:
        printer.line(json.dumps(document, indent=2))
    else:
        show.plan(printer, document)
    return 0


def _validate(args: argparse.Namespace, printer: Printer) -> int:
    rootfs.validate(args.bundle, options=args.options)
    printer.line(json.dumps({"valid": True}) if args.json else f"{printer.colour('green', 'valid')}: {args.bundle}")
    return 0


def _verify(args: argparse.Namespace, printer: Printer) -> int:
    report = inside.verify(args.pid, _bundle(args), args.options)
    if args.json:
        printer.line(json.dumps(report, indent=2))
    else:
        show.report(printer, report)
    return 1 if report["deviations"] else 0


def _features(args: argparse.Namespace, printer: Printer) -> int:
    document = rootfs.features()
    if args.json:
        printer.line(json.dumps(document, indent=2))
    else:
        printer.tree(document)
    return 0


def _run(args: argparse.Namespace, _printer: Printer) -> int:
    bundle = _bundle(args)
    stderr = Printer(sys.stderr)
    rootfs.validate(bundle, options=args.options)
    left = process.not_applied(json.loads((bundle / "config.json").read_bytes()))
    if left and args.json:
        stderr.line(json.dumps({"notApplied": left}))
    elif left:
        stderr.line(f"{stderr.colour('yellow', 'rootfs:')} not applied by this small runtime: {', '.join(left)}")

    def progress(step: Mapping[str, Any]) -> None:
        if args.json:
            stderr.line(json.dumps({"progress": step}))
        else:
            count = stderr.colour("dim", f"[{step['index'] + 1}/{step['count']}]")
            stderr.line(f"{count} {step['operation']} {printable(step['target'])}")

    return run.run(bundle, args.options, progress if args.progress else None)


def _bundle(args: argparse.Namespace) -> Path:
    bundle: Path = args.bundle.resolve()
    return bundle.parent if bundle.is_file() else bundle


COMMANDS = {"plan": _plan, "validate": _validate, "verify": _verify, "features": _features, "run": _run}
