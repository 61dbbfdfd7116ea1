"""Label small molecules with tblite, in a process of its own: torch and tblite do not share one.

Reads ``{"numbers": […], "positions": [[[x, y, z], …], …], "methods": […]}`` in Å from standard input, writes
``{method: {"energy": […], "forces": […], "dipole": […]}}`` in eV, eV/Å and e·Å.
"""

import json
import sys

import numpy as np
from tblite.interface import Calculator

from asteroid.units import BOHR, HARTREE, HARTREE_PER_BOHR


def main() -> None:
    request = json.load(sys.stdin)
    answer = {}
    for method in request["methods"]:
        energies, forces, dipoles = [], [], []
        for positions in request["positions"]:
            calculator = Calculator(method, np.array(request["numbers"]), np.array(positions) / BOHR)
            calculator.set("verbosity", 0)
            result = calculator.singlepoint()
            energies.append(float(result.get("energy")) * HARTREE)
            forces.append((-result.get("gradient") * HARTREE_PER_BOHR).tolist())
            dipoles.append((result.get("dipole") * BOHR).tolist())
        answer[method] = {"energy": energies, "forces": forces, "dipole": dipoles}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
