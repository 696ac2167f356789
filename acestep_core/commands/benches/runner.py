"""Runs cases: the same work by one or several, in turn and back again, timed on the same machine in the same process.

A case says who does what; everything else is here: warming up, order, clocks, memory, and how near the machine's own
roofline (Williams et al. 2009) a doer comes, which is measured in the same run.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, product
from typing import TYPE_CHECKING, Any

from acestep_core.errors import InvalidInput
from acestep_core.io import system
from acestep_core.options import NUMBER_FORMATS

if TYPE_CHECKING:
    import torch

OURS = "acestep"
SHOWN = 6
"""Operations that are shown of a profile."""
NOISY = 0.08
"""How much the two fastest rounds may differ before a figure counts as noisy."""
Doer = Callable[[], object]


class Facts(dict[str, Any]):
    """What a doer has to say of its work: plain values for its row, and a `note` for people."""


@dataclass(frozen=True)
class Case:
    """One work of one size.

    Attributes:
        size: of the networks, or what sort of work; seconds: of music, 0 where that has no meaning; batch: songs.
        doers: name -> does all of it. The first is ours. `Facts` that it returns become part of its row.
        reads: bytes that have to be read at least; 0 where the roofline says nothing.
    """

    size: str
    seconds: float
    batch: int
    doers: Mapping[str, Doer]
    reads: int = 0


Cases = Callable[[argparse.Namespace, "torch.device", "torch.dtype"], Iterable[Case]]


@dataclass(frozen=True)
class Roofline:
    """What a device can do: fp operations a second in a matrix product, bytes a second in a copy, read and write."""

    flops: float
    bandwidth: float

    @classmethod
    def of(cls, device: torch.device, dtype: torch.dtype) -> Roofline:
        import torch

        from acestep_core import devices

        size = 1024 if devices.is_host(device) else 8192
        a, b = (torch.full((size, size), 0.5, dtype=dtype, device=device) for _ in range(2))
        fastest = min(seconds_of(lambda: a @ b, device) for _ in range(12))
        return cls(2 * size**3 / fastest, bandwidth(device))

    def floor(self, flops: float, reads: float) -> float:
        """Seconds that work takes at least."""
        return max(flops / self.flops, reads / self.bandwidth)


def bandwidth(device: torch.device) -> float:
    """Bytes per second of a copy within the device's memory, read and write counted."""
    import torch

    source = torch.empty(2**28, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / min(seconds_of(lambda: target.copy_(source), device) for _ in range(10))


def clock(device: torch.device) -> float:
    """Seconds that processors spent for this process and those it waited for, on a CPU: other processes disturb that
    least. Elsewhere wall time, synchronised.
    """
    import torch

    from acestep_core import devices

    if devices.is_host(device):
        times = os.times()
        return time.process_time() + times.children_user + times.children_system
    torch.accelerator.synchronize(device)
    return time.perf_counter()


def seconds_of(work: Doer, device: torch.device) -> float:
    start = clock(device)
    work()
    return clock(device) - start


def peak_bytes(work: Doer, device: torch.device) -> int:
    """Most bytes that `work` has allocated at once."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from acestep_core import devices

    if devices.is_host(device):
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            work()
        events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]  # type: ignore[union-attr]
        alive = peak = 0
        for event in sorted(events, key=lambda e: e.start_ns()):
            alive += event.nbytes()
            peak = max(peak, alive)
        return peak
    torch.accelerator.empty_cache()
    before = torch.accelerator.memory_allocated(device)
    torch.accelerator.reset_peak_memory_stats(device)
    work()
    return torch.accelerator.max_memory_allocated(device) - before


def operations(work: Doer, device: torch.device) -> dict[str, float]:
    """Which share of its time `work` spends in each of torch's operations, largest first."""
    from torch.profiler import ProfilerActivity, profile

    from acestep_core import devices

    kinds = [ProfilerActivity.CPU, *([] if devices.is_host(device) else [ProfilerActivity.CUDA])]
    work()
    with profile(activities=kinds) as seen:
        work()
    own = "self_cpu_time_total" if devices.is_host(device) else "self_device_time_total"
    spent = {event.key.removeprefix("aten::"): getattr(event, own) for event in seen.key_averages()}
    whole = sum(spent.values())
    return {name: spent[name] / whole for name in sorted(spent, key=lambda name: -spent[name]) if spent[name]}


def add_arguments(
    parser: argparse.ArgumentParser,
    sizes: Sequence[str],
    seconds: Sequence[float] = (30, 120, 240),
    batches: Sequence[int] = (1,),
    peers: str = "",
) -> None:
    """The flags that all benchmarks of cases have; each takes only those that mean something to it.

    Args:
        sizes: to choose from, the first is the default; seconds, batches: defaults. Empty where there is no
            choice.
        peers: who is compared with, where it is installed.
    """
    if sizes:
        parser.add_argument("--size", nargs="+", choices=sizes, default=sizes[:1], help=f"default {sizes[0]}")
    for name, values, kind, text in (
        ("seconds", seconds, float, "lengths of songs"),
        ("batch", batches, int, "songs at once"),
    ):
        if values:
            shown = " ".join(map(str, values))
            text = f"{text} (default {shown})"
            parser.add_argument(f"--{name}", nargs="+", type=kind, default=list(values), metavar="N", help=text)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="interleaved repetitions (default 3)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="on a CPU (default 1)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, xpu, mps (default auto)")
    parser.add_argument("--dtype", choices=NUMBER_FORMATS, default="auto", help="number format")
    parser.add_argument("--profile", action="store_true", help="say in which operations ours spends its time")
    parser.add_argument("--plot", metavar="FILE", help="draw cost against length there, as SVG")
    if peers:
        parser.add_argument("--alone", action="store_true", help=f"without {peers}")
    parser.set_defaults(seconds=list(seconds) or [0.0], batch=list(batches) or [1], alone=not peers)


def measure(name: str, cases: Cases, options: argparse.Namespace) -> dict[str, Any]:
    """Every case of a benchmark, as rows of plain values."""
    import torch

    from acestep_core import devices

    counts = (*options.batch, options.rounds, options.threads)
    if min(counts) < 1 or min(options.seconds) < 0:
        raise InvalidInput("batch, rounds and threads must be at least 1, and seconds not below 0.")
    device = devices.pick_device(options.device)
    dtype = devices.dtype_for("dit", device, options.dtype)
    with devices.threads(options.threads), torch.inference_mode():
        roofline = Roofline.of(device, dtype)
        found = []
        for case in cases(options, device, dtype):
            found.append(rows_of(case, options.rounds, device, roofline))
            if options.profile:
                found[-1][0]["operations"] = operations(case.doers[next(iter(case.doers))], device)
    rows = list(chain.from_iterable(found))
    result: dict[str, Any] = {
        "benchmark": name,
        "device": system.processor_name() if devices.is_host(device) else devices.device_name(device),
        "dtype": devices.dtype_name(dtype),
        "threads": options.threads,
        "torch": torch.__version__,
        "roofline": {"flops": roofline.flops, "bandwidth": roofline.bandwidth},
        "rows": rows,
        "growth": growth(rows),
        "ratios": ratios(rows),
    }
    if options.plot:
        from acestep_core.commands.benches.chart import write_chart

        lines = [(who, [(row["seconds"], row["best"]) for row in line]) for who, line in by_length(rows)]
        write_chart(options.plot, f"{name}, {result['device']}", lines)
    return result


def lengths(options: argparse.Namespace) -> Iterable[tuple[float, int]]:
    """Every length with every number of songs that is asked for."""
    return product(options.seconds, options.batch)


def rows_of(case: Case, rounds: int, device: torch.device, roofline: Roofline) -> list[dict[str, Any]]:
    """One row for each doer."""
    counted = flops_of(case.doers[next(iter(case.doers))]) if case.reads else None
    peaks = {name: peak_bytes(doer, device) for name, doer in case.doers.items()}  # which warms up the others, too
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in case.doers}
    said: dict[str, object] = {}
    for number in range(rounds):
        order = list(case.doers.items())
        for name, doer in order if number % 2 == 0 else reversed(order):
            wall, start = time.perf_counter(), clock(device)
            said[name] = doer()
            times[name].append((clock(device) - start, time.perf_counter() - wall))
    rows = []
    ours = min(times[next(iter(case.doers))])[0]
    for name, found in times.items():
        spent = sorted(seconds for seconds, _ in found)
        music = case.seconds * case.batch
        extra = said[name]
        rows.append({
            "size": case.size, "seconds": case.seconds, "batch": case.batch, "who": name,
            "best": spent[0], "median": statistics.median(spent), "wall": min(wall for _, wall in found),
            "noisy": len(spent) > 1 and spent[1] > spent[0] * (1 + NOISY),
            "realtime": music / spent[0] if music else None,
            "peak_bytes": peaks[name], "flops": counted,
            "of_roofline": None if counted is None else roofline.floor(counted, case.reads) / spent[0],
            "ours_is": spent[0] / ours,
        } | (extra if isinstance(extra, Facts) else {}))  # fmt: skip
    return rows


