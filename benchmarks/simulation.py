"""Molecular dynamics in a batch against one ASE calculator per replica, with the same model, time step and thermostat.

For each molecule and number of replicas, three programs take turns in one process: asteroid, ASE's Langevin dynamics
with MACE's calculator, and TorchSim with its own MACE wrapper. Each figure is the median over the turns, in
replica-steps per second, on the GPU where there is one, otherwise on one thread. ASE runs one replica at a time.
Asteroid runs :func:`asteroid.simulation.run.simulate` as a certificate does, with recording and stop criterion. Tracing
and the first steps are timed apart. Before, forces are compared with those of MACE's calculator.

    python -m benchmarks.simulation [--replicas 1 16 64] [--molecules formaldehyde ethanol] [--turns 3] [--seconds 4]
"""

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch_sim
from ase import units
from ase.build import molecule
from ase.md.langevin import Langevin
from mace.calculators import MACECalculator
from torch_sim.models.mace import MaceModel

from asteroid.configuration import Configuration
from asteroid.settings import ModelSettings
from asteroid.simulation.integrators import FRICTION
from asteroid.simulation.potentials import TRACE_FROM, make_potential
from asteroid.simulation.run import simulate
from asteroid.training.model import build_model, choose_device
from asteroid.units import BOLTZMANN, FEMTOSECOND
from asteroid.validation.dynamics import INTERVAL, bond_criterion

