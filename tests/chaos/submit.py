"""Submits shards of a labelling step to the local server: ``python -m tests.chaos.submit URL SHARDS``."""

import sys

from prefect.deployments import run_deployment

from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from flows.batches import content_of
from flows.step import StepCall
from tests.chaos.harness import MOLECULE

if __name__ == "__main__":
    url, shards = sys.argv[1], int(sys.argv[2])
    molecule = MoleculeSettings(name=MOLECULE, smiles="CCO", accurate=LevelOfTheory.parse("hf/sto-3g"))
    for shard in range(shards):
        call = StepCall(molecule, "label", {"level": "gfn2-xtb", "shard": shard, "shards": shards})
        run_deployment("step/cheap", parameters={"store": url, "steps": [content_of(call)]}, timeout=0)
