"""The drawing of a molecule from its SMILES, as inline SVG."""

import re
from typing import Any

from markupsafe import Markup

from asteroid.chemistry.structures import parse_smiles
from asteroid.errors import MissingDependencyError
from asteroid.store import Store, paths, records
from asteroid.store.records import Identity


def draw_molecule(store: Store, molecule: str) -> Markup | None:
    """The molecule as its SMILES says; None for a molecule from a file, and without RDKit."""
    path = paths.identity(molecule)
    smiles = records.read(store, Identity, path).smiles if store.exists(path) else None
    if smiles is None:
        return None
    try:
        drawn = parse_smiles(smiles)
    except MissingDependencyError:
        return None
    from rdkit import Chem
    from rdkit.Chem.Draw import rdMolDraw2D

    canvas = rdMolDraw2D.MolDraw2DSVG(-1, -1)  # as large as the molecule
    options: Any = canvas.drawOptions()
    options.clearBackground = False
    options.useBWAtomPalette()
    options.explicitMethyl = True
    options.maxFontSize = 16
    options.fixedBondLength = 36
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, Chem.RemoveHs(drawn))
    canvas.FinishDrawing()
    # HTML needs no declaration and no namespaces; the lines have the colour of the text.
    inside = canvas.GetDrawingText().partition("<!-- END OF HEADER -->")[2].rpartition("</svg>")[0]
    inside = re.sub(r" class='[^']*'", "", inside).replace("#000000", "currentColor")
    size = canvas.Width(), canvas.Height()
    start = Markup('<svg class="drawing" width="{0}" viewBox="0 0 {0} {1}" role="img" aria-label="{2}">')
    return start.format(*size, smiles) + Markup(inside + "</svg>")
