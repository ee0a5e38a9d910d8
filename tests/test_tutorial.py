"""The tutorial's notebook runs from its first cell to its last, and is kept without what it printed."""

import json
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
NOTEBOOK = REPOSITORY / "examples" / "tutorial.ipynb"


def test_it_is_kept_without_outputs():
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    (tmp_path / "examples").mkdir()
    (tmp_path / "data").symlink_to(REPOSITORY / "data")
    monkeypatch.setenv("THYMOS_CACHE", str(tmp_path / "cache"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(tmp_path / "examples")}}
    nbclient.NotebookClient(notebook, timeout=1200, kernel_name="python3", resources=where).execute()
    printed = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", ()))
    assert "recogniser is " in printed and " points above network" in printed
    assert "enrolled: " in printed
    shown = [set(out.get("data", ())) for cell in notebook.cells for out in cell.get("outputs", ())]
    assert any("image/png" in kinds for kinds in shown), "the explanation is seen"
    assert sum("text/html" in kinds for kinds in shown) >= 3
