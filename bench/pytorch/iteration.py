"""One JEM iteration in PyTorch (released train_wrn_ebm.py), as a competitor of `npm run bench` and bench/gpu.

`steps` SGLD steps on a batch, then one train step: mean f(x_q) - mean f(x_p) + cross-entropy on a batch of its own, three
batches in all, and Adam. The chain runs on a copy of the weights that requires no gradient, made once an iteration (in
bf16 where that is the precision); the train step runs with float32 weights, with bf16 under autocast. Modes: on a CPU
eager, channels_first or channels_last; on a GPU an SGLD step is a CUDA graph and the train step eager.
"""
import contextlib

import torch
import torch.nn.functional as F

from jem import Jem
from sgld import Chain
from workload import Workload, device, in_graph, serve_workload


class Iteration(Workload):
    def __init__(self, net, size, channels, batch, steps, precision="fp32", **_):
        super().__init__()
        self.chain_steps = steps
        self.chain = Chain(net, size, channels, batch, precision=precision)
        self.model = Jem(net, 10, channels).to(device).to(memory_format=torch.channels_last)
        fused = {"fused": True} if device == "cuda" else {}
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4, betas=(0.9, 0.999), **fused)
        self.data, self.labelled = (
            (torch.rand(batch, channels, size, size, device=device) * 2 - 1).contiguous(
                memory_format=torch.channels_last) for _ in range(2))
        self.labels = torch.randint(0, 10, (batch,), device=device)
        self.chain_step = in_graph(self.chain.step) if device == "cuda" else self.chain.step
        self.step = self.step_of("eager")

    def use_layout(self, layout):
        self.chain.use_layout(layout)
        self.model.to(memory_format=layout)
        self.data, self.labelled = (images.contiguous(memory_format=layout) for images in (self.data, self.labelled))

    def autocast(self):
        if self.chain.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(device, dtype=self.chain.dtype)

    @torch.no_grad()
    def refresh(self):
        for own, parameter in zip(self.chain.model.parameters(), self.model.parameters()):
            own.copy_(parameter)

    def prepare(self, mode):
        return self.iteration

    def choose(self, seconds, wanted=None):
        """With a chain of two steps: a whole iteration takes seconds, and many of them say no more of the modes."""
        steps, self.chain_steps = self.chain_steps, 2
        try:
            return super().choose(seconds, wanted)
        finally:
            self.chain_steps = steps

    def iteration(self):
        self.refresh()
        for _ in range(self.chain_steps):
            self.chain_step()
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            energy = self.model(self.chain.x).logsumexp(1).mean() - self.model(self.data).logsumexp(1).mean()
            loss = energy + F.cross_entropy(self.model(self.labelled), self.labels)
        loss.backward()
        self.optimizer.step()


if __name__ == "__main__":
    serve_workload(Iteration)
