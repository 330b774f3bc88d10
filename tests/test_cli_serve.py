"""`tranh serve` as people run it: what it says, what it refuses, and how it ends."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
from PIL import Image
from typer.testing import CliRunner

from tranh.cli import app
from tranh.engine.picture import read_settings
from tranh.serve.store import Store

KEY = "a-secret-of-the-tests"


def told(*args: str, **environment: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["serve", *args], env={"TRANH_API_KEYS": "", **environment}, prog_name="tranh")
    return done.exit_code, done.output


def test_what_would_be_done(tmp_path: Path) -> None:
    code, said = told("--check", "--data", str(tmp_path / "data"), "--port", "8123", "--exact")
    assert code == 0 and "http://127.0.0.1:8123" in said and "none needed" in said and "tranh-1 (exact)" in said
    assert not (tmp_path / "data").exists()
    url = "postgresql+psycopg://me:hidden-word@db/tranh"
    code, said = told("--check", "--key", f"anna:{KEY}", "--host", "0.0.0.0", TRANH_DATABASE_URL=url)
    assert code == 0 and "anna" in said and KEY not in said and "hidden-word" not in said and "db/tranh" in said


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "draw.example"])
def test_other_machines_need_a_key(host: str) -> None:
    code, said = told("--check", "--host", host)
    assert code == 1 and "TRANH_API_KEYS" in said
    assert told("--check", "--host", host, TRANH_API_KEYS=KEY)[0] == 0


def test_a_public_address() -> None:
    code, said = told("--check", "--public-url", "HTTPS://Pictures.Example.org:443/", TRANH_API_KEYS=KEY)
    assert code == 0 and "studio: https://pictures.example.org\n" in said
    assert "https://pictures.example.org/v1 " in said
    code, said = told("--check", "--public-url", "https://pictures.example.org")
    assert code == 1 and "TRANH_API_KEYS" in said, "others can reach it"
    for wrong in ("pictures.example.org", "https://", "ftp://a", "https://a/b", "https://a?b", "https://u:p@a", "https://a:b",
                  "https://[::1", "https://a:99999", ""):  # fmt: skip
        code, said = told("--check", "--public-url", wrong, TRANH_API_KEYS=KEY)
        assert code == 1 and "the public URL is" in said, wrong


def test_what_is_refused(tmp_path: Path) -> None:
    assert told("--key", "short", "--check") == (1, told("--key", "short", "--check")[1])
    assert "16 letters" in told("--key", "short", "--check")[1]
    code, said = told("--model", "no-such-model", "--port", "0", "--data", str(tmp_path))
    assert code == 1 and "no-such-model" in said


@contextmanager
def serving(folder: Path, *args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    environment = {**os.environ, "TRANH_API_KEYS": f"anna:{KEY}", "TRANH_KEYS": str(folder / "marks")}
    command = [sys.executable, "-m", "tranh", "serve", "--port", "0", "--data", str(folder / "data"), *args]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, process.stderr and process.stderr.read()
            yield process, found[0]
        finally:
            process.kill()


def ended(process: subprocess.Popen[str], with_: signal.Signals) -> tuple[int, str]:
    process.send_signal(with_)
    _, said = process.communicate(timeout=20)
    return process.returncode, said


def test_it_draws_and_remembers_and_ends_when_told(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, url):
        with openai.OpenAI(
            base_url=f"{url}/v1", api_key=KEY, max_retries=0, _strict_response_validation=True
        ) as client:
            more = {"seed": 3, "steps": 2}
            reply = client.images.generate(prompt="a red circle", size="64x64", output_format="webp", extra_body=more)
        file = tmp_path / "one.webp"
        file.write_bytes(base64.b64decode(str(reply.data[0].b64_json)))
        assert Image.open(file).size == (64, 64) and read_settings(file)["seed"] == 3
        code, said = ended(process, signal.SIGTERM)
    assert code == 0 and KEY not in said and "red circle" not in said
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert any(line["message"] == "request" and line["owner"] == "anna" for line in lines)
    kept = Store(tmp_path / "data")
    try:
        job = kept.queue.job(str(reply.job), "anna")
        assert job is not None and job.status == "completed" and job.pictures[0].seed == 3
        assert Image.open(io.BytesIO(kept.album.blobs.read(job.pictures[0].sha256))).size == (64, 64)
    finally:
        kept.close()