def flops_of(work: Doer) -> int:
    """Operations of all products, convolutions and attention in `work`."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counted:
        work()
    return counted.get_total_flops()


def growth(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How cost grows from one length to the next: 1 is linear, 2 quadratic."""
    found = []
    for who, lengths in by_length(rows):
        for a, b in pairwise(lengths):
            exponent = math.log(b["best"] / a["best"]) / math.log(b["seconds"] / a["seconds"])
            found.append({"who": who, "from": a["seconds"], "to": b["seconds"], "exponent": exponent})
    return found


def by_length(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Rows that differ in length alone, shortest first, and what they have in common."""
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["seconds"]:
            lines.setdefault(f"{row['who']}, {row['size']}, {row['batch']} at once", []).append(row)
    for who, line in lines.items():
        yield who, sorted(line, key=lambda row: row["seconds"])


def ratios(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What another run on another machine may be compared by: how often faster than others, how near the roofline."""
    found = {}
    for row in rows:
        case = f"{row['size']}, {row['seconds']:g} s, {row['batch']} at once"
        if row["ours_is"] != 1:
            found[f"{case}, faster than {row['who']}"] = row["ours_is"]
        elif row["of_roofline"] is not None:
            found[f"{case}, of the roofline"] = row["of_roofline"]
    return found


def table(result: Mapping[str, Any]) -> str:
    """The result for people."""
    top = result["roofline"]
    lines = [
        f"{result['device']}, {result['dtype']}, {result['threads']} threads, torch {result['torch']}",
        f"matrix product {top['flops'] / 1e9:,.0f} GFLOP/s, copy {top['bandwidth'] / 1e9:,.1f} GB/s",
        "",
        f"{'size':16}{'music s':>8}{'songs':>6}  {'':24}{'s':>10}{'median':>10}"
        f"{'x time':>9}{'MiB':>9}{'limit':>7}{'ours is':>9}",
    ]
    for row in result["rows"]:
        ratio = "" if row["ours_is"] == 1 else f"{row['ours_is']:.2f}x"
        speed = "" if row["realtime"] is None else f"{row['realtime']:.1f}"
        share = "" if row["of_roofline"] is None else f"{row['of_roofline']:.0%}"
        lines.append(
            f"{row['size']:16}{row['seconds']:8g}{row['batch']:6}  {row['who']:24}"
            f"{row['best']:10.4f}{row['median']:10.4f}{speed:>9}{row['peak_bytes'] / 2**20:9.1f}{share:>7}"
            f"{ratio:>9}{'  noisy' if row['noisy'] else ''}"
        )
        if "operations" in row:
            shares = [f"{name} {share:.0%}" for name, share in row["operations"].items()]
            lines.append(f"{'':32}{', '.join(shares[:SHOWN])}")
        if "note" in row:
            lines.append(f"{'':32}{row['note']}")
    for step in result["growth"]:
        lines.append(f"{step['from']:g} to {step['to']:g} s: exponent {step['exponent']:.2f} ({step['who']})")
    return "\n".join(lines)
