"""Small collections of every kind, as they lie on a disk."""

import csv
import gzip
import io
import json
import struct
import tarfile

import numpy as np
import pytest
from PIL import Image


def pixels(number, size=(40, 32)):
    """A picture that no other number gives, with something in it."""
    rng = np.random.default_rng(number)
    small = Image.fromarray(rng.integers(0, 256, (5, 4, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def encoded(number, format="PNG", size=(40, 32), **options):
    out = io.BytesIO()
    pixels(number, size).save(out, format, **options)
    return out.getvalue()


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def folder(root):
    for i in range(4):
        put(root / "train" / f"{i}.png", encoded(i))
    put(root / "test" / "a.jpg", encoded(9, "JPEG"))
    lines = [{"file_name": f"{i}.png", "text_en": f"picture {i}", "text_vi": f"tranh {i}"} for i in range(4)]
    put(root / "train" / "metadata.jsonl", "".join(json.dumps(x) + "\n" for x in lines))
    with (root / "test" / "metadata.csv").open("w", newline="") as file:
        rows = csv.DictWriter(file, ["file_name", "caption"])
        rows.writeheader()
        rows.writerow({"file_name": "a.jpg", "caption": 'one, "two"'})
    return 5


def sidecars(root):
    for i in range(3):
        put(root / f"{i}.jpg", encoded(i, "JPEG"))
        put(root / f"{i}.txt", f"first {i}\nsecond {i}\n")
    put(root / "2.vi.txt", "tiếng Việt")
    return 3


def classes(root):
    for i, name in enumerate(("n02084071", "n02121808", "n02121808")):
        put(root / "train" / name / f"{i}.jpeg", encoded(i, "JPEG"))
    put(root / "synset_words.txt", "n02084071 dog, domestic dog, Canis familiaris\nn02121808 domestic cat, house cat\n")
    return 3


def shards(root):
    root.mkdir(parents=True)
    for shard in range(2):
        with tarfile.open(root / f"{shard:05d}.tar", "w") as archive:
            for i in range(3):
                name = f"{shard:05d}{i:04d}"
                files = {"jpg": encoded(10 * shard + i, "JPEG"), "txt": f"caption {name}".encode(),
                         "json": json.dumps({"caption": "other", "status": "success"}).encode()}  # fmt: skip
                for suffix, data in files.items():
                    info = tarfile.TarInfo(f"{name}.{suffix}")
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
    return 6


def coco(root):
    images = [{"id": 7 + i, "file_name": f"{i:012d}.jpg"} for i in range(2)]
    said = [{"image_id": 7 + i, "id": 10 * i + k, "caption": f"caption {i} {k}"} for i in range(2) for k in range(5)]
    for one in images:
        put(root / "val2017" / one["file_name"], encoded(one["id"], "JPEG"))
    put(root / "annotations" / "captions_val2017.json", json.dumps({"images": images, "annotations": said}))
    return 2


def cub(root):
    base = root / "CUB_200_2011"
    names = ["001.Black_footed_Albatross/Black_Footed_Albatross_0001_1.jpg", "002.Laysan_Albatross/Laysan_0002_1.jpg"]
    for i, name in enumerate(names):
        put(base / "images" / name, encoded(i, "JPEG"))
    put(base / "images.txt", "".join(f"{i} {name}\n" for i, name in enumerate(names, 1)))
    put(base / "train_test_split.txt", "1 1\n2 0\n")
    put(root / "text" / names[0].replace("jpg", "txt"), "".join(f"line {k}\n" for k in range(10)))
    return 2


def idx(root):
    rng = np.random.default_rng(0)
    for part, count in (("train", 5), ("t10k", 2)):
        images = struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28) + rng.integers(0, 256, count * 784, np.uint8).tobytes()
        labels = struct.pack(">4BI", 0, 0, 8, 1, count) + bytes(range(count))
        put(root / f"{part}-images-idx3-ubyte.gz", gzip.compress(images))
        put(root / f"{part}-labels-idx1-ubyte", labels)
    return 7


def genome(root):
    put(root / "VG_100K" / "5.jpg", encoded(5, "JPEG"))
    regions = [{"region_id": k, "image_id": 5, "x": k, "y": 0, "width": 20, "height": 16, "phrase": f"thing {k}"}
               for k in range(2)]  # fmt: skip
    put(root / "region_descriptions.json", json.dumps([{"id": 5, "regions": regions}]))
    return 2


def parquet(root):
    import pyarrow as pa
    import pyarrow.parquet as pq

    root.mkdir(parents=True)
    rows = [{"image": {"bytes": encoded(i), "path": f"{i}.png"}, "text": f"row {i}"} for i in range(5)]
    pq.write_table(pa.Table.from_pylist(rows), root / "train-00000-of-00001.parquet", row_group_size=2)
    return 5


KINDS = (folder, sidecars, classes, shards, coco, cub, idx, genome, parquet)


@pytest.fixture(params=KINDS, ids=lambda build: build.__name__)
def laid(request, tmp_path):
    """(kind, path, number of items)."""
    root = tmp_path / "pictures"
    return request.param.__name__, root, request.param(root)
