"""The command line, ``asteroid --help``.

Thin: each command reads its arguments, calls :mod:`asteroid.stages` or a layer below it, and prints. Exit codes: 0
done, 1 the work failed, 2 bad input, 3 done but not certified, 130 stopped by
Ctrl-C, 143 by SIGTERM. For people there is a progress bar and a table, for machines ``--json``. A command
is a function in one of the modules here and a line below.
"""

import sys
from typing import Annotated

import typer

from asteroid import __version__, stopping
from asteroid.cli import compact, compare, doctor, exchange, labels, ledger, pipeline, plan
from asteroid.cli.common import out
from asteroid.errors import AsteroidError, InputError
from asteroid.stopping import Stopped

app = typer.Typer(
    name="asteroid",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Accurate machine-learned force fields from few expensive labels and many cheap ones.\n\n"
    "Start with [bold]asteroid check manifests/demo.yaml[/], then [bold]asteroid run manifests/demo.yaml[/].",
)

for command in (
    pipeline.run,
    pipeline.check,
    plan.plan,
    labels.label,
    doctor.doctor,
    ledger.status,
    ledger.audit,
    exchange.export,
    compare.compare,
    compact.compact,
):
    app.command()(command)
# ``import`` is a word of Python.
app.command(name="import")(exchange.import_labels)


@app.callback(invoke_without_command=True)
def about(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point: errors raised on purpose become one line each and an exit code."""
    stopping.install()
    try:
        app()
    except InputError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        sys.exit(2)
    except AsteroidError as error:
        print(f"asteroid: {error}", file=sys.stderr)
        sys.exit(1)
    except Stopped as stopped:
        stopping.end(stopped.number)
