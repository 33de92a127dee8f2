"""Runs a command and says what it took: time, CPU of it and all its children, memory, CPU of the whole machine."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run. `cpu` is user and system time of the command and of the children that it waited for."""

    seconds: float
    cpu: float
    machine_cpu: float  # of everything on the machine, the control plane too
    rss_mib: float  # the largest of the command's processes
    load: float  # of one minute, when it began
    code: int


def run(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: Path) -> Sample:
    """Start, wait, measure; what it prints goes to the end of `log`."""
    load, busy, began = os.getloadavg()[0], _busy(), time.monotonic()
    with log.open("ab") as out:
        out.write(f"\n$ {' '.join(argv)}\n".encode())
        out.flush()
        pid = os.fork()
        if pid == 0:
            _become(argv, cwd, env, out.fileno())
        _, status, usage = os.wait4(pid, 0)
    return Sample(
        seconds=round(time.monotonic() - began, 3),
        cpu=round(usage.ru_utime + usage.ru_stime, 3),
        machine_cpu=round(_busy() - busy, 3),
        rss_mib=round(usage.ru_maxrss / 1024, 1),
        load=round(load, 2),
        code=os.waitstatus_to_exitcode(status),
    )


def _become(argv: Sequence[str], cwd: Path, env: Mapping[str, str], out: int) -> None:
    """The child's part: never returns."""
    try:
        os.chdir(cwd)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.execvpe(argv[0], list(argv), dict(env))
    finally:
        os._exit(127)


def _busy() -> float:
    """CPU seconds that this machine has worked since it started (proc_stat(5)); 0 where that cannot be read."""
    try:
        fields = Path("/proc/stat").read_text("utf-8").splitlines()[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _idle, _iowait, irq, softirq = (int(field) for field in fields[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def summary(samples: Sequence[Sample]) -> dict[str, Any]:
    """Median, least and most of what was measured, and every sample."""
    good = [sample for sample in samples if sample.code == 0]
    seconds = [sample.seconds for sample in good]
    return {
        "n": len(good),
        "failed": len(samples) - len(good),
        "median": round(median(seconds), 3) if good else None,
        "min": min(seconds, default=None),
        "max": max(seconds, default=None),
        "cpu": round(median(sample.cpu for sample in good), 3) if good else None,
        "machine_cpu": round(median(sample.machine_cpu for sample in good), 3) if good else None,
        "rss_mib": max((sample.rss_mib for sample in good), default=None),
        "samples": [asdict(sample) for sample in samples],
    }
