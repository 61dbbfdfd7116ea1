"""What ``make up`` leaves running: it starts the server, the workers and the file server again when one of them dies.

``python -m infra.supervisor``. It finds what runs by :mod:`infra.running`, so one that was killed itself is replaced by
one that takes over what it had started.
"""

import time

from infra import local, running

LOOK_SECONDS = 1.0
PAUSE_SECONDS = 5.0
"""Between two starts of a process that ends at once."""


def main() -> None:
    """Watch until terminated."""
    children = []
    began: dict[str, float] = {}
    while True:
        # Asking for its exit code clears away one that has ended.
        children = [child for child in children if child.poll() is None]
        for name, command in local.services().items():
            if running.is_running(name) or time.monotonic() - began.get(name, -PAUSE_SECONDS) < PAUSE_SECONDS:
                continue
            known = bool(running.sessions(name))
            children.append(running.start(name, command, local.environment()))
            began[name] = time.monotonic()
            print(f"{time.strftime('%F %T')} {name} {'had ended, started again' if known else 'started'}", flush=True)
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main()
