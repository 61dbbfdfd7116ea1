"""One training as a sequence of named stages, resumable at any time.

A :class:`Session` makes graphs of labelled frames, makes models and fits them with :mod:`asteroid.training.fit`.
Finished stages and the state of the current one go to a :class:`~asteroid.store.checkpoints.CheckpointKeeper`.
Strategies use it.
"""

import copy
import dataclasses
import io
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mace.modules import ScaleShiftMACE

from asteroid.configuration import Configuration
from asteroid.manifest import TrainingSettings
from asteroid.store.checkpoints import CheckpointKeeper
from asteroid.store.models import Evaluation
from asteroid.strategies import Phase
from asteroid.training.dataset import (
    DTYPES,
    Graph,
    LabelledFrame,
    ReferenceEnergies,
    fit_reference_energies,
    to_graph,
    with_label,
)
from asteroid.training.fit import FitResult, Progress, StageSettings, State, fit
from asteroid.training.held_out import HeldOut
from asteroid.training.model import (
    accelerate,
    build_model,
    choose_device,
    extract_head,
    load_foundation,
    model_cutoff,
    model_elements,
    plain,
    set_reference_energies,
)
from asteroid.training.objectives import Objective
from asteroid.training.predict import predict
from asteroid.usage import Usage


class Session:
    """Fits models stage by stage on one device, with the same held-out accurate frames.

    Args:
        accurate_train, accurate_valid: for reference energies, and for the held-out error.
        elements: atomic numbers of the models.
        atoms: energies of free atoms at the accurate level, eV by atomic number; may be empty. They are the zero of the
            finished model; training uses energies relative to the mean.
        start: model with one head that :meth:`new_model` copies, in place of random weights or the foundation model.
        used: measures this training; the time of earlier processes, in the checkpoint, is added.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        accurate_train: Sequence[LabelledFrame],
        accurate_valid: Sequence[LabelledFrame],
        elements: Sequence[int],
        *,
        checkpoints: CheckpointKeeper,
        atoms: Mapping[int, float] | None = None,
        start: ScaleShiftMACE | None = None,
        on_progress: Progress | None = None,
        used: Usage | None = None,
    ) -> None:
        self.settings = settings
        self.device = choose_device(settings.device)
        self.results: dict[str, FitResult] = {}
        self._elements = elements
        self._atoms = dict(atoms or {})
        self._dtype = DTYPES[settings.precision]
        self._checkpoints = checkpoints
        self._on_progress = on_progress
        self._used = used
        self._geometries: dict[str, Graph] = {}
        if start is None and settings.foundation is not None:
            start = load_foundation(settings.foundation, elements, dtype=self._dtype)
        self._start = start
        if self._start is not None:
            set_reference_energies(self._start.to(self._dtype), {})
        self._cutoff = model_cutoff(self._start) if self._start else settings.model.r_max
        self._numbers = model_elements(self._start) if self._start else sorted(elements)
        self._accurate_train = accurate_train
        self._accurate_ids = {frame.frame_id for frame in accurate_train}
        self._accurate_references = self._references(accurate_train, self._atoms)
        self._valid = self._to_graphs(accurate_valid, {0: self._accurate_references})
        self._state = self._load()

    @property
    def starts_from_model(self) -> bool:
        """Whether :meth:`new_model` copies a model."""
        return self._start is not None

    def new_model(self, frames: Sequence[LabelledFrame]) -> torch.nn.Module:
        """A model to be fitted to these frames: a copy of the starting model, or one with random weights.

        It has one head for each head of the frames.
        """
        start = self._random_model(frames) if self._start is None else copy.deepcopy(self._start)
        return accelerate(start, self.device)

    def random_model(self, frames: Sequence[LabelledFrame]) -> torch.nn.Module:
        """A model with random weights, even if there is a starting model."""
        return accelerate(self._random_model(frames), self.device)

    def fit(
        self,
        phase: Phase,
        model: torch.nn.Module,
        frames: Sequence[LabelledFrame],
        *,
        learning_rate: float,
        keep: bool = True,
        objective: Objective | None = None,
        held_out: Sequence[LabelledFrame] | None = None,
    ) -> FitResult:
        """Fit ``model`` in place, or restore the result of this phase from the checkpoint.

        Args:
            frames: of one level, or of several levels with different heads; weights are scaled to mean 1.
            keep: False if only the error is needed: the model is then not stored.
            objective: to minimise; the error of the labels when None.
            held_out: held-out frames for a :meth:`random_model` of another level, such as differences; by default the
                accurate ones.
        """
        name = phase.name
        if name in self._state["finished"]:
            return self._restore(name, model)
        settings = self.settings
        # Without forces, energies get the weight of the forces. With their own small weight the gradients approach the
        # optimiser's epsilon, and learning stalls: fine-tuned on 120 CCSD(T) energies of formaldehyde, the force error
        # was 34 meV/Å instead of 23 (with Adam, at the same epsilon).
        energies_alone = all(frame.forces is None for frame in frames)
        energy_weight = (
            max(settings.energy_weight, settings.forces_weight) if energies_alone else settings.energy_weight
        )
        stage = StageSettings(
            name=name,
            steps=phase.steps,
            batch_size=phase.batch_size,
            learning_rate=learning_rate,
            energy_weight=energy_weight,
            forces_weight=settings.forces_weight,
            ema_decay=settings.ema_decay,
            clip=settings.clip,
            keep_best=phase.accurate,
            patience=settings.patience,
            evaluate_every=settings.evaluate_every,
            seed=settings.seed,
        )
        if self._on_progress is not None:
            self._on_progress(name, 0, phase.steps, None)
        own = held_out is not None
        references = {0: fit_reference_energies(frames)} if own else self._references_by_head(frames)
        result = fit(
            model,
            self._to_graphs(frames, references),
            self._valid if held_out is None else self._to_graphs(held_out, references),
            stage,
            objective=objective,
            resume=self._state["open"].get(name),
            checkpoint=lambda state: self._save({**self._state, "open": {name: state}}),
            on_progress=self._on_progress,
        )
        weights = [p.detach().cpu() for p in model.parameters()] if keep else None
        finished = {**self._state["finished"], name: {"result": dataclasses.asdict(result), "weights": weights}}
        self._save({"finished": finished, "open": {}})
        self.results[name] = result
        return result

    def finish(self, model: torch.nn.Module) -> tuple[ScaleShiftMACE, ReferenceEnergies]:
        """The finished model on the CPU with its reference energies, and these energies including its shift."""
        finished = plain(model)
        if len(getattr(finished, "heads", ())) > 1:
            finished = extract_head(finished, 0)
        if any(frame.forces is not None for frame in self._accurate_train):
            _fit_zero(finished, self._accurate_train, self._atoms)
        else:
            # The weights were chosen by energies with these reference energies.
            found = self._accurate_references
            set_reference_energies(finished, found.elements, found.shift)
        values = finished.atomic_energies_fn.atomic_energies.flatten().tolist()
        elements = dict(zip(model_elements(finished), values, strict=True))
        return finished, ReferenceEnergies(elements, float(finished.scale_shift.shift))

    def with_references(self, model: torch.nn.Module, frames: Sequence[LabelledFrame]) -> ScaleShiftMACE:
        """A fitted :meth:`random_model` on the CPU, with reference energies of its frames."""
        fitted = plain(model)
        _fit_zero(fitted, frames)
        return fitted

    def _random_model(self, frames: Sequence[LabelledFrame]) -> ScaleShiftMACE:
        graphs = self._to_graphs(frames, self._references_by_head(frames))
        atoms = sum(int(graph.num_nodes) for graph in graphs)
        return build_model(
            self._elements,
            self.settings.model,
            scale=tuple(_force_scale(level) for level in _by_head(frames).values()),
            avg_num_neighbors=max(1.0, sum(graph.edge_index.shape[1] for graph in graphs) / atoms),
            seed=self.settings.seed,
            dtype=self._dtype,
        )

    def _references(
        self, frames: Sequence[LabelledFrame], atoms: Mapping[int, float] | None = None
    ) -> ReferenceEnergies:
        """Reference energies of these frames, beyond the predictions of the starting model.

        They are fitted to the frames with an accurate label, if there are any, so that the zeros of all levels belong
        to the same geometries. Otherwise they would differ by the difference of mean energies between samples, which
        fine-tuning would have to unlearn.
        """
        frames = [frame for frame in frames if frame.frame_id in self._accurate_ids] or frames
        if self._start is None:
            return fit_reference_energies(frames, atoms=atoms)
        predicted, _ = predict(self._start, [frame.configuration for frame in frames])
        return fit_reference_energies(frames, predicted, atoms=atoms)

    def _references_by_head(self, frames: Sequence[LabelledFrame]) -> dict[int, ReferenceEnergies]:
        return {head: self._references(level) for head, level in _by_head(frames).items()}

    def _to_graphs(self, frames: Sequence[LabelledFrame], references: dict[int, ReferenceEnergies]) -> list[Graph]:
        """Graphs of these frames with weights of mean 1.

        Args:
            references: of each head's level.
        """
        mean = float(np.mean([frame.weight for frame in frames]))
        graphs = []
        for frame in frames:
            energy = frame.energy - references[frame.head].of(frame.configuration)
            graphs.append(with_label(self._geometry(frame.configuration), frame, energy, weight=frame.weight / mean))
        return graphs

    def _geometry(self, configuration: Configuration) -> Graph:
        """The graph of a geometry without a label; made once for the labels of all levels."""
        if configuration.frame_id not in self._geometries:
            self._geometries[configuration.frame_id] = to_graph(
                configuration, numbers=self._numbers, r_max=self._cutoff, dtype=self._dtype
            )
        return self._geometries[configuration.frame_id]

    def _load(self) -> State:
        checkpoint = self._checkpoints.load()
        if checkpoint is None:
            return {"finished": {}, "open": {}}
        state: State = torch.load(io.BytesIO(checkpoint), map_location=self.device, weights_only=True)
        # Missing in checkpoints of earlier versions.
        if self._used is not None and "used" in state:
            self._used.add_earlier(*state["used"])
        return state

    def _save(self, state: State) -> None:
        self._state = state
        if self._used is not None:
            used = self._used.update()
            state["used"] = [used.wall, used.cpu, used.gpu]
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self._checkpoints.save(buffer.getvalue())

    def _restore(self, name: str, model: torch.nn.Module) -> FitResult:
        finished = self._state["finished"][name]
        if finished["weights"] is not None:
            with torch.no_grad():
                for parameter, weight in zip(model.parameters(), finished["weights"], strict=True):
                    parameter.copy_(weight)
        result = FitResult(
            [Evaluation(**evaluation) for evaluation in finished["result"]["history"]],
            HeldOut(**finished["result"]["held_out"]),
            finished["result"]["seconds"],
        )
        self.results[name] = result
        return result


def _fit_zero(model: ScaleShiftMACE, frames: Sequence[LabelledFrame], atoms: Mapping[int, float] | None = None) -> None:
    """Set the reference energies of a trained model so that the mean energy error of these frames is zero.

    Weights are chosen by force errors, which do not depend on a constant: for ethanol, the model with the best forces
    had an error of 87 meV in all energies.
    """
    set_reference_energies(model, {})
    energies, _ = predict(model, [frame.configuration for frame in frames])
    references = fit_reference_energies(frames, energies, atoms=atoms)
    set_reference_energies(model, references.elements, references.shift)


def _by_head(frames: Sequence[LabelledFrame]) -> dict[int, list[LabelledFrame]]:
    """Frames of each head, in the order of heads."""
    return {head: [f for f in frames if f.head == head] for head in sorted({f.head for f in frames})}


def _force_scale(frames: Sequence[LabelledFrame]) -> float:
    """Root mean square force, eV/Å; 1 where there are none."""
    forces = [frame.forces for frame in frames if frame.forces is not None]
    return float(np.sqrt(np.mean(np.square(np.concatenate(forces))))) if forces else 1.0
