"""``make chaos``: over a hundred kills of everything that takes part in labelling, and a table of what they did."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.chaos.harness import Toll, rampage, table
from tests.chaos.server import rampage_on_server

Scenario = Callable[[Path], Toll]

SCENARIOS: tuple[Scenario, ...] = (
    lambda folder: rampage(str(folder), "gfn2-xtb", kills=50, seed=11, frames=6000),
    lambda folder: rampage(str(folder), "gfn2-xtb", kills=20, seed=12, frames=4000, campaigns=2),
    lambda folder: rampage(str(folder), "gfn2-xtb", kills=20, seed=13, frames=4000, shards=3),
    lambda folder: rampage(str(folder), "hf/sto-3g", kills=16, seed=14, frames=60, pause=3.0),
    lambda folder: rampage_on_server(folder, kills=12, seed=15, frames=4000),
)


def main() -> int:
    tolls = []
    for scenario in SCENARIOS:
        with tempfile.TemporaryDirectory(prefix="asteroid-chaos-") as folder:
            tolls.append(scenario(Path(folder)))
        print(table(tolls[-1:]), flush=True)
    kills = sum(toll.kills.total() for toll in tolls)
    print(f"\n{table(tolls)}\n\n{kills} kills; every frame has one label, none was stored twice, the counts add up.")
    return 0 if kills >= 100 else 1


if __name__ == "__main__":
    sys.exit(main())
