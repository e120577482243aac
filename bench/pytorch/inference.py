"""Classifying in PyTorch, as a competitor of `npm run bench`: logits and log p(x) = logsumexp of the logits of a batch.

Modes on a CPU: eager, channels_first or channels_last; "frozen", TorchScript after optimize_for_inference, channels_last.
"""
import torch

from jem import Jem
from workload import Workload, device, serve_workload


class Inference(Workload):
    cpu_modes = ["channels_first", "eager", "frozen"]

    def __init__(self, net, size, channels, batch, **_):
        super().__init__()
        torch.manual_seed(0)
        self.model = Jem(net, 10, channels).requires_grad_(False).eval().to(device)
        self.x = (torch.rand(batch, channels, size, size) * 2 - 1).to(device)
        self.use_layout(torch.channels_last)
        self.step = self.step_of("eager")

    def prepare(self, mode):
        network = self.model
        if mode == "frozen":
            network = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(self.model, self.x)))

        @torch.inference_mode()
        def step():
            logits = network(self.x)
            return logits, logits.logsumexp(1)

        return step


if __name__ == "__main__":
    serve_workload(Inference)
