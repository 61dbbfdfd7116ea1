"""Check the model against energies and forces that were computed when it was exported, then run 16 replicas of 0.1 ps
of MD in one batch with TorchSim.

    pip install mace-torch torch-sim-atomistic==0.3.0
    python run_torchsim.py

Units: eV, Å, eV/Å. A .model file is a pickle: torch runs what is in it, so open only files that you trust.
"""

from pathlib import Path

import ase.io
import mace  # noqa: F401  # first: it allows e3nn to load its constants
import numpy as np
import torch
import torch_sim
from torch_sim.models.mace import MaceModel

HERE = Path(__file__).parent
STEPS = 200
TEMPERATURE = 300  # K
REPLICAS = 16

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
module = torch.load(HERE / "model.model", map_location=device, weights_only=False)
model = MaceModel(module, device=device, dtype=torch.float64, compute_stress=False)
frames = ase.io.read(HERE / "molecule.xyz", index=":")
state = torch_sim.io.atoms_to_state([frame.copy() for frame in frames], device, torch.float64)
found = model(state)
atoms = len(frames[0])
for expected, energy, forces in zip(frames, found["energy"], found["forces"].split(atoms), strict=True):
    energy_error = abs(float(energy) - expected.get_potential_energy()) / atoms
    force_error = np.abs(forces.detach().cpu().numpy() - expected.get_forces()).max()
    print(f"differs by {energy_error:.1e} eV/atom and {force_error:.1e} eV/Å")
    assert max(energy_error, force_error) < 1e-5, "not the exported model"

final = torch_sim.integrate(
    [frames[0].copy()] * REPLICAS,
    model,
    integrator=torch_sim.nvt_langevin,
    n_steps=STEPS,
    temperature=TEMPERATURE,
    timestep=0.0005,  # ps
)
print(f"mean energy of {REPLICAS} replicas after {STEPS} steps: {float(final.energy.mean()):.4f} eV")
