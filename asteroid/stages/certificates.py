"""Validation of a finished model: certificate, report, and the summary for the user."""

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from asteroid.errors import AsteroidError
from asteroid.manifest import MoleculeSettings, SettledChain
from asteroid.naming import content, digest
from asteroid.processes import Progress
from asteroid.stages.common import label_key
from asteroid.stages.curve import measure_curve
from asteroid.stages.evidence import Asked, gather_evidence, read_asked, validating
from asteroid.stages.hessians import hessian_frames
from asteroid.stages.kept_quotes import find_quote
from asteroid.stages.labels import expected_label_seconds
from asteroid.stages.looks import count_looks
from asteroid.stages.minima import compare_to_accurate
from asteroid.stages.models import Models, errors_on, trained_models, training_frames
from asteroid.stages.own_md import own_md, trajectories_folder
from asteroid.store import Store, paths, records
from asteroid.store.account import Entry
from asteroid.store.models import read_card, read_model

if TYPE_CHECKING:
    from asteroid.report.next_step import Spent
    from asteroid.validation.certificate import Certificate, PassedOver
    from asteroid.validation.errors import Errors
    from asteroid.validation.intervals import Estimate
    from asteroid.validation.worth import LearningCurve


def report_folder(store: Store, molecule: MoleculeSettings, models: Models) -> str:
    """Folder of a certificate and its report, named by the model and everything it was validated with."""
    frames, accurate, _ = training_frames(store, molecule)
    validated_with = {
        "validation": content(molecule.validation),
        "test": [label_key(accurate[i]) for i in frames.test],
    }
    if not molecule.label_settings(molecule.accurate).forces:
        validated_with["minimum"] = "the model's alone"
    asked = read_asked(store, molecule, models.final) or Asked()
    if further := [*asked.frame_ids, *hessian_frames(store, molecule, models.final)]:
        labels = store.labels(molecule.name, molecule.accurate)
        validated_with["evidence"] = [label_key(labels[i]) for i in further if i in labels]
    return f"{paths.reports(molecule.name)}/{models.final}-{digest(validated_with)[:8]}"


def lacks_certificate(store: Store, molecule: MoleculeSettings) -> bool:
    """Whether the models of these settings, or their certificate and report, are missing."""
    models = trained_models(store, molecule)
    return models is None or not store.exists(f"{report_folder(store, molecule, models)}/report.html")


def certify(store: Store, molecule: MoleculeSettings, *, on_progress: Progress | None = None) -> bool:
    """Validate the final model on test frames, in MD and at its minimum; write certificate and report. Needs torch.

    Returns:
        Whether the model passed.

    Raises:
        AsteroidError: when no model has been trained from the labels in the store.
    """
    with validating(store, molecule, on_progress) as (models, entry):
        return _certify(store, molecule, models, entry, entry.following(on_progress))


def _certify(store: Store, molecule: MoleculeSettings, models: Models, account: Entry, on_progress: Progress) -> bool:
    from asteroid.report.next_step import NextStep, next_step
    from asteroid.report.write import write_report
    from asteroid.validation.certificate import Certificate
    from asteroid.validation.certificate import certify as make_certificate
    from asteroid.validation.worth import LearningCurve

    on_progress("errors on held-out frames", 0, 1)
    folder = report_folder(store, molecule, models)
    card, scratch_card = (read_card(store, molecule.model_name, i) for i in (models.final, models.scratch))
    if not store.exists(f"{folder}/certificate.json"):
        minimum, rest, note = compare_to_accurate(store, molecule, models.final)
        errors = _errors(store, molecule, models.final)
        trajectories = own_md(store, molecule, models.final, on_progress=on_progress)
        evidence = gather_evidence(store, molecule, models.final, rest, trajectories)
        own = evidence.on_policy.errors if evidence.on_policy else None
        certificate = make_certificate(
            card,
            molecule.name,
            errors=errors,
            scratch_errors=_errors(store, molecule, models.scratch) if models.scratch != models.final else None,
            dynamics=trajectories.dynamics,
            minimum=minimum,
            thresholds=molecule.validation.thresholds,
            minimum_note=note,
            evidence=evidence,
            accurate_forces=molecule.label_settings(molecule.accurate).forces,
            looks=count_looks(store, molecule, models.final, errors.frame_ids, own.frame_ids if own else ()),
            passed_over=_passed_over(store, molecule, models),
        )
        records.write(store, f"{folder}/certificate.json", certificate, nulls=True)
    if not store.exists(f"{folder}/curve.json"):
        curve = measure_curve(store, molecule, models, partial(_errors, store, molecule), on_progress=on_progress)
        records.write(store, f"{folder}/curve.json", curve)
    made = records.read(store, Certificate, f"{folder}/certificate.json")
    curve = records.read(store, LearningCurve, f"{folder}/curve.json")
    if not store.exists(f"{folder}/next-step.json"):
        sentence = next_step(made, _spent(store, molecule, made, curve))
        records.write(store, f"{folder}/next-step.json", NextStep(sentence))
    # Saved first: the report shows the account.
    account.save()
    write_report(
        store,
        molecule.name,
        certificate=made,
        card=card,
        scratch_card=scratch_card,
        folder=folder,
        curve=curve,
        quote=find_quote(store, molecule),
        next_step=records.read(store, NextStep, f"{folder}/next-step.json").sentence,
        trajectories=trajectories_folder(molecule, models.final),
    )
    return made.passed


