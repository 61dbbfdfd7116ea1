"""``asteroid plan``: cost estimate of a manifest."""

import dataclasses
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from asteroid.cli.common import JsonOption, ManifestArgument, load_with_warnings, make_table, out, print_json

if TYPE_CHECKING:
    from asteroid.plan import Growth, Quote
    from asteroid.store.chain_records import Pilot


def plan(
    manifest: ManifestArgument,
    workers: Annotated[
        int, typer.Option(min=0, help="Label workers of the run, one core each; the cores of this machine when 0.")
    ] = 0,
    store: Annotated[
        str | None, typer.Option("--store", help="Folder or URL; the manifest's own when not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Estimate the cost of a manifest before it is run.

    Labels a few frames at each level, times a few steps of MD and of training, and multiplies by what the store lacks:
    on a half-finished store it quotes the rest. Costs known from the store are not measured again. It stores the
    quote, for the report to compare with the actual cost, and after a pilot a picture of the chains of levels.
    """
    from asteroid.plan import quote
    from asteroid.report.chain_plots import expected_errors
    from asteroid.stages import with_chain
    from asteroid.stages.kept_quotes import keep_quote
    from asteroid.stages.pilot import read_pilot
    from asteroid.store import Store, paths

    loaded = load_with_warnings(manifest)
    where = Store(store or loaded.store)
    molecules = [with_chain(where, molecule) for molecule in loaded.molecules]
    cores = len(os.sched_getaffinity(0))
    console = Console(stderr=True)
    with console.status("measuring") as status:
        found = quote(
            where,
            molecules,
            workers=workers or cores,
            cores=cores,
            note=lambda text: status.update(f"measuring {text}"),
        )
    for molecule in molecules:
        keep_quote(where, molecule, found.of(molecule.name), workers=found.workers)
    if as_json:
        print_json(_as_json(found))
        return
    for name in found.molecules:
        out.print(_table(found, name))
    for molecule in loaded.molecules:
        if (pilot := read_pilot(where, molecule)) is not None:
            out.print(_chains(molecule.name, str(molecule.cheap), pilot))
            picture = paths.chains_picture(molecule.name)
            where.write(picture, expected_errors(pilot, str(molecule.cheap)))
            out.print(f"Picture: {where.location(picture)}")
    for growth in found.growth:
        out.print(_growth_sentence(growth))
    out.print(f"\n[bold]{found.sentence()}[/]")
    if found.least_core_seconds < 0.95 * found.core_seconds:
        out.print(
            "This is an upper bound: trainings may stop early and the minimum may need fewer labels, "
            f"down to {found.least_core_seconds / 3600:.2g} core-hours."
        )


def _table(quote: "Quote", molecule: str) -> Table:
    from asteroid.plan.lines import duration

    figures = ("count", "core-h", "wall, alone", "GB", "MB on disk", "spent core-h")
    table = make_table(f"{molecule}, still to do", ("stage, measured",), figures)
    for line in quote.of(molecule):
        table.add_row(
            "\n".join(filter(None, (f"{line.stage}: {line.detail}", line.source))),
            f"{line.count}\n{line.unit}",
            f"{line.core_seconds / 3600:.3f}",
            duration(line.wall_seconds),
            f"{line.processes} × {line.memory / 1024:.1f}" if line.memory else "",
            f"{line.disk:.1f}",
            f"{line.spent_core_seconds / 3600:.3f}" if line.spent_core_seconds else "",
        )
    return table


def _chains(molecule: str, cheap: str, pilot: "Pilot") -> Table:
    """Expected errors of the chains of levels from the pilot, the best first."""
    figures = ("expected, meV/Å", "per step", "core-h")
    table = make_table(f"{molecule}, chains of levels by a pilot of {pilot.frames} labels", ("labels",), figures)
    for chain in pilot.chains:
        labels = " → ".join(f"{count} {level}" for level, count in zip(chain.levels, chain.labels, strict=True))
        table.add_row(
            f"{cheap} → {labels}" + (" (chosen)" if chain == pilot.chosen else ""),
            f"{1000 * chain.error:.3g}",
            ", ".join(f"{1000 * part:.2g}" for part in chain.parts),
            f"{chain.core_seconds / 3600:.3g}",
        )
    return table


def _growth_sentence(growth: "Growth") -> str:
    points = ", ".join(f"{formula} {size}: {seconds:.3g} s" for formula, size, seconds in growth.points)
    if growth.exponent is None:
        return f"{growth.level}: about one size only ({growth.measure} of {points}), so nothing says how its cost grows"
    largest = growth.points[-1][1]
    return (
        f"{growth.level}: cost grows as ({growth.measure})^{growth.exponent:.1f} ({points}); "
        f"twice the largest: about {growth.at(2 * largest):.3g} s a label"
    )


_TOTALS = (
    "core_seconds", "least_core_seconds", "spent_core_seconds", "wall_seconds", "memory", "disk", "worker_memory",
)  # fmt: skip


def _as_json(quote: "Quote") -> dict[str, Any]:
    content = dataclasses.asdict(quote)
    for name in _TOTALS:
        content[name] = getattr(quote, name)
    for growth, entry in zip(quote.growth, content["growth"], strict=True):
        entry["twice_as_large"] = growth.at(2 * growth.points[-1][1])
    return {**content, "sentence": quote.sentence()}
