"""Check the model against energies and forces that were computed when it was exported, then run 0.1 ps of MD with ASE.

    pip install metatomic-torch metatomic-ase
    python run_metatomic.py

model.pt is TorchScript and needs no MACE. It also runs in the other programs that have an interface to metatomic.
"""

from pathlib import Path

import ase.io
import numpy as np
from ase import units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from metatomic_ase import MetatomicCalculator

HERE = Path(__file__).parent
STEPS = 200
TEMPERATURE = 300  # K

calculator = MetatomicCalculator(str(HERE / "model.pt"))
frames = ase.io.read(HERE / "molecule.xyz", index=":")
for expected in frames:
    atoms = expected.copy()
    atoms.calc = calculator
    energy = abs(atoms.get_potential_energy() - expected.get_potential_energy()) / len(atoms)
    forces = np.abs(atoms.get_forces() - expected.get_forces()).max()
    print(f"differs by {energy:.1e} eV/atom and {forces:.1e} eV/Å")
    assert max(energy, forces) < 1e-5, "not the exported model"

atoms = frames[0].copy()
atoms.calc = calculator
MaxwellBoltzmannDistribution(atoms, temperature_K=TEMPERATURE, rng=np.random.default_rng(1))
dynamics = Langevin(atoms, 0.5 * units.fs, temperature_K=TEMPERATURE, friction=0.01 / units.fs, fixcm=False)
dynamics.run(STEPS)
print(f"{atoms.get_potential_energy():.4f} eV after {STEPS} steps")
