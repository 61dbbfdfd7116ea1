"""A cost estimate: lines of :mod:`asteroid.store.quote_records`, totals, and one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

from asteroid.plan.labels import Growth
from asteroid.store.quote_records import Line


@dataclass(frozen=True, kw_only=True)
class Quote:
    """Cost estimate of a manifest for a number of workers.

    Args:
        overhead: core-seconds of the run itself.
        growth: of each level.
    """

    lines: tuple[Line, ...]
    workers: int
    overhead: float
    growth: tuple[Growth, ...]

    @property
    def core_seconds(self) -> float:
        return self.overhead + sum(line.core_seconds for line in self.lines)

    @property
    def least_core_seconds(self) -> float:
        return self.overhead + sum(line.least_core_seconds for line in self.lines)

    @property
    def spent_core_seconds(self) -> float:
        return sum(line.spent_core_seconds for line in self.lines)

    @property
    def wall_seconds(self) -> float:
        """Of the whole run: molecules in parallel, but labelling stages one after another, since each uses all
        workers."""
        longest = max((sum(one.wall_seconds for one in self.of(m)) for m in self.molecules), default=0.0)
        labelling = sum(line.wall_seconds for line in self.lines if line.labels)
        return self.overhead + max(longest, labelling, (self.core_seconds - self.overhead) / self.workers)

    @property
    def memory(self) -> float:
        """MiB, of parallel trainings, or of a labelling stage in parallel with trainings of other molecules."""
        labelling = max((line.memory * line.processes for line in self.lines if line.labels), default=0.0)
        trainings = [max((one.memory for one in self.of(m) if not one.labels), default=0.0) for m in self.molecules]
        beside = sorted(trainings, reverse=True)[: self.workers]
        return max(sum(beside), labelling + sum(beside[: len(trainings) - 1]))

    @property
    def disk(self) -> float:
        """MB, added to the store."""
        return sum(line.disk for line in self.lines)

    @property
    def worker_memory(self) -> float:
        """MiB, of the largest label worker."""
        return max((line.memory for line in self.lines if line.labels), default=0.0)

    @property
    def molecules(self) -> list[str]:
        return list(dict.fromkeys(line.molecule for line in self.lines))

    def of(self, molecule: str) -> list[Line]:
        """Lines of one molecule."""
        return [line for line in self.lines if line.molecule == molecule]

    def sentence(self) -> str:
        """The quote in words."""
        spent = f" {duration(self.spent_core_seconds)} of one core has been spent." if self.spent_core_seconds else ""
        if not any(line.count for line in self.lines):
            return f"Nothing is left to do.{spent}"
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return (
            f"About {duration(self.wall_seconds)} on {workers}, {core_hours(self.core_seconds)}, of which "
            f"{_largest_share(self.lines)}; {self.worker_memory / 1024:.1f} GB per label worker, "
            f"{self.memory / 1024:.1f} GB at once; {self.disk:.0f} MB on disk.{spent}"
        )


def _largest_share(lines: Sequence[Line]) -> str:
    """``78 % are ccsd(t)/cc-pvdz labels``: the stage, or the label level, that costs most over all molecules."""
    shares: dict[str, float] = {}
    for line in lines:
        words = f"{line.detail} labels" if line.unit == "labels" else line.stage
        shares[words] = shares.get(words, 0.0) + line.core_seconds
    words = max(shares, key=lambda key: shares[key])
    return f"{100 * shares[words] / sum(shares.values()):.0f} % {'are' if words.endswith('s') else 'is'} {words}"


def core_hours(seconds: float) -> str:
    """
    >>> core_hours(7560), core_hours(36)
    ('2.1 core-hours', '0.01 core-hours')
    """
    hours = seconds / 3600
    return f"{hours:.1f} core-hours" if hours >= 1 else f"{hours:.2g} core-hours"


def duration(seconds: float) -> str:
    """
    >>> duration(4210), duration(95), duration(7)
    ('1 h 10 min', '2 min', '7 s')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours / 24:.1f} days"