def _passed_over(store: Store, molecule: MoleculeSettings, models: Models) -> "PassedOver | None":
    """Errors of the strategy's model where the scratch model is better and was handed over."""
    from asteroid.validation.certificate import PassedOver

    if models.passed_over is None:
        return None
    frames, _, _ = training_frames(store, molecule)
    errors = _errors(store, molecule, models.passed_over)
    return PassedOver(models.passed_over, molecule.training.strategy, errors, len(frames.held_out))


def _spent(store: Store, molecule: MoleculeSettings, certificate: "Certificate", curve: "LearningCurve") -> "Spent":
    """Cost of a label and of MD, as measured so far."""
    from asteroid.report.next_step import Spent

    settings, acquired, chain = molecule.validation, molecule.acquisition, molecule.chain
    budget = None
    if isinstance(chain, SettledChain):
        hours = molecule.budget.core_hours
        budget = (
            ("accurate", float(chain.budget), chain.core_seconds)
            if hours is None
            else ("core_hours", hours, chain.core_seconds)
        )
    speed = certificate.dynamics.steps_per_second
    return Spent(
        labels=molecule.budget.accurate,
        label_seconds=expected_label_seconds(store, molecule, molecule.accurate),
        md_seconds=1000 / settings.timestep / speed if speed else None,
        md_ps=settings.nvt_ps,
        temperatures=len(settings.temperatures),
        exponent=curve.worth.exponent if curve.worth else None,
        rounds_allowed=acquired.certify_rounds if acquired else None,
        budget=budget,
    )


def outcome(store: Store, molecule: MoleculeSettings, models: Models) -> dict[str, Any]:
    """Summary of a certified model for the user: result, errors in eV/Å and eV/atom, and paths of model and report.

    Force errors are None if the accurate labels are energies alone.

    Raises:
        StoreError: when the model has changed since it was certified.
    """
    from asteroid.report.next_step import NextStep
    from asteroid.report.verdict import benefit_sentence, quality_sentence
    from asteroid.validation.certificate import Certificate

    read_model(store, molecule.model_name, models.final)
    folder = report_folder(store, molecule, models)
    next_step = f"{folder}/next-step.json"
    certificate = records.read(store, Certificate, f"{folder}/certificate.json")
    card = read_card(store, molecule.model_name, models.final)
    scratch = certificate.scratch_errors or certificate.errors
    return {
        "molecule": molecule.name,
        "model_name": molecule.model_name,
        "unseen": molecule.is_only_judged,
        "passed": certificate.passed,
        "state": certificate.state,
        "quality": quality_sentence(certificate),
        "benefit": benefit_sentence(certificate, card),
        "next_step": records.read(store, NextStep, next_step).sentence if store.exists(next_step) else "",
        "force_mae": _value(certificate.errors.force_mae),
        "energy_mae": certificate.errors.energy_mae.value,
        "scratch_force_mae": _value(scratch.force_mae),
        "scratch_energy_mae": scratch.energy_mae.value,
        "lines": [asdict(line) for line in certificate.lines],
        "model": store.location(paths.model(molecule.model_name, models.final)),
        "report": store.location(f"{folder}/report.html"),
        "report_path": f"{folder}/report.html",
        "certificate_path": f"{folder}/certificate.json",
    }


def _value(estimate: "Estimate | None") -> float | None:
    return None if estimate is None else estimate.value


def _errors(store: Store, molecule: MoleculeSettings, model_id: str) -> "Errors":
    """Errors of a model on the test frames."""
    frames, _, _ = training_frames(store, molecule)
    if not frames.test:
        raise AsteroidError(f"{molecule.name}: no test frame has an accepted label at {molecule.accurate}")
    return errors_on(store, molecule, model_id, {molecule.name: frames.test})
