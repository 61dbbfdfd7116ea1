"""Reference pages made from the code: keys of a manifest, commands, columns of the store, methods.

Each directive writes Markdown, which Sphinx reads as if it stood on the page.
"""

import inspect
import re
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from docutils import nodes
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from asteroid import settings
from asteroid.cli import app as command_line
from asteroid.engines.proofs import PROVED
from asteroid.levels import METHODS
from asteroid.manifest import schema
from asteroid.quantities import number_of
from asteroid.store import rows

REFERENCE_MANIFEST = Path(__file__).parents[2] / "manifests/reference.yaml"


def table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    body = [[" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *body))


def code(text: object) -> str:
    return f"`{text}`"


def plain(text: str) -> str:
    """A docstring as Markdown: roles and double backticks become code."""
    text = re.sub(r":\w+:`~?(?:asteroid\.)?([^`]+)`", r"`\1`", text)
    return text.replace("``", "`").replace("*", r"\*").replace("<", r"\<")


# Keys of a manifest ------------------------------------------------------------------------------------------------


@cache
def docstrings(module: str) -> dict[tuple[str, str], str]:
    """Docstrings of attributes by class and name."""
    found = ModuleAnalyzer.for_module(module).find_attr_docs()
    return {key: " ".join(lines).strip() for key, lines in found.items()}


@cache
def comments() -> dict[tuple[str, str], str]:
    """Comments of the reference manifest by block and key, behind the key or above it."""
    found: dict[tuple[str, str], str] = {}
    blocks, above = {-1: ""}, []
    for line in REFERENCE_MANIFEST.read_text().splitlines():
        is_comment = line.lstrip().startswith("# ")
        if match := re.match(r"^( *)(?:# |- )?( *)(\w+): ?([^#]*)(?:# (.*))?$", line):
            depth = len(match[1]) + len(match[2])
            blocks = {level: name for level, name in blocks.items() if level < depth}
            text = match[5] or ("" if is_comment else " ".join(above))
            found.setdefault((list(blocks.values())[-1], match[3]), text)
            if not match[4].strip():
                blocks[depth] = match[3]
        above = [*above, line.lstrip(" #")] if is_comment else []
    return found


def kind(content: dict[str, Any]) -> str:
    """Type and range of a JSON schema in words."""
    if "$ref" in content:
        name = content["$ref"].rpartition("/")[2].replace("LabellingSettings", "LabelSettings")
        place = next((place for place, (model, _) in BLOCKS.items() if model.__name__ == name), None)
        return f"[block](#{anchor(place)})" if place else "block"
    if "anyOf" in content:
        return " or ".join(dict.fromkeys(map(kind, content["anyOf"])))
    if "const" in content:
        return code(content["const"])
    if "enum" in content:
        return ", ".join(map(code, content["enum"]))
    if content.get("type") == "array":
        return f"list of {kind(content['items'])}" if content.get("items") else "list"
    low, high = content.get("minimum"), content.get("maximum")
    above, below = content.get("exclusiveMinimum"), content.get("exclusiveMaximum")
    bounds = [
        f"{word} {bound:.12g}"
        for word, bound in (("≥", low), (">", above), ("≤", high), ("<", below))
        if bound is not None
    ]
    names = {"string": "text", "boolean": "true or false", "null": "null", "object": "block"}
    kind_of = content.get("type", "any")
    return " ".join([names.get(kind_of, kind_of), ", ".join(bounds)]).strip()


def default(value: object) -> str:
    """A default as YAML, blocks left out."""
    if isinstance(value, BaseModel):
        return ""
    if isinstance(value, tuple | list):
        return code(f"[{', '.join(f'{one:g}' if isinstance(one, float) else str(one) for one in value)}]")
    if isinstance(value, bool) or value is None:
        return code({True: "true", False: "false", None: "null"}[value])
    return code(f"{value:g}" if isinstance(value, float) else value)


def anchor(block: str) -> str:
    """Target of links to a block's table."""
    return f"keys-{block.replace('.', '-')}"


def manifest_keys(place: str) -> str:
    """Table of the keys of one block, without those that it shares with the defaults."""
    model, block = BLOCKS[place]
    described = docstrings(model.__module__)
    properties = model.model_json_schema()["properties"]
    lines = []
    for name, field in model.model_fields.items():
        if model is schema.MoleculeEntry and name in schema.Defaults.model_fields:
            continue
        owner = next(c.__name__ for c in model.__mro__ if name in inspect.get_annotations(c))
        comment = "" if "enum" in properties[name] else comments().get((block, name), "")
        text = described.get((owner, name)) or comment
        if (unit := number_of(field).unit) and not re.search(rf"(^|\W){re.escape(unit)}(\W|$)", text):
            text = f"{unit}; {text}" if text else unit
        required = field.is_required() or name == "molecules"
        shown = "required" if required else default(field.get_default(call_default_factory=True))
        lines.append((code(name), kind(properties[name]), shown, plain(text)))
    return f"({anchor(place)})=\n\n" + table(("key", "values", "default", "meaning"), lines)


# Commands ----------------------------------------------------------------------------------------------------------


VALUES = {str: "text", int: "integer", float: "number", Path: "path"}


def paragraphs(text: str) -> str:
    return plain(re.sub(r"\[/?(bold)?\]", "", inspect.cleandoc(text)))


def default_of(parameter: Any) -> str:
    """Default of an argument or option, or the words that --help has for it."""
    if parameter.required:
        return "required"
    if isinstance(parameter.show_default, str):
        return plain(parameter.show_default)
    return "" if getattr(parameter, "is_flag", False) or parameter.default is None else code(str(parameter.default))


def command_page(name: str, command: Any) -> str:
    """A command with its arguments and options."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join(["asteroid", name, *(p.name.upper() + ("…" if p.nargs == -1 else "") for p in arguments)])
    parts = [f"({name}-command)=", f"## `asteroid {name}`", f"    {usage} [OPTIONS]", paragraphs(command.help or "")]
    lines = [(code(p.name.upper()), "", default_of(p), plain(p.help or "")) for p in arguments]
    for p in options:
        spelled = ", ".join(map(code, [*p.opts, *p.secondary_opts]))
        value = "" if p.is_flag else VALUES[p.type_descriptor.annotation]
        lines.append((spelled, value, default_of(p), plain(p.help or "")))
    return "\n\n".join([*parts, table(("", "value", "default", "meaning"), lines)])


def commands() -> str:
    group = typer.main.get_command(command_line)
    return "\n\n".join(command_page(name, command) for name, command in group.commands.items())


# The store ---------------------------------------------------------------------------------------------------------


def columns(name: str) -> str:
    """Columns of one of the store's tables."""
    return table(
        ("column", "type", "unit or meaning"),
        (
            (code(field.name), code(field.type), plain(field.metadata[b"unit"].decode()))
            for field in getattr(rows, name)
        ),
    )


def store_layout() -> str:
    """The layout of the store, as its module says it."""
    text = inspect.cleandoc(import_module("asteroid.store.paths").__doc__ or "")
    return "```text\n" + inspect.cleandoc(text.partition("::")[2].partition("\n\n")[2]) + "\n```"


# Levels ------------------------------------------------------------------------------------------------------------


def methods() -> str:
    """Methods by what they offer; prefixes are explained above the table."""
    lines = []
    for name, method in METHODS.items():
        if name.startswith(("df-", "coarse-")):
            continue
        proofs = [proof for proof in PROVED if proof.method == name]
        singlets = "restricted" in {p.reference for p in proofs if p.forces}
        opened = [p for p in proofs if p.reference == "unrestricted"]
        radicals = "forces" if any(p.forces for p in opened) else "energies" if opened else "no"
        spelled = [f"{name}-{d}" for d in method.dispersions]
        lines.append(
            (
                code(name) if not method.dispersion_required else "",
                ", ".join(map(code, spelled)),
                "forces" if singlets else "energies",
                radicals,
                "yes" if any(p.charged for p in proofs) else "no",
                "yes" if f"df-{name}" in METHODS else "no",
                next((p.published for p in proofs), ""),
            )
        )
    head = ("method", "with dispersion", "singlets", "radicals", "ions", "density fitting", "compared with")
    return table(head, lines)


BLOCKS = {
    "file": (schema.FileEntry, ""),
    "defaults": (schema.Defaults, "defaults"),
    "molecule": (schema.MoleculeEntry, "molecules"),
    "model": (schema.ModelEntry, "models"),
    "sampling": (settings.SamplingSettings, "sampling"),
    "labels": (settings.LabelSettings, "accurate"),
    "budget": (settings.BudgetSettings, "budget"),
    "training": (settings.TrainingSettings, "training"),
    "training.model": (settings.ModelSettings, "model"),
    "validation": (settings.ValidationSettings, "validation"),
    "thresholds": (settings.ThresholdSettings, "thresholds"),
    "acquisition": (settings.AcquisitionSettings, "acquisition"),
}

PAGES: dict[str, Callable[[str], str]] = {
    "manifest-keys": manifest_keys,
    "commands": lambda _: commands(),
    "store-columns": columns,
    "store-layout": lambda _: store_layout(),
    "methods": lambda _: methods(),
}


class FromCode(SphinxDirective):
    """Writes one of :data:`PAGES`, with the argument of the directive."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        text = PAGES[self.name](self.arguments[0] if self.arguments else "")
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    for name in PAGES:
        app.add_directive(name, FromCode)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
