"""The command line, ``asteroid --help``.

Each command is a function in a module of this package: it reads its arguments, calls :mod:`asteroid.stages` or a layer
below, and prints tables, or JSON with ``--json``. Exit codes: 0 success, 1 failed work, 2 bad input, 3 finished but not
certified, 130 stopped by Ctrl-C, 143 by SIGTERM.
"""

import sys
from typing import Annotated, Any

import typer

from asteroid import stopping
from asteroid.cli import compact, compare, doctor, exchange, export_model, init, labels, ledger, pipeline, plan, show
from asteroid.cli.common import out
from asteroid.errors import AsteroidError, InputError
from asteroid.stopping import Stopped
from asteroid.version import __version__

# Typer brings a copy of click under a private name.
UsageError: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="asteroid",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Accurate machine-learned force fields from few expensive labels and many cheap ones.\n\n"
    "Start with [bold]asteroid init CCO first.yaml[/], or [bold]asteroid run manifests/demo.yaml[/].",
)

for command in (
    init.init,
    pipeline.run,
    pipeline.check,
    plan.plan,
    labels.label,
    doctor.doctor,
    ledger.status,
    ledger.audit,
    exchange.export,
    export_model.export_model,
    compare.compare,
    compact.compact,
):
    app.command()(command)
# ``import`` is a keyword of Python, and ``open`` a function.
app.command(name="open")(show.open_report)
app.command(name="import")(exchange.import_labels)


@app.callback(invoke_without_command=True)
def about(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
) -> None:
    """Options without a command; prints the help."""
    if version:
        out.print(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)


def main() -> None:
    """Entry point: prints expected errors on one line and exits with the code."""
    stopping.install()
    try:
        # Without Typer's frame around a wrong option; exit codes then come back as values.
        code = app(prog_name="asteroid", standalone_mode=False)
    except UsageError as error:
        print(_in_one_line(error), file=sys.stderr)
        sys.exit(2)
    except InputError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        sys.exit(2)
    except AsteroidError as error:
        print(f"asteroid: {error}", file=sys.stderr)
        sys.exit(1)
    except Stopped as stopped:
        stopping.end(stopped.number)
    sys.exit(code if isinstance(code, int) else 0)


def _in_one_line(error: Any) -> str:
    """A wrong command, option or value, with the command that lists the right ones."""
    command = error.ctx.command_path if error.ctx else "asteroid"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{command}: {message[:1].lower()}{message[1:]} ('{command} --help' lists what it takes)"
