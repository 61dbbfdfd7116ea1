"""Submits shards of a labelling step to the local server: ``python -m tests.chaos.submit URL SHARDS``."""

import sys

from prefect.deployments import run_deployment
from pydantic import TypeAdapter

from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from tests.chaos.harness import MOLECULE

if __name__ == "__main__":
    url, shards = sys.argv[1], int(sys.argv[2])
    settings = MoleculeSettings(name=MOLECULE, smiles="CCO", accurate=LevelOfTheory.parse("hf/sto-3g"))
    molecule = TypeAdapter(MoleculeSettings).dump_python(settings, mode="json")
    for shard in range(shards):
        parameters = {"level": "gfn2-xtb", "shard": shard, "shards": shards}
        step = {"store": url, "molecule": molecule, "name": "label", "parameters": parameters}
        run_deployment("step/cheap", parameters=step, timeout=0)
