"""KServe's own client against a server: it is told by JSON what to ask, and prints what it got."""

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

ASKED = json.load(sys.stdin)
DATATYPES = {"size": "FP64", "colour": "BYTES", "old": "BOOL"}


def _rows(*, binary: bool) -> InferInput:
    tensor = InferInput("input", [2, 4], "FP32")
    tensor.set_data_from_numpy(np.array(ASKED["rows"], np.float32), binary_data=binary)
    return tensor


def _columns(*, binary: bool) -> list[InferInput]:
    tensors = []
    for name, values in ASKED["columns"].items():
        dtype: Any = {"FP64": np.float64, "BOOL": np.bool_, "BYTES": object}[DATATYPES[name]]
        tensor = InferInput(name, [2], DATATYPES[name])
        tensor.set_data_from_numpy(np.array(values, dtype), binary_data=binary)
        tensors.append(tensor)
    return tensors


async def _infer(
    client: InferenceRESTClient, url: str, model: str, inputs: list[InferInput], **others: Any
) -> dict[str, Any]:
    request = InferRequest(model, inputs, request_id="7", **others)
    found = await client.infer(url, request, model_name=model)
    named = {output.name: output.as_numpy().tolist() for output in found.outputs}
    return {"model": found.model_name, "id": found.id, "outputs": named}


async def _refused(call: Any) -> list[Any]:
    try:
        await call
    except httpx.HTTPStatusError as error:
        return [error.response.status_code, str(error)]
    return [200, ""]


async def main(url: str) -> dict[str, Any]:
    """Make every call that KServe's client has for version 2 of the protocol."""
    found: dict[str, Any] = {}
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        found["live"] = await client.is_server_live(url)
        found["ready"] = await client.is_server_ready(url)
        found["model_ready"] = await client.is_model_ready(url, "oip-iris")
        found["other_ready"] = await client.is_model_ready(url, "oip-nothing")
        for binary in (False, True):
            for answer in (False, True):
                asked = {"parameters": {"binary_data_output": answer}}
                at = f"{binary} {answer}"
                rows = [_rows(binary=binary)]
                columns = _columns(binary=binary)
                found[f"rows {at}"] = await _infer(client, url, "oip-iris", rows, **asked)
                found[f"columns {at}"] = await _infer(client, url, "oip-mixed", columns, **asked)
        outputs = [RequestedOutput("probabilities", {"binary_data": True})]
        rows = [_rows(binary=True)]
        found["chosen"] = await _infer(client, url, "oip-iris", rows, request_outputs=outputs)
        found["version"] = await _infer(client, url, "oip-iris/versions/first", rows)
        body = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
        found["bad"] = await _refused(client.infer(url, body, model_name="oip-iris"))
        found["unknown"] = await _refused(client.infer(url, body, model_name="oip-nothing"))
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(sys.argv[1]))))
