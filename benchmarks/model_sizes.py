"""Error and time of models of several sizes and numbers of steps, trained on the same labels.

    asteroid run manifests/active.yaml, then
    python -m benchmarks.model_sizes manifests/active.yaml --store STORE --sizes 32,1,3,5000,20 32,2,2,8000,5

The labels are those of the final model of the first molecule, after its last round. A size is channels, max_l,
correlation, steps of pretraining and batch size. Prints the force error on the test frames in meV/Å, and CPU seconds of
the training, that of the correction included. Trained models stay in the store and are not trained again.
"""

import argparse

import numpy as np

from asteroid.stages import load_checked, read_rounds, with_chain
from asteroid.stages.common import import_mace
from asteroid.stages.models import training_frames, training_set
from asteroid.stages.round_files import at_round
from asteroid.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest")
    parser.add_argument("--store", required=True)
    parser.add_argument("--sizes", nargs="+", required=True)
    options = parser.parse_args()
    import_mace()
    from asteroid.training.predict import predict
    from asteroid.training.run import load_model, train_model

    store = Store(options.store)
    molecule = with_chain(store, load_checked(options.manifest).molecules[0])
    if rounds := read_rounds(store, molecule):
        molecule = at_round(molecule, rounds[-1])
    data, known = training_set(store, molecule), store.labels(molecule.name, molecule.accurate)
    test = [f for f in store.frames(molecule.name, ids=training_frames(store, molecule)[0].test) if f.frame_id in known]
    truth = np.array([known[frame.frame_id].forces for frame in test])
    print("| channels | max_l | correlation | steps × batch | test | CPU s |\n|---|---|---|---|---|---|")
    for size in options.sizes:
        channels, max_l, correlation, steps, batch = map(int, size.split(","))
        shape = molecule.training.model.model_copy(
            update={"channels": channels, "max_l": max_l, "correlation": correlation}
        )
        settings = molecule.training.model_copy(update={"model": shape, "pretrain_steps": steps, "batch_size": batch})
        card = train_model(store, molecule.model_name, data, strategy=settings.strategy, settings=settings)
        _, forces = predict(
            load_model(store, molecule.model_name, card.model_id), [frame.configuration for frame in test]
        )
        error = 1000 * np.abs(np.array(forces) - truth).mean()
        print(
            f"| {channels} | {max_l} | {correlation} | {steps} × {batch} | {error:.1f} | {card.core_seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
