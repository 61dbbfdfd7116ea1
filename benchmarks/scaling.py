"""What a pipeline of up to ten thousand molecules asks of server, database, parent and store, from measured prices.

Nothing is run: counts follow from the rules of :mod:`flows.batches`, prices from ``benchmarks.many_molecules`` and
``benchmarks.store_scale``. ``alone`` is a flow run for each step, ``shared`` one for several small steps.

    python -m benchmarks.scaling [--step 6] [--labels 1000]
"""

import argparse
import math
from dataclasses import dataclass

from flows.batches import MAX_BYTES, RUN_SECONDS

STEPS = 9
"""Steps of a molecule without active learning."""

CONTENT_BYTES = 700
"""Of a step among the parameters of a run."""


@dataclass(frozen=True)
class Prices:
    """Measured with ``benchmarks.many_molecules``, on a machine with two cores that other programs shared.

    Args:
        run_cpu: s of a worker, for the start of a run's two processes.
        server_cpu: s of the server for each run, without what workers ask while they wait.
        requests: for each run, likewise; the parent's questions are among them.
        database: MiB for each run, with its events, states and log lines.
        parent_cpu: s for each molecule.
        parent_memory: MiB, of the process and for each molecule.
        status: s for each molecule, for the page of all molecules.
        files: in the store, for each molecule.
    """

    run_cpu: float = 8.0
    server_cpu: float = 3.4
    requests: float = 80.0
    database: float = 0.34
    parent_cpu: float = 2.0
    parent_memory: tuple[float, float] = (335.0, 0.05)
    status: float = 0.005
    files: int = 60


def runs_of(molecules: int, step: float, *, shared: bool) -> int:
    """Flow runs of all steps.

    Args:
        step: s, mean time of a step.
    """
    if not shared:
        return STEPS * molecules
    in_a_run = max(1, min(RUN_SECONDS / step, MAX_BYTES / CONTENT_BYTES))
    return STEPS * math.ceil(molecules / in_a_run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", type=float, default=10.0, help="s, mean time of a step")
    parser.add_argument("--labels", type=int, default=1000, help="labels of each molecule")
    arguments = parser.parse_args()
    prices = Prices()
    columns = ("molecules", "labels", "runs", "starts CPU h", "server CPU h", "requests", "DB GiB", "parent MiB")
    print(f"{'':7}", *(f"{name:>12}" for name in (*columns, "overhead %", "page s", "files")))
    for molecules in (100, 1000, 10_000):
        for shared in (False, True):
            runs = runs_of(molecules, arguments.step, shared=shared)
            overhead = runs * (prices.run_cpu + prices.server_cpu) + molecules * prices.parent_cpu
            figures = (
                molecules,
                molecules * arguments.labels,
                runs,
                runs * prices.run_cpu / 3600,
                runs * prices.server_cpu / 3600,
                runs * prices.requests,
                runs * prices.database / 1024,
                prices.parent_memory[0] + molecules * prices.parent_memory[1],
                100 * overhead / (molecules * STEPS * arguments.step),
                molecules * prices.status,
                molecules * prices.files,
            )
            cells = (f"{figure:12.3g}" if isinstance(figure, float) else f"{figure:12d}" for figure in figures)
            print(f"{'shared' if shared else 'alone':7}", *cells)


if __name__ == "__main__":
    main()
