"""SGLD in PyTorch, as a competitor of `npm run bench`, bench/gpu/sgld.mjs and `langevin bench sgld --peer pytorch`.

The step is that of the released sample_q: x += step_size * df/dx + noise_std * randn, f = logsumexp of the logits, x in
float32. Parameters require no gradient, so that only the input's is computed. Modes: on a CPU eager, channels_first or
channels_last; on a GPU channels_last, eager, as a CUDA graph, with torch.compile, or both.
"""
import torch

from jem import Jem, read_safetensors, use_precision
from workload import Workload, device, in_graph, serve_workload


def input_gradient(network, images):
    images = images.detach().requires_grad_(True)
    return torch.autograd.grad(network(images).logsumexp(1).sum(), images)[0]


class Chain(Workload):
    def __init__(self, net, size, channels, batch, classes=10, stepSize=1, noiseStd=0.01, precision="fp32", **_):
        super().__init__()
        torch.manual_seed(0)
        self.dtype = use_precision(precision)
        self.step_size, self.noise_std = stepSize, noiseStd
        self.model = Jem(net, classes, channels).requires_grad_(False).to(device, self.dtype)
        self.x = (torch.rand(batch, channels, size, size) * 2 - 1).to(device)
        self.use_layout(torch.channels_last)
        self.step = self.step_of("eager")

    def eager(self, network):
        gradient = input_gradient(network, self.x)
        self.x.add_(gradient, alpha=self.step_size).add_(torch.randn_like(self.x), alpha=self.noise_std)

    def prepare(self, mode):
        if mode.endswith("graph"):
            return in_graph(self.step_of("compile" if mode.startswith("compile") else "eager"))
        if mode == "compile":
            network = torch.compile(self.model, dynamic=False)
            return lambda: self.eager(network)
        return lambda: self.eager(self.model)

    def check(self, path):
        """Loads our weights; the relative error of our input gradient against PyTorch's, both in float64."""
        tensors = read_safetensors(path)
        images = tensors.pop("check.x").permute(0, 3, 1, 2).contiguous().to(device)
        expected = tensors.pop("check.gradient").permute(0, 3, 1, 2).to(device)
        self.model.double().load_state_dict(tensors)
        gradient = input_gradient(self.model, images)
        self.model.to(self.dtype)
        return {"gradientError": ((gradient - expected).norm() / gradient.norm()).item()}


if __name__ == "__main__":
    serve_workload(Chain, "check")
