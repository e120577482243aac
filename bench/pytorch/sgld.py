"""SGLD in PyTorch, as a competitor of bench/sgld.mjs, bench/gpu/sgld.mjs and `langevin bench sgld --peer pytorch`.

The step is that of the released sample_q: x += step_size * df/dx + noise_std * randn, f = logsumexp of the logits, x in
float32. Parameters require no gradient, so that only the input's is computed. `choose` finds the fastest way to run it
here: on a CPU eager, channels_first or channels_last; on a GPU channels_last, eager, as a CUDA graph, with torch.compile,
or both.
"""
import json
import resource
import sys

import torch

from jem import Jem, read_safetensors, use_precision
from serve import serve
from timing import seconds_of

settings = json.loads(sys.argv[1])
device = settings.get("device", "cpu")
if settings.get("threads"):
    torch.set_num_threads(settings["threads"])
torch.set_num_interop_threads(1)


def peak_rss():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def input_gradient(network, images):
    images = images.detach().requires_grad_(True)
    return torch.autograd.grad(network(images).logsumexp(1).sum(), images)[0]


def in_graph(step):
    """step captured once; its replay draws new random numbers."""
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


class Chain:
    def __init__(self, net, size, channels, batch, classes=10, stepSize=1, noiseStd=0.01, precision="fp32", **_):
        torch.manual_seed(0)
        self.rss_before = peak_rss()
        self.dtype = use_precision(precision)
        self.step_size, self.noise_std = stepSize, noiseStd
        self.model = Jem(net, classes, channels).requires_grad_(False).to(device, self.dtype)
        self.x = (torch.rand(batch, channels, size, size) * 2 - 1).to(device)
        self.use_layout(torch.channels_last)
        self.steps = {}
        self.step = self.step_of("eager")

    def use_layout(self, layout):
        self.model.to(memory_format=layout)
        self.x = self.x.contiguous(memory_format=layout)

    def eager(self, network):
        gradient = input_gradient(network, self.x)
        self.x.add_(gradient, alpha=self.step_size).add_(torch.randn_like(self.x), alpha=self.noise_std)

    def step_of(self, mode):
        if mode not in self.steps:
            self.steps[mode] = self.prepare(mode)
        return self.steps[mode]

    def prepare(self, mode):
        if mode.endswith("graph"):
            return in_graph(self.step_of("compile" if mode.startswith("compile") else "eager"))
        if mode == "compile":
            network = torch.compile(self.model, dynamic=False)
            return lambda: self.eager(network)
        return lambda: self.eager(self.model)

    def use_mode(self, mode):
        if device == "cpu":  # on a GPU everything is channels_last, and graphs keep their addresses
            self.use_layout(torch.contiguous_format if mode == "channels_first" else torch.channels_last)
        self.step = self.step_of(mode)
        self.run(0, 2)  # compiles, tries algorithms, warms up

    def run(self, seconds, steps):
        """Calls of `steps` steps until `seconds` are over."""
        done, elapsed = 0, 0.0
        while True:
            elapsed += seconds_of(device, lambda: [self.step() for _ in range(steps)])
            done += steps
            if elapsed >= seconds:
                return {"steps": done, "seconds": elapsed}

    def choose(self, seconds, wanted=None):
        """The fastest of the wanted modes is used from here on. Those that do not run are told under "failed"."""
        times, failed = {}, {}
        for mode in wanted or (["channels_first", "eager"] if device == "cpu" else ["eager", "graph"]):
            try:
                self.use_mode(mode)
                result = self.run(seconds, 2)
                times[mode] = result["seconds"] / result["steps"]
            except Exception as error:
                failed[mode] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        if not times:
            raise RuntimeError(f"no mode runs: {failed}")
        best = min(times, key=times.get)
        self.use_mode(best)
        layout = "channels_first" if best == "channels_first" else "channels_last"
        return {"mode": best, "layout": layout, "secondsPerStep": times, "failed": failed}

    def check(self, path):
        """Loads our weights; the relative error of our input gradient against PyTorch's, both in float64."""
        tensors = read_safetensors(path)
        images = tensors.pop("check.x").permute(0, 3, 1, 2).contiguous().to(device)
        expected = tensors.pop("check.gradient").permute(0, 3, 1, 2).to(device)
        self.model.double().load_state_dict(tensors)
        gradient = input_gradient(self.model, images)
        self.model.to(self.dtype)
        return {"gradientError": ((gradient - expected).norm() / gradient.norm()).item()}

    def peak(self):
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.run(0, 2)
            return {"peakBytes": torch.cuda.max_memory_allocated()}
        self.run(0, 2)
        return {"peakRssDeltaBytes": peak_rss() - self.rss_before}


chain = Chain(**settings) if "net" in settings else None


def open_chain(**row):
    global chain
    chain = None
    if device == "cuda":
        torch.cuda.empty_cache()
    chain = Chain(**row)
    return {}


commands = {name: lambda _name=name, **rest: getattr(chain, _name)(**rest) for name in ("run", "choose", "check", "peak")}
serve(device, {"open": open_chain, **commands})
