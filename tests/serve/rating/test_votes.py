import os
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from tranh.serve.rating.results import as_csv, as_text, attention, results
from tranh.serve.rating.votes import Record, Votes
from tranh.types import TranhError

PROTOCOL = {"systems": {"a": "1", "b": "2"}, "seed": 0}
RECORD = Record("r", 0, "caption", "caption/x/0", "x", "en", "a", "b", "left", "", None, "en", 1.5)

CHILD = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_votes import RECORD
from tranh.serve.rating.votes import Votes
votes = Votes(Path(sys.argv[1]))
rater = votes.enter("en")
for k in range(100000):
    votes.add(replace(RECORD, rater=rater.id, position=k))
    print(k, flush=True)
"""


@pytest.fixture
def votes(tmp_path):
    found = Votes(tmp_path / "v.sqlite")
    found.begin(PROTOCOL)
    yield found
    found.close()


def test_a_vote_is_kept_once(votes):
    rater = votes.enter("en")
    record = replace(RECORD, rater=rater.id)
    assert votes.add(record) == votes.add(record) == votes.add(replace(record, answer="right")) == "left"
    assert votes.answered(rater.id) == {0: "left"}
    assert [replace(r, at=0.0) for r in votes.all()] == [record]


def test_it_is_as_safe_as_sqlite_can_be(votes):
    assert votes.db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert votes.db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL


def test_the_same_file_goes_on_with_the_same_study_only(votes, tmp_path):
    votes.begin(PROTOCOL)
    with pytest.raises(TranhError, match=r"another study \(systems: .*'b': '2'.* there, .*'b': '3'.* here\)"):
        votes.begin({"systems": {"a": "1", "b": "3"}, "seed": 0})
    again = Votes(tmp_path / "v.sqlite")
    assert again.protocol() == PROTOCOL and again.secret("owner") == votes.secret("owner") != votes.secret("tasks")
    again.close()


def test_raters_are_numbered_by_language(votes):
    raters = [votes.enter(language) for language in ("en", "vi", "en")]
    assert [r.number for r in raters] == [0, 0, 1] and len({r.token for r in raters}) == 3
    assert votes.rater(raters[1].token) == raters[1] and votes.rater("") is votes.rater(raters[1].id) is None


def test_threads_do_not_meet(votes):
    raters = []

    def work():
        rater = votes.enter("en")
        raters.append(rater)
        for k in range(20):
            votes.add(replace(RECORD, rater=rater.id, position=k))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(r.number for r in raters) == list(range(8)) and len(votes.all()) == 160


def test_killed_it_has_every_vote_it_acknowledged(tmp_path):
    code = CHILD.format(folder=os.path.dirname(__file__))
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path / "v"], stdout=subprocess.PIPE, text=True)
    said = [int(process.stdout.readline()) for _ in range(57)]
    process.send_signal(signal.SIGKILL)
    said += [int(line) for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    votes = Votes(tmp_path / "v")
    assert {r.position for r in votes.all()} >= set(said)
    assert votes.db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    votes.close()


def test_other_files_are_refused_and_left_alone(tmp_path):
    (tmp_path / "text").write_text("hello, this is certainly not a database, whatever its length " * 20)
    other = sqlite3.connect(tmp_path / "other")
    other.execute("CREATE TABLE t (x)")
    other.commit()
    other.close()
    for name in ("text", "other"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(TranhError, match="--votes"):
            Votes(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before


def some(rater, count, *, failed=0, checks=5, answer="left", **changes):
    real = [replace(RECORD, rater=rater, position=k, answer=answer, **changes) for k in range(count)]
    return real + [
        replace(RECORD, rater=rater, position=100 + k, check="noise", right="a", passed=k >= failed)
        for k in range(checks)
    ]


def test_who_fails_checks_is_left_out_but_kept():
    records = some("good", 4) + some("slip", 3, failed=1) + some("bad", 5, failed=2, answer="right") + some("new", 1)
    assert [(a.rater, a.failed, a.excluded) for a in attention(records)] == [
        ("good", 0, False),
        ("slip", 1, False),
        ("bad", 2, True),
        ("new", 0, False),
    ]
    found = results(records)
    assert found["raters"] == 4 and found["votes"] == 8 and [r["rater"] for r in found["excluded"]] == ["bad"]
    one = found["questions"]["caption"]["all"]
    assert "a won every vote against b" in one["refused"] and one["win_rates"][0]["value"] == 1
    lines = as_csv(records).splitlines()
    assert len(lines) == 1 + len(records) and sum(line.startswith("bad,1,") for line in lines) == 10
    assert "no strengths: a won every vote" in as_text(found)


def test_broken_pictures_and_languages():
    records = [replace(RECORD, rater=str(k), answer=("left", "right", "broken")[k % 3], page="vi") for k in range(9)]
    records += [replace(RECORD, rater=str(k), position=1) for k in range(4)]
    found = results(records)
    assert found["broken"] == 3 and found["votes"] == 10
    assert {name: part["votes"] for name, part in found["questions"]["caption"].items()} == {
        "all": 10,
        "en": 4,
        "vi": 6,
    }


def test_no_votes_say_nothing():
    assert results([])["questions"] == {} and as_text(results([])).startswith("0 votes of 0 raters")


def test_a_spreadsheet_runs_nothing():
    text = as_csv([replace(RECORD, prompt='=HYPERLINK("x"),"y"\n')])
    assert "'=HYPERLINK" in text and ",=" not in text