MOLECULES = {"formaldehyde": "H2CO", "ethanol": "CH3CH2OH"}
TIMESTEP, TEMPERATURE = 0.5, 300.0
DEVICE = choose_device("auto")
WEAK = 0.05
"""eV/Å, scale of the forces of the random model: small, so that atoms drift apart slowly during the measurement."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--molecules", nargs="+", default=list(MOLECULES), choices=MOLECULES)
    parser.add_argument("--replicas", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="approximate length of each measurement")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        row for name in options.molecules for row in measure(name, options.replicas, options.turns, options.seconds)
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print(torch.cuda.get_device_name() if DEVICE.type == "cuda" else "one CPU thread")
    print(
        "replica-steps/s   replicas      ASE   TorchSim     ours   ours/ASE   tracing (s)   relative force difference"
    )
    for row in rows:
        print(
            f"{row['molecule']:<17} {row['replicas']:>8} {row['ase']:>8.0f} {row['torch_sim']:>10.0f} "
            f"{row['ours']:>8.0f} {row['ours'] / row['ase']:>10.1f} {row['tracing']:>13.1f}   "
            f"{row['force_difference']:.1e}"
        )


def measure(name: str, replicas: list[int], turns: int, seconds: float) -> list[dict[str, Any]]:
    """One row for each number of replicas: replica-steps/s of each program, tracing time in s, force difference."""
    start = Configuration.from_atoms(molecule(MOLECULES[name]))
    elements = sorted(set(start.numbers.tolist()))
    neighbours = float(len(start.numbers) - 1)
    model = build_model(
        elements, ModelSettings(), scale=WEAK, avg_num_neighbors=neighbours, seed=0, dtype=torch.float64
    ).to(DEVICE)
    calculator = MACECalculator(models=[model], device=DEVICE.type, default_dtype="float64")
    rows = []
    for count in replicas:
        difference = force_difference(model, calculator, start, count)
        tracing, ours = our_steps(model, start, count)
        programs = {
            "ase": ase_steps(calculator, start),
            "torch_sim": torch_sim_steps(model, start, count),
            "ours": ours,
        }
        figures: dict[str, list[float]] = {name: [] for name in programs}
        sizes = {name: _steps_for(seconds, run) for name, run in programs.items()}
        for _ in range(turns):
            for program, run in programs.items():
                taken = run(sizes[program])
                figures[program].append(sizes[program] * (1 if program == "ase" else count) / taken)
        medians = {program: statistics.median(found) for program, found in figures.items()}
        rows.append(
            {"molecule": name, "replicas": count, **medians, "tracing": tracing, "force_difference": difference}
        )
    return rows


def _steps_for(seconds: float, run: Callable[[int], float]) -> int:
    """Number of steps that take about this many seconds; also warms up."""
    run(10)
    return max(10, 10 * round(seconds / run(10)))


def our_steps(model: torch.nn.Module, start: Configuration, count: int) -> tuple[float, Callable[[int], float]]:
    """Seconds for tracing and the first steps, and a function that times a number of further steps."""
    first = _simulate(model, start, count, 30)

    def run(steps: int) -> float:
        return _simulate(model, start, count, steps)[1]

    return first[0], run


def _simulate(model: torch.nn.Module, start: Configuration, count: int, measured: int) -> tuple[float, float]:
    """Seconds for the first steps with tracing, and for ``measured`` steps after them."""

    class Enough(Exception):
        """Ends the simulation early."""

    interval = round(INTERVAL["nvt"] / TIMESTEP)
    warm, last = 3 * interval, 3 * interval - (-measured // interval) * interval
    stop = bond_criterion(start)
    reached: dict[int, float] = {}

    def watch(done: int, _: int) -> None:
        reached[done] = time.perf_counter()
        if done == last:
            raise Enough

    began = time.perf_counter()
    with contextlib.suppress(Enough):
        simulate(
            model,
            [start] * count,
            ensemble="nvt",
            temperatures=[TEMPERATURE] * count,
            timestep=TIMESTEP,
            duration=(TRACE_FROM + last) * TIMESTEP / 1000,
            interval=INTERVAL["nvt"],
            seeds=range(count),
            # Random weights hold no molecule together: the criterion is timed, and its result ignored.
            stop=lambda positions: [None for _ in stop(positions)],
            on_progress=watch,
        )
    return reached[warm] - began, (reached[last] - reached[warm]) * measured / (last - warm)


def ase_steps(calculator: MACECalculator, start: Configuration) -> Callable[[int], float]:
    atoms: Any = start.to_atoms()
    atoms.calc = calculator
    dynamics = Langevin(
        atoms, TIMESTEP * units.fs, temperature_K=TEMPERATURE, friction=FRICTION / units.fs, fixcm=False
    )

    def run(steps: int) -> float:
        began = time.perf_counter()
        dynamics.run(steps)
        return time.perf_counter() - began

    return run


def torch_sim_steps(model: torch.nn.Module, start: Configuration, count: int) -> Callable[[int], float]:
    wrapped = MaceModel(model, device=DEVICE, dtype=torch.float64, compute_stress=False)
    boxes = []
    for _ in range(count):
        atoms: Any = start.to_atoms()
        atoms.set_cell(np.eye(3) * 50.0)
        boxes.append(atoms)
    state: Any = torch_sim.io.atoms_to_state(boxes, device=DEVICE, dtype=torch.float64)
    state.pbc = False
    options: Any = {"dtype": torch.float64, "device": DEVICE}
    initialise, step = torch_sim.nvt_langevin(
        wrapped,
        dt=torch.tensor(TIMESTEP * FEMTOSECOND, **options),
        kT=torch.tensor(TEMPERATURE * BOLTZMANN, **options),
        gamma=torch.tensor(FRICTION / FEMTOSECOND, **options),
        seed=0,
    )
    held = [initialise(state)]

    def run(steps: int) -> float:
        began = time.perf_counter()
        for _ in range(steps):
            held[0] = step(held[0])
        # A GPU works on after the call.
        held[0].positions.cpu()
        return time.perf_counter() - began

    return run


def force_difference(model: torch.nn.Module, calculator: MACECalculator, start: Configuration, count: int) -> float:
    """Largest difference of a force component from MACE's calculator, relative to the largest component."""
    rng = np.random.default_rng(0)
    positions = start.positions + rng.normal(0, 0.05, (count, *start.positions.shape))
    boxes = [start.with_positions(one).to_atoms() for one in positions]
    state: Any = torch_sim.io.atoms_to_state(boxes, device=DEVICE, dtype=torch.float64)
    found = make_potential(model, start, replicas=count, steps=TRACE_FROM)(state)["forces"].cpu().numpy()
    expected = []
    for atoms in boxes:
        atoms.calc = calculator
        expected.append(atoms.get_forces())
    reference = np.concatenate(expected)
    return float(np.abs(found - reference).max() / np.abs(reference).max())


if __name__ == "__main__":
    main()
