"""SGLD in PyTorch, as a competitor of bench/sgld.mjs, bench/gpu and `langevin bench sgld --peer pytorch`.

The step is that of the released sample_q: x += step_size * df/dx + noise_std * randn, f = logsumexp of the logits, x in
float32. Parameters require no gradient, so that only the input's is computed. `choose` finds the fastest way to run it
here: on a CPU eager, channels_first or channels_last; on a GPU channels_last, eager, a CUDA graph, torch.compile, or both.
"""
import json
import resource
import sys

import torch

from jem import Jem, read_safetensors, use_precision
from serve import serve
from timing import seconds_of, synchronize

settings = json.loads(sys.argv[1])
device = settings.get("device", "cpu")
dtype = use_precision(settings.get("precision", "fp32"))
if settings.get("threads"):
    torch.set_num_threads(settings["threads"])
torch.set_num_interop_threads(1)
torch.manual_seed(0)


def peak_rss():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


rss_before = peak_rss()
model = Jem(settings["net"], settings["classes"], settings["channels"]).requires_grad_(False).to(device, dtype)
size, channels, batch = settings["size"], settings["channels"], settings["batch"]
x = (torch.rand(batch, channels, size, size) * 2 - 1).to(device, memory_format=torch.channels_last)
model.to(memory_format=torch.channels_last)


def use_layout(layout):
    global x
    model.to(memory_format=layout)
    x = x.contiguous(memory_format=layout)


def input_gradient(network, images):
    images = images.detach().requires_grad_(True)
    return torch.autograd.grad(network(images).logsumexp(1).sum(), images)[0]


def eager(network=model):
    def step():
        gradient = input_gradient(network, x)
        x.add_(gradient, alpha=settings["stepSize"]).add_(torch.randn_like(x), alpha=settings["noiseStd"])

    return step


def compiled():
    step = eager(torch.compile(model))
    step()  # compiles
    return step


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


prepared = {}
modes = {
    "channels_first": eager,
    "eager": eager,
    "graph": lambda: in_graph(eager()),
    "compile": compiled,
    "compile, graph": lambda: in_graph(mode("compile")),
}


def mode(name):
    if name not in prepared:
        prepared[name] = modes[name]()
    return prepared[name]


def use_mode(name):
    global step
    layout = torch.contiguous_format if name == "channels_first" else torch.channels_last
    if device == "cpu":  # on a GPU everything is channels_last, and graphs keep addresses
        use_layout(layout)
    step = mode(name)


def run(seconds, steps):
    """Calls of `steps` steps until `seconds` are over."""
    done, elapsed = 0, 0.0
    while True:
        elapsed += seconds_of(device, lambda: [step() for _ in range(steps)])
        done += steps
        if elapsed >= seconds:
            return {"steps": done, "seconds": elapsed}


def choose(seconds, wanted=None):
    """The fastest of the wanted modes is used from here on. One that fails is told under "failed"."""
    names = wanted or (["channels_first", "eager"] if device == "cpu" else ["eager", "graph"])
    times, failed = {}, {}
    for name in names:
        try:
            use_mode(name)
            run(0, 2)
            synchronize(device)
            result = run(seconds, 2)
            times[name] = result["seconds"] / result["steps"]
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    if not times:
        raise RuntimeError(f"no mode runs: {failed}")
    best = min(times, key=times.get)
    use_mode(best)
    run(0, 2)
    layout = "channels_first" if best == "channels_first" else "channels_last"
    return {"mode": best, "layout": layout, "secondsPerStep": times, "failed": failed}


def check(path):
    """Loads our weights; the relative error of our input gradient against PyTorch's, both in float64."""
    tensors = read_safetensors(path)
    images = tensors.pop("check.x").permute(0, 3, 1, 2).contiguous().to(device)
    expected = tensors.pop("check.gradient").permute(0, 3, 1, 2).to(device)
    model.double().load_state_dict(tensors)
    gradient = input_gradient(model, images)
    model.to(dtype)
    return {"gradientError": ((gradient - expected).norm() / gradient.norm()).item()}


def peak():
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        run(0, 2)
        return {"peakBytes": torch.cuda.max_memory_allocated()}
    run(0, 2)
    return {"peakRssDeltaBytes": peak_rss() - rss_before}


step = eager()
serve(device, {"run": run, "choose": choose, "check": check, "peak": peak})
