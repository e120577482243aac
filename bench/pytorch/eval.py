"""The OOD suite's pass in PyTorch, as a competitor of bench/eval.mjs.

What eval_wrn_ebm.py of the released code computes for its three scores, in one pass instead of one for each: bytes to
[-1, 1], noise, logits, f = logsumexp and the norm of df/dx. Parameters require no gradient. `choose` finds the faster of
channels_first and channels_last.
"""
import json
import sys

import torch

from jem import Jem, read_safetensors
from serve import serve
from timing import seconds_of

settings = json.loads(sys.argv[1])
if settings.get("threads"):
    torch.set_num_threads(settings["threads"])
torch.set_num_interop_threads(1)


class Judge:
    def __init__(self, net, size, channels, classes, images, batch, sigma, **_):
        torch.manual_seed(0)
        self.batch, self.sigma = batch, sigma
        self.model = Jem(net, classes, channels).requires_grad_(False).eval()
        self.images = torch.randint(0, 256, (images, channels, size, size), dtype=torch.uint8)
        self.use_layout("channels_last")

    def use_layout(self, name):
        self.layout = torch.channels_last if name == "channels_last" else torch.contiguous_format
        self.model.to(memory_format=self.layout)

    def outputs(self, images, sigma):
        x = images.to(torch.float32).div_(127.5).sub_(1)
        if sigma > 0:
            x.add_(torch.randn_like(x), alpha=sigma)
        x = x.contiguous(memory_format=self.layout).requires_grad_(True)
        logits = self.model(x)
        f = logits.logsumexp(1)
        (gradient,) = torch.autograd.grad(f.sum(), x)
        return logits.detach(), f.detach(), gradient.flatten(1).norm(dim=1)

    def judge(self, count):
        parts = [self.outputs(part, self.sigma) for part in self.images[:count].split(self.batch)]
        return [torch.cat(part).numpy() for part in zip(*parts)]

    def run(self, count):
        return {"images": count, "seconds": seconds_of("cpu", lambda: self.judge(count))}

    def choose(self, count):
        times = {}
        for _ in range(3):  # in turns, each known by its best: a busy moment must not decide
            for layout in ("channels_first", "channels_last"):
                self.use_layout(layout)
                self.judge(self.batch)
                seconds = self.run(count)["seconds"]
                times[layout] = min(seconds, times.get(layout, seconds))
        best = min(times, key=times.get)
        self.use_layout(best)
        return {"layout": best, "seconds": times}

    def check(self, path):
        """Loads our weights; the relative errors of our f and gradient norms, both in float32."""
        tensors = read_safetensors(path)
        images, f, norm = (tensors.pop(f"check.{name}") for name in ("images", "f", "gradientNorm"))
        self.model.load_state_dict(tensors)
        _, our_f, our_norm = self.outputs(images.permute(0, 3, 1, 2).contiguous(), 0)
        error = lambda a, b: ((a - b).norm() / b.norm()).item()
        return {"fError": error(f, our_f), "gradientNormError": error(norm, our_norm)}


judge = Judge(**settings)
serve("cpu", {name: getattr(judge, name) for name in ("run", "choose", "check")})
