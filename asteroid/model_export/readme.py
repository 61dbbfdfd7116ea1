"""Model card of an exported model as on Hugging Face: ``README.md`` with its properties as YAML at the top.

It says what the model was made from, its errors, and what it must not be used for. It is written from
:class:`~asteroid.model_export.card.ExportedCard` alone.
"""

from collections.abc import Sequence

from asteroid.model_export.card import Certified, ExportedCard, Known
from asteroid.model_export.programs import Program
from asteroid.quantities import format_number, format_quantity, shown_unit
from asteroid.report.words import count, how_trained
from asteroid.validation.line import Line

_FILES = {
    "card.json": "what the model was made from, its certificates and limits, for machines",
    "in.lammps": "commands of LAMMPS, read by `run_lammps.py`",
    "md.lammps": "the simulation, read by `run_lammps.py`",
    "model.model": "the model, for MACE",
    "model.pt": "the model, for metatomic",
    "molecule.data": "the molecule for LAMMPS",
    "molecule.xyz": "geometries with the model's energies and forces, for the check",
}


def write_readme(card: ExportedCard, program: Program, files: Sequence[str]) -> str:
    """The text of ``README.md``.

    Args:
        files: names of the other files of the folder.
    """
    parts = [
        _front_matter(card),
        f"# {card.model.molecule} at {card.model.accurate}",
        _summary(card),
        "## Use",
        f"```bash\npip install {program.packages}\npython {program.example}\n```",
        f"`{program.example}` first compares energies and forces of {program.title} with those in `molecule.xyz`, to "
        f"1e-5 eV/atom and 1e-5 eV/Å, then runs MD. {program.note}".rstrip(),
        "## Limits",
        _limits(card),
        "## Accuracy",
        *(_accuracy(card)),
        "## Training",
        _training(card),
        "## Files",
        "\n".join(f"- `{name}`: {_FILES.get(name, 'the example')}" for name in files),
        "## Licence",
        _license(card),
        "## Citation",
        "Bukharin et al., Machine Learning Force Fields with Data Cost Aware Training, ICML 2023, arXiv:2306.03109. "
        "Batatia et al., MACE, NeurIPS 2022, arXiv:2206.07697.",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(card: ExportedCard) -> str:
    tags = ["mace", "asteroid", "machine-learning-potential", "molecular-dynamics", "chemistry", card.format]
    listed = "\n".join(f"- {tag}" for tag in dict.fromkeys(tags))
    return f"---\nlicense: {card.license}\nlibrary_name: mace-torch\ntags:\n{listed}\n---"


def _summary(card: ExportedCard) -> str:
    formulas = ", ".join(f"{one.name} ({one.formula})" for one in card.molecules)
    return (
        f"A MACE force field of {formulas} at {card.model.accurate}, made by asteroid {card.model.asteroid_version}. "
        f"Model {card.model.model_id}. Energies are total energies in eV, forces in eV/Å. {_verdict(card)}"
    )


def _verdict(card: ExportedCard) -> str:
    if not card.certificates:
        return "**It was never certified: its errors are unknown.**"
    passed = [one.molecule for one in card.certificates if one.state == "passed"]
    if len(passed) == len(card.certificates):
        return "It passed its certificate."
    others = [f"{one.molecule}: {one.state}" for one in card.certificates if one.state != "passed"]
    return f"**It is not certified ({'; '.join(others)}).**"


def _limits(card: ExportedCard) -> str:
    lines = [f"- Only {_molecule(one)}." for one in card.molecules]
    lines += [f"- Elements: {', '.join(card.elements)}."]
    for one in card.certificates:
        at = ", ".join(f"{temperature:g}" for temperature in one.temperatures)
        lines.append(f"- {one.molecule}: its MD was checked at {at} K; hotter MD was not.")
        bound = "unknown" if one.force_bound is None else f"at most {format_quantity(one.force_bound, 'eV/Å')}"
        lines.append(
            f"- {one.molecule}: the mean absolute error of a force component is {bound} (confidence bound) on frames "
            "like those that were sampled. Single frames may be worse."
        )
    if bounds := card.force_bounds:
        typical, limit = (format_quantity(value, "eV/Å") for value in (bounds.typical, bounds.limit))
        lines.append(
            f"- Each atom's force has a bound on its error, {typical} for the worst atom of a typical frame. In "
            f"{100 * bounds.coverage:.0f} % of frames like the {bounds.frames} held-out ones no error exceeds its "
            f"bound. Where a bound is above {limit}, the model does not know the geometry. asteroid's calculator "
            "computes the bounds."
        )
    lines += [
        "- Not for periodic systems, other molecules, charges or spin states, excited states, or broken bonds: it "
        "gives numbers there, too, and they mean nothing.",
        f"- The errors are those against {card.model.accurate}, whose own error against experiment comes on top.",
    ]
    return "\n".join(lines)


def _molecule(one: Known) -> str:
    at = ", ".join(f"{temperature:g}" for temperature in one.temperatures)
    sampled = f", from MD at {at} K" if at else ""
    return f"{one.formula} ({one.name}), charge {one.charge:+d}, multiplicity {one.multiplicity}{sampled}".replace(
        "charge +0", "charge 0"
    )


def _accuracy(card: ExportedCard) -> list[str]:
    return [text for one in card.certificates for text in _table(one)] or ["It has no certificate."]


def _table(certified: Certified) -> list[str]:
    rows = [
        "| requirement | measured | confidence bound | limit | result |",
        "|---|---|---|---|---|",
        *(f"| {line.name} | {' | '.join(_cells(line))} |" for line in certified.lines),
    ]
    return [f"{certified.molecule}, {certified.created[:10]}: **{certified.state}**", "\n".join(rows)]


def _cells(line: Line) -> list[str]:
    factor, unit = shown_unit(line.unit)
    numbers = (line.value, line.bound, line.threshold)
    value, bound, threshold = ("–" if x is None else f"{format_number(factor * x)} {unit}".rstrip() for x in numbers)
    return [value, bound, f"{'≤' if line.comparison == '<=' else '≥'} {threshold}", line.state]


def _training(card: ExportedCard) -> str:
    model = card.model
    cheap = f" Cheap level: {model.cheap}." if model.cheap else ""
    started = f" It started from the foundation model `{card.foundation}`." if card.foundation else ""
    return (
        f"{count(len(model.frames.accurate), 'label')} at {model.accurate} ({len(model.frames.accurate_valid)} of them "
        f"held out to stop the training); {how_trained(model)}.{cheap}{started} {model.parameters:,} parameters, seed "
        f"{model.seed}, {model.created[:10]}."
    )


def _license(card: ExportedCard) -> str:
    given = (
        "No licence was given: ask its author before you use it." if card.license == "unknown" else f"`{card.license}`"
    )
    if card.foundation:
        given += f" The licence of the foundation model `{card.foundation}` applies, too."
    return given
