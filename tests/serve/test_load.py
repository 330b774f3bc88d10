"""The comparison of servers: the peer draws what the library draws, and its ratios are those of hand."""

from __future__ import annotations

import base64
import importlib.util
import io
import math
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import tranh
from tranh.serve.stress_plan import Kind

FOLDER = Path(__file__).parents[2] / "benchmarks" / "serve"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where pydantic looks for the names in annotations
    spec.loader.exec_module(module)
    return module


def test_the_peer_answers_with_the_picture_of_the_library() -> None:
    peer, system = script("peer"), tranh.load("tranh-1")
    system.precision = "fp32"
    with ThreadPoolExecutor(1) as alone, TestClient(peer.create_app(peer.Peer(system), alone)) as client:
        assert client.get("/healthz").status_code == 200
        wanted = {"prompt": "a red circle", "seed": 3, "num_inference_steps": 2, "size": "64x64"}
        reply = client.post("/v1/images/generations", json=wanted)
    drawn = Image.open(io.BytesIO(base64.b64decode(reply.json()["data"][0]["b64_json"])))
    own = system.generate("a red circle", seed=3, steps=2, size=64)[0]
    assert np.abs(np.asarray(drawn, float) - np.asarray(own, float)).max() <= 1


def test_ratios_and_what_batching_can_give() -> None:
    report = script("load_report")
    middle, low, high = report.ratio([(1.0, 2.0), (2.0, 4.0), (1.0, 2.0)])
    assert (middle, low, high) == pytest.approx((2.0, 2.0, 2.0))
    middle, low, high = report.ratio([(1.0, 1.0), (1.0, 4.0)])  # logs 0 and log 4: their error is log 2, t is 12.706
    assert (middle, low, high) == pytest.approx((2.0, 2 * math.exp(-12.7062 * math.log(2)), 2**13.7062), rel=1e-3)
    assert report.pooled([[1.0] * 20] * 3, [[4.0] * 20] * 3) == (4.0, 4.0, 4.0)
    told = {"decoder": {"2": 30.0, "16": 160.0}, "prior": {"4": 12.0, "16": 24.0}}
    decoder, whole = report.best_gain(told, [Kind(4, 0.5), Kind(26, 0.5)], prior_steps=8)
    assert decoder == 1.5 and whole == pytest.approx((8 * 12 + 15 * 30) / (8 * 6 + 15 * 20))
    turn = {"ends": [[1.0, 4], [2.0, 25], [3.0, 4], [9.0, 25]], "from": 1.0, "until": 5.0, "computed": 2.0}
    assert report.speed(turn, 1.0) == (31 / 4, 31 / 2)  # those of 2 s and 3 s
