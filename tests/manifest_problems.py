"""Problems of a manifest, for the tests of manifests."""

from pathlib import Path

from asteroid.errors import InputError
from asteroid.manifest import load_manifest


def check_manifest(path: Path) -> list[str]:
    try:
        load_manifest(path)
    except InputError as error:
        return list(error.problems)
    return []
