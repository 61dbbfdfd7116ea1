"""Check the model against energies and forces that were computed when it was exported, then run 0.1 ps of MD with
OpenMM.

    pip install mace-torch openmm openmmml ase
    python run_openmm.py

openmmml gives energies relative to the model's reference energies, which are added here. A .model file is a pickle:
openmmml runs what is in it, so open only files that you trust.
"""

import json
from pathlib import Path

import ase.io
import mace  # noqa: F401  # first: it allows e3nn to load its constants
import numpy as np
from openmm import Context, LangevinMiddleIntegrator, Platform, unit
from openmm.app import Element, Topology
from openmmml import MLPotential

HERE = Path(__file__).parent
STEPS = 200
TEMPERATURE = 300  # K
EV = 96.4853  # kJ/mol, as openmmml rounds it

frames = ase.io.read(HERE / "molecule.xyz", index=":")
references = json.loads((HERE / "card.json").read_text())["model"]["reference_energies"]
zero = sum(references[symbol] for symbol in frames[0].symbols)

topology = Topology()
residue = topology.addResidue("MOL", topology.addChain())
for symbol in frames[0].symbols:
    topology.addAtom(symbol, Element.getBySymbol(symbol), residue)
system = MLPotential("mace", modelPath=str(HERE / "model.model")).createSystem(topology, removeCMMotion=True)
integrator = LangevinMiddleIntegrator(TEMPERATURE * unit.kelvin, 10 / unit.picosecond, 0.5 * unit.femtosecond)
# The CPU platform in double precision; MACE itself takes nearly all of the time.
context = Context(system, integrator, Platform.getPlatformByName("Reference"))

for expected in frames:
    context.setPositions(expected.positions * unit.angstrom)
    state = context.getState(getEnergy=True, getForces=True)
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) / EV + zero
    forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.angstrom) / EV
    energy_error = abs(energy - expected.get_potential_energy()) / len(expected)
    force_error = np.abs(forces - expected.get_forces()).max()
    print(f"differs by {energy_error:.1e} eV/atom and {force_error:.1e} eV/Å")
    assert max(energy_error, force_error) < 1e-5, "not the exported model"

context.setPositions(frames[0].positions * unit.angstrom)
context.setVelocitiesToTemperature(TEMPERATURE * unit.kelvin, 1)
integrator.step(STEPS)
energy = context.getState(getEnergy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
print(f"{energy / EV + zero:.4f} eV after {STEPS} steps")
