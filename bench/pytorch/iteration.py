"""One JEM iteration in PyTorch (released train_wrn_ebm.py), as a competitor of bench/gpu.

`steps` SGLD steps on a batch, then one train step: mean f(x_q) - mean f(x_p) + cross-entropy on a batch of its own, three
batches in all, and Adam. With bf16 the chain runs on a bf16 copy of the weights, made once an iteration, and the train
step under autocast with float32 weights. On a GPU an SGLD step is a CUDA graph; the train step is eager.
"""
import contextlib
import copy
import json
import sys

import torch
import torch.nn.functional as F

from jem import Jem, use_precision
from serve import serve
from timing import repeated

settings = json.loads(sys.argv[1])
device = settings.get("device", "cuda")
torch.manual_seed(0)


def iteration(net, size, channels, batch, steps, precision, seconds):
    """Seconds of one iteration, in slices; and of its SGLD chain alone."""
    dtype = use_precision(precision)
    model = Jem(net, 10, channels).to(device).to(memory_format=torch.channels_last)
    fused = {"fused": True} if device == "cuda" else {}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.999), **fused)

    def images():
        x = torch.rand(batch, channels, size, size, device=device) * 2 - 1
        return x.contiguous(memory_format=torch.channels_last)

    def autocast():
        return contextlib.nullcontext() if dtype == torch.float32 else torch.autocast(device, dtype=dtype)

    sampler = copy.deepcopy(model).requires_grad_(False).to(dtype)

    @torch.no_grad()
    def refresh():
        for own, parameter in zip(sampler.parameters(), model.parameters()):
            own.copy_(parameter)

    chains, data, labelled = images(), images(), images()
    labels = torch.randint(0, 10, (batch,), device=device)

    def step():
        x = chains.detach().requires_grad_(True)
        f = sampler(x).logsumexp(1).sum()
        chains.add_(torch.autograd.grad(f, x)[0]).add_(torch.randn_like(chains), alpha=0.01)

    chain_step = step
    if device == "cuda":
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        chain_step = graph.replay

    def chain(_):
        refresh()
        for _ in range(steps):
            chain_step()

    def whole(i):
        chain(i)
        optimizer.zero_grad(set_to_none=True)
        with autocast():
            energy = model(chains).logsumexp(1).mean() - model(data).logsumexp(1).mean()
            loss = energy + F.cross_entropy(model(labelled), labels)
        loss.backward()
        optimizer.step()

    return {"seconds": repeated(device, whole, seconds, slices=3),
            "sgldSeconds": repeated(device, chain, seconds / 2, slices=3)}


serve(device, {"iteration": iteration})
