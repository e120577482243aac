"""The protocol of src/cli/peer.ts: one JSON object a line in, one out; the first line says what this is."""
import json
import sys

import torch


def say(answer):
    print(json.dumps(answer), flush=True)


def about(device):
    """What a figure of PyTorch must be told with."""
    facts = {"name": "pytorch", "version": torch.__version__, "threads": torch.get_num_threads(), "device": device}
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        facts.update(
            gpu=properties.name,
            multiprocessors=properties.multi_processor_count,
            memoryBytes=properties.total_memory,
            l2Bytes=getattr(properties, "L2_cache_size", None),
            cuda=torch.version.cuda,
            cudnn=torch.backends.cudnn.version(),
        )
    return facts


def serve(device, commands):
    """Answers {"do": NAME, ...} with commands[NAME](**rest) until the input ends; an error is told and kept from ending it."""
    say(about(device))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            say(commands[request.pop("do")](**request))
        except Exception as error:  # the harness decides what to do without the answer
            say({"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]})
            if device == "cuda":
                torch.cuda.empty_cache()
