"""The process that writes answers: a file that would be very large is refused."""

from pathlib import Path

import pytest

from schemas.errors import InvalidField
from service import apart

BODY = """from pathlib import Path
import numpy as np
from perceptron.answering import Answered
from schemas.preprocessing import Target
from service import predicting

def work(request):
    predicting.MOST_ANSWER_BYTES = 20_000
    media_type, rows = request.decode().split()
    target = Target(name="y", task="binary", classes=("no" * 1_000, "yes" * 1_000))
    outputs = np.resize(np.float32([0.25, 0.75]), int(rows))
    destination = Path(__file__).with_name("answers")
    predicting.write_answers(Answered("m", 1, target, outputs), destination, media_type)
    return str(destination.stat().st_size).encode()
"""


@pytest.mark.parametrize("media_type", ["text/csv", "application/x-ndjson", "application/json"])
def test_an_answer_that_is_too_large(
    media_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows whose answers repeat long texts are written as far as they fit, and refused beyond."""
    (tmp_path / "large.py").write_text(BODY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    limits = apart.Limits(seconds=60)
    assert 5_000 < int(apart.run("large", f"{media_type} 4".encode(), limits)) < 20_000
    with pytest.raises(InvalidField, match="the answer has more than 20000 bytes"):
        apart.run("large", f"{media_type} 40".encode(), limits)
