"""Who makes items ready on a cluster: Ray Data, over the function that the processes of one machine run.

The source must lie where every machine sees it, under the same path. A picture that kills its process is not found out
here as it is on one machine: Ray tries again and then stops the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tranh.data.workers import Job, Mapper, Results, work
from tranh.types import TranhError


def on_ray(workers: int | None = None) -> Mapper:
    """The mapper of a cluster: the one that ``RAY_ADDRESS`` names or ``ray.init`` joined, else a local one.

    Args:
        workers: processes at most; None lets Ray choose.

    Raises:
        TranhError: Ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise TranhError("--ray prepares on Ray Data, which is not installed: pip install 'tranh[cluster]'") from error

    def run(job: Job, ranges: Iterable[range]) -> Iterator[Results]:
        ours = not ray.is_initialized()
        if ours:
            ray.init(include_dashboard=False, log_to_driver=False)
        try:
            shared = ray.put(job)

            def mapped(row: dict[str, Any]) -> dict[str, Any]:
                return {"results": work(ray.get(shared), range(row["start"], row["stop"]))}

            context = ray.data.DataContext.get_current()
            context.execution_options.preserve_order = True  # of the source: shards are the same as elsewhere
            context.enable_progress_bars = False
            rows = ray.data.from_items([{"start": r.start, "stop": r.stop} for r in ranges])
            for row in rows.map(mapped, concurrency=workers).iter_rows():
                yield row["results"]
        finally:
            if ours:
                ray.shutdown()

    return run
