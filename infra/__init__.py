"""Prefect server and workers for asteroid: on this machine (:mod:`infra.local`), in containers, on clusters."""
