"""Restarts the server, the workers and the file server of ``make up`` when one of them ends.

``python -m infra.supervisor``. It finds running processes by :mod:`infra.running`, so a new supervisor takes over those
of a killed one.
"""

import time

from infra import local, running

POLL_SECONDS = 1.0
PAUSE_SECONDS = 5.0
"""Smallest interval between two starts of a process that ends at once."""


def main() -> None:
    """Watch the services until terminated."""
    children = []
    began: dict[str, float] = {}
    while True:
        # poll() also reaps children that have ended.
        children = [child for child in children if child.poll() is None]
        for name, command in local.services().items():
            if running.is_running(name) or time.monotonic() - began.get(name, -PAUSE_SECONDS) < PAUSE_SECONDS:
                continue
            known = bool(running.sessions(name))
            children.append(running.start(name, command, local.environment()))
            began[name] = time.monotonic()
            print(f"{time.strftime('%F %T')} {name} {'had ended, started again' if known else 'started'}", flush=True)
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main()
