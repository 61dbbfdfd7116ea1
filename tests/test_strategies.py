"""The definitions of the strategies; what each of them learns is in :mod:`tests.training.test_strategies`."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import asteroid.training.strategies
from asteroid.errors import InputError
from asteroid.settings import Strategy, TrainingSettings
from asteroid.strategies import BASELINE, StrategyDefinition, all_strategies, strategy_named

FILES = sorted(path.stem for path in Path(asteroid.training.strategies.__path__[0]).glob("*.py"))


def test_every_file_defines_the_one_strategy_that_it_is_named_after() -> None:
    assert sorted(["__init__", *(name.replace("-", "_") for name in get_args(Strategy))]) == FILES
    for strategy in all_strategies():
        module = sys.modules[f"asteroid.training.strategies.{strategy.name.replace('-', '_')}"]
        assert [found for found in vars(module).values() if isinstance(found, StrategyDefinition)] == [strategy]
        assert strategy.recipe.__module__ in (module.__name__, "asteroid.training.strategies.scratch")
    assert [strategy.name for strategy in all_strategies()] == [*get_args(Strategy)]


def test_definitions_and_a_manifest_that_names_one_are_read_without_torch(tmp_path: Path) -> None:
    manifest = tmp_path / "molecules.yaml"
    manifest.write_text("molecules: [{name: w, smiles: O, training: {strategy: score-matching-exact}}]")
    code = f"""
import sys
from types import SimpleNamespace
from asteroid.manifest import load_manifest
from asteroid.report.words import strategy_of
from asteroid.strategies import all_strategies
(molecule,) = load_manifest({str(manifest)!r}).molecules
for strategy in all_strategies():
    assert strategy_of(SimpleNamespace(strategy=strategy.name, correction=None)).phases(molecule.training)
heavy = {{"torch", "mace", "e3nn", "ase"}} & set(sys.modules)
sys.exit(", ".join(heavy) or 0)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_strategies_read_settings_that_there_are() -> None:
    settings = TrainingSettings()
    for strategy in all_strategies():
        assert all(hasattr(settings, name) for name in strategy.reads), strategy.name


def test_every_strategy_spends_as_many_steps_on_its_model_as_the_baseline() -> None:
    settings = TrainingSettings(pretrain_steps=400, finetune_steps=200, gamma=0.1)
    for strategy in all_strategies():
        phases = [phase for phase in strategy.phases(settings) if not phase.optional]
        assert sum(phase.steps for phase in phases) == 600, strategy.name


def test_only_the_baseline_has_nothing_that_the_baseline_has_not() -> None:
    assert [strategy.name for strategy in all_strategies() if not strategy.aid] == [BASELINE]
    assert strategy_named(BASELINE).starts_from == "random"


def test_an_unknown_strategy_gets_the_nearest_name() -> None:
    with pytest.raises(InputError, match="unknown strategy 'multihed'; did you mean 'multihead'"):
        strategy_named("multihed")
