"""Work in a process of its own: answers, errors and limits."""

import sys
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from schemas.errors import CorruptModel, InvalidField, Unavailable
from service import apart
from service.apart import Limits, Overrun
from tests.deployment import eventually

ENOUGH = Limits(seconds=60)

Work = Callable[..., bytes]


@pytest.fixture
def do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """Do the body of a `work` function apart."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    numbers = count()

    def run(body: str, request: bytes = b"", limits: Limits = ENOUGH) -> bytes:
        lines = [f"    {line}" for line in body.splitlines()]
        code = "\n".join(["import os, sys, time", "def work(request):", *lines])
        module = f"work_{next(numbers)}"
        (tmp_path / f"{module}.py").write_text(code)
        return apart.run(module, request, limits)

    return run


def test_bytes_go_in_and_come_out(do: Work) -> None:
    """Any bytes arrive and come back, megabytes of them too, and prints do not mix with them."""
    request = bytes(range(256)) * 20_000
    assert do("print('said', flush=True)\nreturn request[::-1]", request) == request[::-1]


def test_errors_keep_their_place(do: Work) -> None:
    """What the work refuses is raised to the caller: kind, sentence, place."""
    with pytest.raises(InvalidField, match=r"^no, 두$") as found:
        do("from schemas.errors import InvalidField\nraise InvalidField('no, 두', 'file', 3)")
    assert found.value.at == ("file", 3)
    with pytest.raises(InvalidField) as found:
        do("from schemas.errors import InvalidField\nraise InvalidField('no', parameter='name')")
    assert (found.value.at, found.value.parameter) == (None, "name")
    with pytest.raises(CorruptModel, match="cut short"):
        do("from schemas.errors import CorruptModel\nraise CorruptModel('cut short')")


def test_faults_come_with_their_traceback(do: Work) -> None:
    """A fault of the work is a RuntimeError that says where it happened."""
    with pytest.raises(RuntimeError, match=r"(?s)work_0 failed.*line 3.*ZeroDivisionError"):
        do("return 1 / 0")


def test_time_is_limited(do: Work) -> None:
    """Work that takes longer than it may is ended."""
    with pytest.raises(Overrun, match=r"more than 0\.5 seconds"):
        do("time.sleep(600)", limits=Limits(seconds=0.5))


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not keep to the limit")
def test_memory_is_limited(do: Work) -> None:
    """Work may not take more address space than its limit; within it, it may."""
    limits = Limits(seconds=60, memory_bytes=512 * 2**20)
    assert do("return str(len(bytearray(2**20))).encode()", b"", limits) == b"1048576"
    with pytest.raises(Overrun, match="memory"):
        do("bytearray(2**30)", limits=limits)


def test_a_killed_process_is_an_overrun(do: Work) -> None:
    """A process that the system kills, as it does where memory runs out, took too much."""
    with pytest.raises(Overrun):
        do("os.kill(os.getpid(), 9)")


def test_settings_stay_here(do: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work sees none of our settings, such as the database's password."""
    monkeypatch.setenv("PERCEPTRON_DATABASE_URL", "postgresql://perceptron:secret@host/db")
    monkeypatch.setenv("ANOTHER", "seen")
    told = do("return repr(dict(os.environ)).encode()").decode()
    assert "seen" in told
    assert "secret" not in told


@pytest.mark.parametrize("module", ["drawing", "exporting", "parsing", "predicting", "writing"])
def test_works_load_neither_flask_nor_gevent(do: Work, module: str) -> None:
    """What the modules that are run apart import leaves the API's libraries out."""
    body = f"""import service.{module}, perceptron.export, perceptron.answering
import perceptron.figures.boundary
loaded = {{'flask', 'gevent', 'sqlalchemy', 'torch', 'numba'}} & set(sys.modules)
return ' '.join(loaded).encode()"""
    assert do(body) == b""


def test_only_so_many_at_once(do: Work, tmp_path: Path) -> None:
    """Beyond two works of one process, another waits for its turn, and in the end gives up."""
    body = f"""open(f'{tmp_path}/started-{{os.getpid()}}', 'w')
while not os.path.exists('{tmp_path}/go'):
    time.sleep(0.01)
return b''"""
    threads = [threading.Thread(target=do, args=(body,)) for _ in range(apart.AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: len(list(tmp_path.glob("started-*"))) == apart.AT_ONCE)
        with pytest.raises(Unavailable):
            do("return b''", limits=Limits(seconds=0.2))
    finally:
        (tmp_path / "go").touch()
        for thread in threads:
            thread.join()
    assert do("return b'again'") == b"again"
