"""One labelling campaign as a program of its own, to be killed: ``python -m tests.chaos.run URL MOLECULE LEVEL …``.

Says on standard output how many labels it has made; errors are one line, as on the command line.
"""

import argparse
import sys

from asteroid.errors import AsteroidError
from asteroid.labelling.campaign import run_campaign
from asteroid.levels import LevelOfTheory
from asteroid.store import Store


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("molecule")
    parser.add_argument("level")
    parser.add_argument("--shard", type=int, default=0)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--flush", type=float, default=1.0)
    asked = parser.parse_args()
    made = 0

    def count(done: int, _total: int) -> None:
        nonlocal made
        if done != made:
            made = done
            print(done, flush=True)

    try:
        run_campaign(
            Store(asked.url),
            asked.molecule,
            LevelOfTheory.parse(asked.level),
            shard=asked.shard,
            shards=asked.shards,
            workers=asked.workers,
            flush_seconds=asked.flush,
            on_progress=count,
        )
    except AsteroidError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
