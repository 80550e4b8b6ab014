"""Runs the notebooks with this Python, each in a kernel of its own, and saves them with their pictures.

python -m examples.run_notebooks [NAME ...]     # from the root of a checkout; "tour" is 1_tour.ipynb; nothing is all
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient
from nbformat import NotebookNode
from traitlets.config import Config

FOLDER = Path(__file__).parent / "notebooks"
MOST_BYTES = 600_000
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


class ThisPython(AsyncKernelManager):
    """Starts kernels with the Python that runs this, whatever kernels are installed."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """A kernel that reads and writes nothing in the user's own folders."""
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=[*command, "--HistoryManager.enabled=False"], display_name="Python 3", language="python")


def notebooks() -> list[Path]:
    """All notebooks, in their order."""
    return sorted(FOLDER.glob("*.ipynb"))


def executed(path: Path, environment: dict[str, str] | None = None, *, timeout: int = 600) -> NotebookNode:
    """A notebook with the outputs of a run from its top, in its own folder, as `Restart and run all` does it.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell has failed.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="vipylo-") as scratch:
        # Sockets in a folder of ours alone, no open ports.
        connection = {"connection_file": str(Path(scratch) / "kernel.json"), "transport": "ipc"}
        client = NotebookClient(
            notebook,
            kernel_manager_class=ThisPython,
            config=Config({"ThisPython": connection}),
            timeout=timeout,
            resources={"metadata": {"path": str(path.parent)}},
            record_timing=False,
        )
        # One thread: the same sums on every machine, and none that waits for others where the machine is busy.
        own = {
            "IPYTHONDIR": scratch,
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore:IProgress not found",
        }
        with client.setup_kernel(env={**os.environ, **own, **(environment or {})}):
            for number, cell in enumerate(notebook.cells):
                client.execute_cell(cell, number)
    return notebook


def formatted(notebook: NotebookNode) -> str:
    """The file's text, without what changes from machine to machine and from run to run."""
    kept = nbformat.from_dict(notebook)
    version = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}
    kept.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": version})
    kept.nbformat, kept.nbformat_minor = 4, 5
    number = 0
    for place, cell in enumerate(kept.cells, start=1):
        cell.metadata = nbformat.from_dict({})
        cell.id = f"cell-{place}"
        if cell.cell_type == "code":
            number += 1
            cell.outputs = _joined(cell.outputs)
            cell.execution_count = number if cell.outputs or cell.source else None
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = number
    return nbformat.writes(kept) + "\n"


def problems(notebook: NotebookNode) -> list[str]:
    """What must not be in a committed notebook: errors, warnings, paths of this machine, too many bytes."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                found.append(f"{cell.id}: {output.ename}: {output.evalue}")
            elif output.output_type == "stream" and output.name == "stderr":
                found.append(f"{cell.id}: writes to stderr: {output.text[:300]}")
            shown = str({kind: said for kind, said in output.get("data", {}).items() if not kind.startswith("image/")})
            said = output.get("text", "") + shown
            found += [f"{cell.id}: names the folder {place}" for place in _places() if place in said]
    if (size := len(formatted(notebook).encode())) > MOST_BYTES:
        found.append(f"{size:,} bytes, more than {MOST_BYTES:,}: show fewer or smaller pictures")
    return found


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Outputs without empty ones, and neighbouring pieces of one stream as one: where it is cut depends on the time."""
    joined: list[NotebookNode] = []
    for output in outputs:
        before = joined[-1] if joined else None
        if output.output_type == "stream" and before is not None and before.get("name") == output.name:
            before.text += output.text
        elif output.output_type != "stream" or output.text:
            joined.append(output)
    return joined


def _places() -> list[str]:
    places = {str(FOLDER.parents[1]), str(Path.home()), tempfile.gettempdir(), sys.prefix}
    return sorted(place for place in places if len(place) > 1)


def main() -> None:
    """Run the notebooks that are named, or all, and save them; ends with 1 if one has a problem and was not saved."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="a part of the notebook's name; nothing: all")
    names = parser.parse_args().names
    chosen = [path for path in notebooks() if not names or any(name in path.stem for name in names)]
    bad = 0
    for path in chosen:
        begun = time.monotonic()
        notebook = executed(path)
        found = problems(notebook)
        if not found:
            path.write_text(formatted(notebook), encoding="utf-8")
        bad += bool(found)
        said = "; ".join(found) or f"saved, {path.stat().st_size // 1000} kB"
        sys.stdout.write(f"{path.name}: {time.monotonic() - begun:.0f} s, {said}\n")
    if bad or not chosen:
        sys.exit(1 if bad else f"there is no notebook of that name in {FOLDER}")


if __name__ == "__main__":
    main()
