"""Running asteroid's server and workers: on this machine (:mod:`infra.local`), in containers, on clusters."""
