"""``make audit``: known vulnerabilities of the versions in ``constraints.txt``.

It installs pip-audit into an environment of its own. Without a package registry or an advisory database within reach,
it says so in one line and does not fail.
"""

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent.parent
SECONDS = 600


def verdict(answer: dict[str, Any]) -> tuple[str, int]:
    """What to print of pip-audit's JSON, and the exit code: 1 if a package has a known vulnerability.

    Packages that the advisory database does not know are skipped by pip-audit, all of them where a mirror of the
    registry has no database.
    """
    packages = answer["dependencies"]
    audited = [package for package in packages if "skip_reason" not in package]
    if not audited:
        return "no advisory database answers here: the versions in constraints.txt were not audited", 0
    found = [
        f"{package['name']} {package['version']}: {advisory['id']}, "
        f"fixed in {', '.join(advisory['fix_versions']) or 'no version'}"
        for package in audited
        for advisory in package["vulns"]
    ]
    summary = f"{len(audited)} of {len(packages)} versions in constraints.txt audited, {len(found)} advisories"
    return "\n".join([*found, summary]), int(bool(found))


def main() -> None:
    """Install pip-audit, run it, and print its verdict."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            venv.create(folder, with_pip=True)
            _run(f"{folder}/bin/pip", "install", "--quiet", "pip-audit")
            options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
            answer = json.loads(_run(f"{folder}/bin/pip-audit", *options, "-r", str(HOME / "constraints.txt")))
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            print(f"pip-audit cannot run here ({type(error).__name__}): constraints.txt was not audited")
            return
    text, code = verdict(answer)
    print(text)
    sys.exit(code)


def _run(*command: str) -> str:
    # pip-audit's exit code is 1 where it finds something; its answer tells that from a failure.
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS).stdout


if __name__ == "__main__":
    main()
