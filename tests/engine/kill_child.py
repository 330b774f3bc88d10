"""Run by test_resume in a process of its own: trains, is killed again and again, and ends when the run is finished.

Usage: kill_child.py RUN SEED KILLS. A fresh process is forked for each life, so that none pays for importing torch.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import engine_toys as toys
import torch
from accelerate import Accelerator

from tranh.engine import find, train
from tranh.engine.rundir import RunDir


def live(folder: str) -> None:
    torch.set_num_threads(1)
    stage = toys.stage(steps=60, precision="bf16")
    for _ in train.train(stage, find.build(stage, toys.Toy), toys.Source(bad=[19, 43]), RunDir(Path(folder))):
        pass


def main(folder: str, seed: int, kills: int) -> None:
    Accelerator(cpu=True, mixed_precision="no")  # warm, so that a life is spent training
    random.seed(seed)
    done = 0
    while True:
        process = os.fork()
        if process == 0:
            try:
                live(folder)
                os._exit(0)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
        if done < kills:
            time.sleep(random.uniform(0.0, 0.25))
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        if os.WIFEXITED(status):
            print("finished after", done, "kills")
            sys.exit(os.WEXITSTATUS(status))
        done += 1


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
