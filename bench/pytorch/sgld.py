"""PyTorch, as a competitor of bench/sgld.mjs (protocol: bench/competitors.mjs).

The released architecture (wideresnet.py of wgrathwohl/JEM) without norm: pre-activation blocks with LeakyReLU 0.2,
conv1 with stride 1, conv2 with the block's stride, a 1x1 shortcut with bias on the raw x, mean over the last map.
The step is that of the released sample_q: x += step_size * df/dx + noise_std * randn, f = logsumexp of the logits.
Parameters require no gradient, so that only the input's is computed. Everything is eager float32; of channels_first and
channels_last the faster on this machine is used.
"""
import json
import resource
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

settings = json.loads(sys.argv[1])
torch.set_num_threads(settings["threads"])
torch.set_num_interop_threads(1)
torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, padding=1)
        self.conv2 = nn.Conv2d(cout, cout, 3, stride=stride, padding=1)
        self.shortcut = nn.Sequential()
        if stride != 1 or cin != cout:
            self.shortcut = nn.Sequential(nn.Conv2d(cin, cout, 1, stride=stride))

    def forward(self, x):
        h = self.conv1(F.leaky_relu(x, 0.2))
        h = self.conv2(F.leaky_relu(h, 0.2))
        return h + self.shortcut(x)


class WideResNet(nn.Module):
    def __init__(self, depth, width, channels):
        super().__init__()
        blocks = (depth - 4) // 6
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1)
        cin = 16
        for stage, (cout, stride) in enumerate([(16 * width, 1), (32 * width, 2), (64 * width, 2)]):
            layers = []
            for i in range(blocks):
                layers.append(Block(cin, cout, stride if i == 0 else 1))
                cin = cout
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return F.leaky_relu(x, 0.2).mean((2, 3))


class Jem(nn.Module):
    def __init__(self, net, classes, channels):
        super().__init__()
        depth, width = (int(part) for part in net.split("-")[1:])
        self.f = WideResNet(depth, width, channels)
        self.class_output = nn.Linear(64 * width, classes)

    def forward(self, x):
        return self.class_output(self.f(x)).logsumexp(1)


def read_safetensors(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = bytearray(file.read())
    dtypes = {"F32": torch.float32, "F64": torch.float64}
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            tensors[name] = torch.frombuffer(data[begin:end], dtype=dtypes[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def peak_rss():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


rss_before = peak_rss()
model = Jem(settings["net"], settings["classes"], settings["channels"]).requires_grad_(False)
size, channels = settings["size"], settings["channels"]
x = torch.rand(settings["batch"], channels, size, size) * 2 - 1
layout = torch.contiguous_format


def use_layout(wanted):
    global layout, x
    layout = wanted
    model.to(memory_format=wanted)
    x = x.contiguous(memory_format=wanted)


def input_gradient(images):
    images = images.detach().requires_grad_(True)
    return torch.autograd.grad(model(images).sum(), images)[0]


def step():
    global x
    x += settings["stepSize"] * input_gradient(x) + settings["noiseStd"] * torch.randn_like(x)


def run(seconds, steps):
    done, start = 0, time.perf_counter()
    while True:
        for _ in range(steps):
            step()
        done += steps
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return {"steps": done, "seconds": elapsed}


def check(path):
    """Loads our weights; the relative error of our input gradient against PyTorch's, both in float64."""
    tensors = read_safetensors(path)
    images = tensors.pop("check.x").permute(0, 3, 1, 2).contiguous()
    expected = tensors.pop("check.gradient").permute(0, 3, 1, 2)
    model.double().load_state_dict(tensors)
    gradient = input_gradient(images)
    model.float()
    return {"gradientError": ((gradient - expected).norm() / gradient.norm()).item()}


def choose_layout(seconds):
    times = {}
    for name, wanted in [("channels_first", torch.contiguous_format), ("channels_last", torch.channels_last)]:
        use_layout(wanted)
        run(0, 1)
        result = run(seconds, 1)
        times[name] = result["seconds"] / result["steps"]
    best = min(times, key=times.get)
    use_layout(torch.channels_last if best == "channels_last" else torch.contiguous_format)
    return {"layout": best, "secondsPerStep": times}


def peak():
    run(0, 2)
    return {"peakRssDeltaBytes": peak_rss() - rss_before}


def say(answer):
    print(json.dumps(answer), flush=True)


say({"name": "pytorch", "version": torch.__version__, "threads": torch.get_num_threads()})
for line in sys.stdin:
    request = json.loads(line)
    try:
        say({"run": lambda r: run(r["seconds"], r["steps"]), "check": lambda r: check(r["path"]),
             "layout": lambda r: choose_layout(r["seconds"]), "peak": lambda r: peak()}[request["do"]](request))
    except Exception as error:  # told to the harness, which stops
        say({"error": repr(error)})
