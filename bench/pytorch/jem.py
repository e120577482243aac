"""The released architecture (wideresnet.py of wgrathwohl/JEM) without norm: pre-activation blocks with LeakyReLU 0.2,
conv1 with stride 1, conv2 with the block's stride, a 1x1 shortcut with bias on the raw x, mean over the last map."""
import json

import torch
import torch.nn as nn
import torch.nn.functional as F


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
    """x -> logits, of x's dtype; what lies between has the weights'."""

    def __init__(self, net, classes, channels):
        super().__init__()
        depth, width = (int(part) for part in net.split("-")[1:])
        self.f = WideResNet(depth, width, channels)
        self.class_output = nn.Linear(64 * width, classes)

    def forward(self, x):
        return self.class_output(self.f(x.to(self.class_output.weight.dtype))).to(x.dtype)


def use_precision(precision):
    """'fp32', 'tf32' or 'bf16' -> the dtype of the weights."""
    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    return torch.bfloat16 if precision == "bf16" else torch.float32


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
