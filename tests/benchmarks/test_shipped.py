"""The benchmark of the model in the package counts its doubts, and the right answers among the doubted images."""

from pathlib import Path
from types import SimpleNamespace

from benchmarks import shipped


def test_a_doubt_without_a_right_answer_has_a_row(monkeypatch):
    answers = {"a": ("benign", ["low_confidence"]), "b": ("normal", [])}

    def answer(file, heat_map):
        name, codes = answers[file.name]
        return SimpleNamespace(answer=name, doubts=[SimpleNamespace(code=code) for code in codes])

    monkeypatch.setattr(shipped, "Answerer", lambda bundle: SimpleNamespace(answer=answer))
    raised = shipped._raised({Path("a"): "malignant", Path("b"): "normal"})
    assert raised["low_confidence"] == {"images": 1, "right": 0}
    times = {name: {"seconds": [1.0], "busy": [1.0]} for name in ("libraries", *shipped.PRECISIONS)}
    rows = shipped.tables({"first": times, "flagged": {}, "raised": raised})["shipped_raised"]
    assert "| low confidence | 1 | 50% | 0% |" in rows
    assert "| all | 2 | 100% | 50% |" in rows
