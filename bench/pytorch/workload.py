"""What PyTorch's competitors share: something that is called again and again, in the fastest of several modes.

A subclass makes itself from a row's fields (`model`, and the images `x`; others than these need a `use_layout` of its own)
and makes the call of a mode (`prepare`). serve_workload answers the bench for it (protocol: src/cli/peer.ts): open, run, choose, memory, peak, and
what the subclass adds.
"""
import json
import os
import sys

import torch

from serve import serve
from timing import seconds_of

settings = json.loads(sys.argv[1])
device = settings.get("device", "cpu")
if settings.get("threads"):
    torch.set_num_threads(settings["threads"])
torch.set_num_interop_threads(1)


def resident(key):
    """Bytes of this process: VmRSS now, VmHWM at most so far (Linux)."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(key + ":"))


# Before there is a network: what Python and PyTorch take by themselves.
idle_bytes = resident("VmRSS") if os.path.exists("/proc/self/status") else None


def in_graph(step):
    """step captured once as a CUDA graph; its replay draws new random numbers."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # as PyTorch's documentation wants it: warm on another stream
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


class Workload:
    #: The modes that `choose` tries where none are asked for.
    cpu_modes = ["channels_first", "eager"]
    gpu_modes = ["eager", "graph"]

    def __init__(self):
        self.steps = {}

    def prepare(self, mode):
        """The call that a mode is."""
        raise NotImplementedError

    def use_layout(self, layout):
        self.model.to(memory_format=layout)
        self.x = self.x.contiguous(memory_format=layout)

    def parameter_bytes(self):
        return bytes_of(self.model)

    def step_of(self, mode):
        if mode not in self.steps:
            self.steps[mode] = self.prepare(mode)
        return self.steps[mode]

    def use_mode(self, mode):
        if device == "cpu":  # on a GPU everything is channels_last, and graphs keep their addresses
            self.use_layout(torch.contiguous_format if mode == "channels_first" else torch.channels_last)
        self.step = self.step_of(mode)
        self.run(0, 2)  # compiles, tries algorithms, warms up
        return {}

    def run(self, seconds, steps):
        """Groups of `steps` calls until `seconds` are over."""
        done, elapsed = 0, 0.0
        while True:
            elapsed += seconds_of(device, lambda: [self.step() for _ in range(steps)])
            done += steps
            if elapsed >= seconds:
                return {"steps": done, "seconds": elapsed}

    def choose(self, seconds, wanted=None):
        """The fastest of the wanted modes is used from here on. Those that do not run are told under "failed".

        The modes take turns, and each is known by its best turn: one trial apiece, and a moment in which the machine is
        busy decides for the slower one, with the whole row's figures after it.
        """
        times, failed = {}, {}
        modes = list(wanted or (self.cpu_modes if device == "cpu" else self.gpu_modes))
        turns = 3
        for _ in range(turns):
            for mode in modes:
                if mode in failed:
                    continue
                try:
                    self.use_mode(mode)
                    result = self.run(seconds / turns, 2)
                except Exception as error:
                    failed[mode] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
                    times.pop(mode, None)
                    continue
                taken = result["seconds"] / result["steps"]
                times[mode] = min(taken, times.get(mode, taken))
        if not times:
            raise RuntimeError(f"no mode runs: {failed}")
        best = min(times, key=times.get)
        self.use_mode(best)
        layout = "channels_first" if best == "channels_first" else "channels_last"
        return {"mode": best, "layout": layout, "secondsPerStep": times, "failed": failed}

    def memory(self):
        """Resident bytes at most during two calls, with the idle process's and the parameters' to take off."""
        with open("/proc/self/clear_refs", "w") as clear:
            clear.write("5")  # VmHWM starts anew: what making the network took does not count
        self.run(0, 2)
        return {"idleBytes": idle_bytes, "parameterBytes": self.parameter_bytes(), "peakBytes": resident("VmHWM")}

    def peak(self):
        """What PyTorch's allocator has given out at most on the GPU; on a CPU, what was resident."""
        if device == "cpu":
            return {"peakBytes": self.memory()["peakBytes"]}
        torch.cuda.reset_peak_memory_stats()
        self.run(0, 2)
        return {"peakBytes": torch.cuda.max_memory_allocated()}


def bytes_of(model):
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def serve_workload(kind, *more):
    """Serves one workload of this kind: the settings' own, where they name a net, until `open` makes another."""
    current = kind(**settings) if "net" in settings else None

    def open_workload(**row):
        nonlocal current
        current = None
        if device == "cuda":
            torch.cuda.empty_cache()
        current = kind(**row)
        return {}

    names = ("run", "choose", "use_mode", "memory", "peak", *more)
    commands = {name: lambda _name=name, **rest: getattr(current, _name)(**rest) for name in names}
    serve(device, {"open": open_workload, **commands})
