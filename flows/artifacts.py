"""What the UI shows of a finished molecule: the report's three answers and the certificate, as Markdown."""

import base64
from typing import Any

from asteroid.manifest import MoleculeSettings
from asteroid.report.answers import PICTURES, QUESTIONS
from asteroid.report.groups import is_checked
from asteroid.store import Store


def certificate_markdown(store: Store, molecule: MoleculeSettings, outcome: dict[str, Any]) -> str:
    """Verdict, the three answers with their pictures, errors against the scratch model, and the certificate's lines.

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
            *_answers(store, outcome["report_path"].rpartition("/")[0]),
            f"| on held-out frames | {molecule.training.strategy} | accurate labels alone |",
            "|---|---:|---:|",
            *(f"| {name} | {_number(ours)} | {_number(scratch)} |" for name, ours, scratch in rows),
            "",
            "| requirement | value | threshold | |",
            "|---|---:|---|---|",
            *lines,
            "",
            f"Model: `{outcome['model']}`",
            "",
            f"Report: `{outcome['report']}`",
        ]
    )


def _answers(store: Store, folder: str) -> list[str]:
    """How good, what it cost and what that bought, as the report has them."""
    answers = store.read_json(f"{folder}/answers.json")
    lines = []
    for name, question in QUESTIONS.items():
        answer = answers[name]
        lines += [f"## {question}", ""]
        if answer["figure"]:
            lines += [f"**{answer['figure']}** {answer['about']}", ""]
        lines += [" ".join(answer["sentences"]), ""]
        path = f"{folder}/{PICTURES[name]}"
        if store.exists(path):
            picture = base64.b64encode(store.read(path)).decode()
            lines += [f"![{question}](data:image/png;base64,{picture})", ""]
    return lines


def _result(line: dict[str, Any]) -> str:
    if not is_checked(line):
        return "not checked"
    return "pass" if line["passed"] else "**fail**"


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4g}"
