"""Time by CUDA events on a GPU, by the clock on a CPU."""
import time

import torch


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(device, run):
    """What run() takes, the device's part included."""
    if device == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def repeated(device, call, seconds, slices=5):
    """Seconds of one call(i), one figure for each of `slices` slices of about seconds / slices; i counts through."""
    call(0)  # cudnn.benchmark tries its algorithms here
    call(1)
    synchronize(device)
    once = max(1e-6, seconds_of(device, lambda: [call(i) for i in range(3)]) / 3)
    count = max(3, round(seconds / slices / once))
    done = 0
    figures = []
    for _ in range(slices):
        figures.append(seconds_of(device, lambda: [call(done + i) for i in range(count)]) / count)
        done += count
    return figures
