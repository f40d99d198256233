"""Sphinx builds the documentation from the Markdown beside this file and from the docstrings; nothing is fetched."""

import json
import re
from importlib import import_module
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

import dftopt
from dftopt.atoms import cutoff
from dftopt.cli.main import COMMANDS, parser

log = logging.getLogger(__name__)

FLOORS = {
    "atoms": ("Atoms", "Structures, symmetry, k points, pseudopotentials, cutoffs. Nothing here knows of a basis."),
    "bases": ("Bases", "Plane waves: spheres, boxes, transforms."),
    "xc": (
        "Functionals",
        "Energy densities of exchange and correlation, pure functions of the density and its derivatives.",
    ),
    "energy": ("Energy", "One term per file, and the free energy, which is their sum."),
    "minimization": ("Minimization", "From unconstrained parameters to the minimum."),
    "properties": ("Properties", "What follows from a result."),
    "calculator": ("Calculator", "ASE, series of structures, pictures, files."),
    "alloy": ("Alloys", "Expansions, configurations, Monte Carlo, kinetics. `dftopt.alloy` offers the main names."),
    "macro": ("Macroscopic dynamics", "Simulators and samples. `dftopt.macro` offers the main names of these modules."),
}

project = "dftopt"
author = "The dftopt developers"
copyright = "The dftopt developers, Apache-2.0"
version = release = dftopt.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_generated", "_build"]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline"]
suppress_warnings = ["ref.python"]  # classes with fields of one name: a field named in a docstring links to any of them
myst_heading_anchors = 3
default_role = "code"

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings give shapes and units
autodoc_preserve_defaults = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["mathematics.css"]
html_title = f"dftopt {release}"
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False


def help_texts(app) -> None:
    """What `dftopt COMMAND --help` prints, for the page of each command."""
    folder = Path(app.srcdir) / "_generated"
    folder.mkdir(exist_ok=True)
    for name in COMMANDS:
        text = parser(name, import_module(f"dftopt.cli.{name}")).format_help()
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")


def cutoff_tables(app) -> None:
    """Default cutoffs by element, and how the errors of silicon fall, for the page on convergence."""
    folder = Path(app.srcdir) / "_generated"
    lines = ["| | potential | low | normal | high |", "|---|---|---|---|---|"]
    for element, potentials in cutoff.measured().items():
        for name, values in potentials.items():
            lines.append(f"| {element} | {name} | " + " | ".join(f"{v:g}" for v in values) + " |")
    (folder / "cutoffs.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    known = json.loads((Path(app.srcdir).parent / "benchmarks/cutoffs.json").read_text())
    lines = ["| cutoff (Ha) | total energy (meV/atom) | largest difference (meV/atom) |", "|---|---|---|"]
    for row in known["Si GTH-PBE-q4"]["rows"]:
        lines.append(f"| {row['ecut']:g} | {row['total']:.1f} | {row['difference']:.1f} |")
    (folder / "silicon-cutoffs.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def reference_pages(app) -> None:
    """One page per folder of the package, with every module of it."""
    package = Path(dftopt.__file__).parent
    for floor, (title, text) in FLOORS.items():
        page = [f"# {title}", text]
        for path in sorted((package / floor).glob("*.py")):
            if path.stem != "__init__":
                name = f"dftopt.{floor}.{path.stem}"
                page += [f"## {name}", f"```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```"]
        (Path(app.srcdir) / "api" / f"{floor}.md").write_text("\n\n".join(page) + "\n", encoding="utf-8")


def to_restructured(app, what, name, obj, options, lines) -> None:
    """Docstrings are read by people first: $...$ is mathematics, bars and stars are themselves; Sphinx wants all marked up."""
    text = re.sub(r"\$\$(.+?)\$\$", _displayed, "\n".join(lines), flags=re.DOTALL)
    parts = re.split(r"(``[^`]+``|`[^`]+`|\$[^$]+\$|\n\.\. math::\n\n.*?\n\n)", text, flags=re.DOTALL)
    for i, part in enumerate(parts):
        if part.startswith("$"):
            parts[i] = f":math:`{part[1:-1]}`"
        elif not part.startswith(("`", "\n.. math::")):
            parts[i] = re.sub(r"(\||(?<!\*)\*(?!\*)|(?<=\w)_(?!\w))", r"\\\1", part)
    together = lambda found: found[0].replace(", ", ",")  # "n, l: ..." describes both; a blank would part name and type
    lines[:] = re.sub(r"^ +\w+(?:, \w+)+: ", together, "".join(parts), flags=re.M).split("\n")
    if what in ("property", "attribute") and ":" in lines[0]:
        lines[0] = f": {lines[0]}"  # else napoleon takes what is before the colon for a type


def _displayed(found) -> str:
    return f"\n.. math::\n\n    {' '.join(found[1].split())}\n\n"


def mathml(text: str, block: bool = False) -> str:
    """Mathematics as browsers draw them; what cannot be translated is an error of the build."""
    text = re.sub(r"\\[Bb]igg?[lr]?(?![a-z])", "", text)  # sizes that MathML chooses by itself
    token = r"\s*(\\[a-zA-Z]+|[^{\\\s])"
    text = re.sub(
        rf"\\(t?frac){token}{token}", r"\\\1{\2}{\3}", text
    )  # docutils takes the 12 of \frac12 for one number
    text = re.sub(rf"\\(t?frac){token}\{{", r"\\\1{\2}{", text)
    text = re.sub(rf"\\sqrt{token}", r"\\sqrt{\1}", text)
    try:
        return tex2mathml(f"{{}}{text}" if text.startswith("^") else text, as_block=block)
    except Exception as error:
        log.warning("mathematics %r: %s", text, error)
        return text


def visit_math(self, node) -> None:
    """Inline mathematics."""
    self.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def visit_displayed_math(self, node) -> None:
    """Displayed mathematics."""
    self.body.append(self.starttag(node, "div", CLASS="math") + mathml(node.astext(), block=True) + "</div>")
    raise nodes.SkipNode


def setup(app) -> None:
    """Connect the above."""
    app.connect("builder-inited", help_texts)
    app.connect("builder-inited", cutoff_tables)
    app.connect("builder-inited", reference_pages)
    app.connect("autodoc-process-docstring", to_restructured, priority=100)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displayed_math, None))
