"""Damaged requests of the Open Inference Protocol: no fault of the service's own, and no crash.

    python -m bench.protocol_fuzz [COUNT [SEED]]

Starts the service, sends COUNT damaged bodies over HTTP and as many over gRPC, of both models, and
prints what they were answered.
"""

from __future__ import annotations

import collections
import random
import sys
import tempfile
from pathlib import Path

import grpc
import httpx
import numpy as np

from bench.mutate import originals
from bench.processes import PREDICTION, free_port, serving
from bench.protocol_requests import INFER, REST_PATH, grpc_request, rest_request
from service.inference_protocol.grpc_messages import build

REFUSALS = (200, 400, 413, 415, 422)
"""What a damaged body may be answered over HTTP: it may still be sound, or be refused."""
STATUSES = ("INVALID_ARGUMENT", "NOT_FOUND")
"""What it may be answered over gRPC; its model's name may be what was damaged."""


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A body with some bytes changed, removed, repeated or added.

    Most of a body is elements of tensors; a part of the damage goes to the first bytes, which
    describe them.
    """
    body = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(400 if chance.random() < 0.3 else len(body)) % len(body)
        match chance.randrange(4):
            case 0:
                body[at] = chance.randrange(256)
            case 1 if len(body) > 80:
                del body[at : at + chance.randint(1, 40)]
            case 2:
                body[at:at] = chance.randbytes(chance.randint(1, 20))
            case _:
                body[at:at] = body[at : at + chance.randint(1, 40)]
    return bytes(body)


def pixels_message() -> bytes:
    """A sound message to `cxr-tensor`."""
    tensor = build(
        "ModelInferRequest.InferInputTensor",
        name="pixels",
        datatype="FP32",
        shape=[1, 1, 224, 224],
    )
    raw = np.full(224 * 224, 0.5, "<f4").tobytes()
    message = build(
        "ModelInferRequest", model_name="cxr-tensor", inputs=[tensor], raw_input_contents=[raw]
    )
    return bytes(message.SerializeToString())


def main(count: int, seed: int) -> int:
    """Print counts of answers; 0 where everything holds."""
    chance = random.Random(seed)
    port = free_port()
    found: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    messages = (grpc_request("cxr", originals()["png16"]), pixels_message())
    requests = [rest_request(binary, originals()["png16"]) for binary in (False, True)]
    with tempfile.TemporaryDirectory(prefix="cxr-fuzz-") as folder:
        settings = {"CXR_GRPC_PORT": str(port)}
        with (
            serving(Path(folder) / "served", settings) as served,
            httpx.Client(base_url=served.url, timeout=60) as client,
            grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            process = served.find(PREDICTION)
            infer = channel.unary_unary(INFER)
            before = served.memory(PREDICTION)
            for number in range(count):
                headers, body = requests[number % 2]
                answer = client.post(REST_PATH, headers=headers, content=mutated(body, chance))
                found[f"HTTP {answer.status_code}"] += 1
                if answer.status_code not in REFUSALS:
                    wrong.append(f"{number}: {answer.status_code} {answer.text}")
                try:
                    infer(mutated(messages[number % 2], chance), timeout=60)
                    status = "OK"
                except grpc.RpcError as error:
                    status = error.code().name
                    if status not in STATUSES:
                        wrong.append(f"{number}: {status} {error.details()}")
                found[f"gRPC {status}"] += 1
            grown = (served.memory(PREDICTION) - before) / (1 << 20)
            same = served.find(PREDICTION) == process
    print(*(f"{name}: {times}" for name, times in sorted(found.items())), sep="\n")
    print(f"the process is the same: {same}; it grew by {grown:.0f} MiB", *wrong, sep="\n")
    return bool(wrong) or not same


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*(given + [2000, 20][len(given) :])))
