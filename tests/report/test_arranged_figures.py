"""A figure of a report has the bytes that Matplotlib gives it when it draws everything twice."""

from io import BytesIO

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from bus_lightning.report.figures.style import WIDTH, new_figure, panels, styled


@styled
def drawn(figure):
    for row in panels(figure, 2, 2, sharex=True):
        for panel in row:
            panel.plot(np.arange(30), np.sqrt(np.arange(30)), label="a long label of a curve")
            panel.set(xlabel="epoch", ylabel="a long label\nin two lines", title="title")
            panel.set_aspect("equal")
            panel.legend(loc="best")
    figure.axes[0].imshow(np.arange(12).reshape(3, 4))
    figure.legend(loc="outside lower center")
    figure.suptitle("all")
    return figure


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_figure_that_is_arranged_without_drawing_has_the_same_bytes(kind):
    def save(figure):
        stream = BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "x"}):
            figure.savefig(stream, format=kind, metadata={"Date" if kind == "svg" else "Software": None})
        return stream.getvalue()

    arranged = save(drawn(new_figure(WIDTH, 5)))
    assert arranged == save(drawn(Figure(figsize=(WIDTH, 5), layout="constrained")))
    assert arranged != save(drawn(Figure(figsize=(WIDTH, 5))))  # the arrangement shows


def test_a_figure_is_drawn_once_and_not_to_arrange_it(monkeypatch):
    calls = []
    draw = Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda self, renderer: (calls.append(1), draw(self, renderer)))
    drawn(new_figure()).savefig(BytesIO(), format="svg")
    assert len(calls) == 1
