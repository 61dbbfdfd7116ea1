"""How well bounds on force errors rank the errors of a finished model, and how often they hold; against a committee.

    python -m benchmarks.uncertainty STORE MODEL [MODEL_ID …]

STORE has a model with accurate labels on frames that it was not trained on: test frames, and frames of its own MD. For
each model id, or that of the newest certificate, one line: rank correlation of the bounds with the errors, by frame and
by atom; the part of held-out frames in which all bounds hold when the others calibrate them; and the rank correlations
of the committee, where rounds trained one from the model.
"""

import argparse
import os

# Before the import of numpy, which reads it.
os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from asteroid.acquisition.known_region import held_out_frames, known_region
from asteroid.store import Store
from asteroid.store.models import read_card, read_cards
from asteroid.training.predict import predict
from asteroid.training.run import load_model
from asteroid.validation.certificate import find_model

Floats = npt.NDArray[np.float64]


def ranks(uncertainties: Sequence[Floats], errors: Sequence[Floats]) -> str:
    """Rank correlations by frame (root mean squares of the atoms) and by atom."""
    frames = [[np.sqrt(np.mean(np.square(one))) for one in values] for values in (uncertainties, errors)]
    atoms = [np.concatenate(list(values)) for values in (uncertainties, errors)]
    by_frame, by_atom = (float(spearmanr(*pair)[0]) for pair in (frames, atoms))
    return f"{by_frame:.2f} by frame, {by_atom:.2f} by atom"


def report(store: Store, name: str, model_id: str) -> str:
    """The line of one model."""
    card, model = read_card(store, name, model_id), load_model(store, name, model_id)
    region = known_region(store, card, model)
    frames, labels = held_out_frames(store, card)
    _, forces = predict(model, frames)
    errors = [np.linalg.norm(ours - theirs, axis=1) for ours, theirs in zip(forces, labels, strict=True)]
    held = f"all bounds hold in {region.achieved:.2f} of {len(frames)} frames"
    line = f"{name} {model_id}: {ranks(region.bounds(model, frames), errors)}; {held}"
    members = [one.model_id for one in read_cards(store, name) if one.parents.get("start") == model_id]
    members = [one for one in members if read_card(store, name, one).strategy == "member"]
    if members:
        found = [predict(load_model(store, name, one), frames)[1] for one in members]
        spread = [np.sqrt(np.stack(of).var(axis=0).sum(axis=1)) for of in zip(*found, strict=True)]
        line += f"; committee of {len(members)}: {ranks(spread, errors)}"
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("model")
    parser.add_argument("model_id", nargs="*")
    options = parser.parse_args()
    store = Store(options.store)
    for model_id in options.model_id or [None]:
        print(report(store, *find_model(store, options.model, model_id)), flush=True)


if __name__ == "__main__":
    main()
