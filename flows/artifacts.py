"""What the UI shows of a finished molecule: the certificate as Markdown, with its most telling plots."""

import base64
from typing import Any

from asteroid.manifest import MoleculeSettings
from asteroid.report.plots import energy_parity, force_parity
from asteroid.report.verdict import is_checked
from asteroid.store import Store


def certificate_markdown(store: Store, molecule: MoleculeSettings, outcome: dict[str, Any]) -> str:
    """Verdict, errors against the scratch model, the certificate's lines and the parity plot of forces or energies.

    Args:
        outcome: of :func:`asteroid.stages.outcome`.
    """
    verdict = "certified" if outcome["passed"] else "NOT certified"
    rows = [
        ("force MAE / eV/Å", outcome["force_mae"], outcome["scratch_force_mae"]),
        ("energy MAE / eV/atom", outcome["energy_mae"], outcome["scratch_energy_mae"]),
    ]
    lines = [
        f"| {line['name']} | {_number(line['value'])} | {line['comparison']} {line['threshold']:g} {line['unit']} "
        f"| {_result(line)} |"
        for line in outcome["lines"]
    ]
    return "\n".join(
        [
            f"# {molecule.name}: {verdict}",
            "",
            f"{outcome['quality']} {outcome['benefit']}",
            "",
            f"| on held-out frames | {molecule.training.strategy} | accurate labels alone |",
            "|---|---:|---:|",
            *(f"| {name} | {_number(ours)} | {_number(scratch)} |" for name, ours, scratch in rows),
            "",
            "| requirement | value | threshold | |",
            "|---|---:|---|---|",
            *lines,
            "",
            f"![accurate against predicted values](data:image/png;base64,{_parity(store, outcome)})",
            "",
            f"Model: `{outcome['model']}`",
            "",
            f"Report: `{outcome['report']}`",
        ]
    )


def _result(line: dict[str, Any]) -> str:
    if not is_checked(line):
        return "not checked"
    return "pass" if line["passed"] else "**fail**"


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4g}"


def _parity(store: Store, outcome: dict[str, Any]) -> str:
    certificate = store.read_json(outcome["certificate_path"])
    parity = energy_parity if outcome["force_mae"] is None else force_parity
    return base64.b64encode(parity(certificate["errors"], certificate["scratch_errors"])).decode()
