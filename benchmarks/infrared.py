"""Infrared lines of certified models, of their accurate level and of GFN2-xTB, and the deviations.

    asteroid run benchmarks/manifests/infrared.yaml --store store/infrared
    python -m benchmarks.infrared store/infrared formaldehyde methanol

Lines of GFN2 are listed in the order of their wavenumbers, not matched by overlap.
"""

import argparse
from typing import Any

import numpy as np
from tblite.ase import TBLite

from asteroid.api import OpenStore, open_store
from asteroid.chemistry.vibrations import dipole_derivatives, displacements, normal_modes
from asteroid.configuration import Configuration
from asteroid.validation.infrared import Lines, intensities
from asteroid.validation.minimum import find_minimum, model_hessian


def cheap_lines(start: Configuration) -> Lines:
    """Harmonic lines of GFN2-xTB."""
    calculator: Any = TBLite(method="GFN2-xTB", verbosity=0, accuracy=0.01)
    minimum, _ = find_minimum(calculator, start, fmax=0.001)
    modes = normal_modes(minimum, model_hessian(calculator, minimum))
    dipoles = []
    for shifted in displacements(minimum):
        atoms: Any = shifted.to_atoms()
        atoms.calc = calculator
        dipoles.append(np.array(atoms.get_dipole_moment()))
    return Lines(modes.wavenumbers, intensities(modes, dipole_derivatives(dipoles)))


def show(store: OpenStore, molecule: str) -> None:
    """Print the errors of dipoles, and all lines in the order of the accurate wavenumbers."""
    certificate = store.certificate(molecule)
    assert certificate is not None, f"{molecule} has no certificate"
    found = certificate["evidence"]["infrared"]
    errors = found["errors"]
    print(f"\n{molecule}: dipole error {errors['model']:.5f} D, cheap {errors['cheap']:.3f} D, ", end="")
    print(f"constant charges {errors['constant_charges']:.3f} D, mean component {errors['size']:.2f} D\n")
    frames = store.files.frames(molecule, split="train")
    (start, *_) = [frame.configuration for frame in frames if frame.origin.method == "conformer"]
    cheap = cheap_lines(start)
    model, accurate = (
        Lines(np.array(found[key]["wavenumbers"]), np.array(found[key]["intensities"])) for key in ("model", "accurate")
    )
    print("| accurate, cm⁻¹ | model | GFN2 | accurate, km/mol | model | GFN2 |\n|---|---|---|---|---|---|")
    for row in zip(
        *(lines.wavenumbers for lines in (accurate, model, cheap)),
        *(lines.intensities for lines in (accurate, model, cheap)),
        strict=True,
    ):
        print("| " + " | ".join(f"{value:.0f}" for value in row[:3]), end=" | ")
        print(" | ".join(f"{value:.1f}" for value in row[3:]) + " |")
    for name, lines in (("model", model), ("GFN2", cheap)):
        apart = np.abs(lines.wavenumbers - accurate.wavenumbers).mean()
        bright = np.abs(lines.intensities - accurate.intensities)
        print(f"{name}: mean deviation {apart:.1f} cm⁻¹, {bright.mean():.2f} km/mol, largest {bright.max():.2f} km/mol")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("store")
    parser.add_argument("molecules", nargs="+")
    arguments = parser.parse_args()
    for molecule in arguments.molecules:
        show(open_store(arguments.store), molecule)


if __name__ == "__main__":
    main()
