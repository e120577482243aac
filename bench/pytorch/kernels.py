"""Single operations in PyTorch, as a competitor of bench/gpu: cuDNN's convolutions, and the limits of the GPU.

Images are channels_last; inputs are rotated through `sets` copies, so that they do not come from the L2 cache; values
are those after a LeakyReLU, as the network's are (zeros and constants use less power and run faster).
"""
import json
import sys

import torch
import torch.nn.functional as F

from jem import use_precision
from serve import serve
from timing import repeated

settings = json.loads(sys.argv[1])
device = settings.get("device", "cuda")
torch.manual_seed(0)
SLOPE = 0.2


def activations(shape, dtype):
    x = F.leaky_relu(torch.randn(shape, device=device, dtype=dtype), SLOPE)
    return x.contiguous(memory_format=torch.channels_last)


def convolution(layer, what, precision, sets, seconds):
    """Seconds per call of one convolution; what: forward, dgrad or wgrad."""
    dtype = use_precision(precision)
    batch, size, cin, cout, kernel, stride = (
        layer[key] for key in ("batch", "size", "cin", "cout", "kernel", "stride"))
    padding, out = kernel // 2, size // stride
    weight = (torch.randn(cout, cin, kernel, kernel, device=device, dtype=dtype) * 0.05).contiguous(
        memory_format=torch.channels_last)
    xs = [activations((batch, cin, size, size), dtype) for _ in range(sets)]
    shortcut = layer.get("shortcut", 0)
    shortcut_weight = (torch.randn(cout, shortcut, 1, 1, device=device, dtype=dtype) * 0.05)
    shortcuts = [activations((batch, shortcut, size, size), dtype) for _ in range(sets if shortcut else 0)]
    dys = [] if what == "forward" else [activations((batch, cout, out, out), dtype) for _ in range(sets)]

    def forward(i):
        y = F.conv2d(xs[i % sets], weight, stride=stride, padding=padding)
        return y.add_(F.conv2d(shortcuts[i % sets], shortcut_weight, stride=stride)) if shortcuts else y

    def backward(i):
        return torch.ops.aten.convolution_backward(
            dys[i % sets], xs[i % sets], weight, None, [stride, stride], [padding, padding], [1, 1], False, [0, 0], 1,
            [what == "dgrad", what == "wgrad", False])

    with torch.no_grad():
        return {"seconds": repeated(device, forward if what == "forward" else backward, seconds)}


def matmul(n, precision, seconds):
    """Seconds of one n*n*n product: what the matrix units reach at most."""
    dtype = use_precision(precision)
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)
    return {"seconds": repeated(device, lambda i: torch.matmul(a, b, out=out), seconds)}


def copy(bytes, seconds):
    """Seconds of one copy within the device; bytes read and as many written."""
    source = torch.randint(0, 255, (bytes,), device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    return {"seconds": repeated(device, lambda i: target.copy_(source), seconds)}


serve(device, {"convolution": convolution, "matmul": matmul, "copy": copy})
