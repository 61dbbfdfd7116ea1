"""One thread a process, before numpy or tblite is imported: threads make tiny computations slow and not repeatable."""

from asteroid.processes import single_thread_environment

single_thread_environment()
