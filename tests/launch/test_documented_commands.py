"""The commands in README.md, docs/ and the code work when they are pasted into a shell, and leave nothing for git."""

import ast
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from bus_lightning.config.rules import check
from bus_lightning.core.errors import UserError
from bus_lightning.report.up_to_date import SUMMARIES

ROOT = Path(__file__).parents[2]
FIXED = ROOT / "docs" / "protocol.md"  # runs keep its hash, so its text is never changed; it holds no command
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted({*(ROOT / "docs").glob("**/*.md")} - {FIXED}),
         *sorted((ROOT / "docs/tutorials").glob("*.ipynb"))]  # fmt: skip
PROGRAMS = ("python", "make", "pip", "npm", "bus-diagnose", "bus-app", "wandb", "ray", "squeue")
OVERRIDE = re.compile(r"['+~]*[a-z_]+[\w./@]*=\S")  # `seed=1`, `'data.classes=[a,b]'`


def text_of(page):
    """Read a page; the cells of a notebook that hold commands become code blocks."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".md":
        return text
    cells = ["".join(cell["source"]) for cell in json.loads(text)["cells"]]
    return "\n".join(f"```\n{cell}\n```" for cell in cells if cell.startswith("%%bash"))


def commands_of(page):
    """List the commands of a page: lines of code blocks and spans of code; bare overrides are given to train.py."""
    text = re.sub(r"<(\w+)>", r"\1", text_of(page))  # <group> stands for a name
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    spans = [" ".join(span.split()) for block in prose.split("\n\n") for span in re.findall(r"`([^`]+)`", block)]
    commands = [code for code in lines + spans if code.startswith(tuple(f"{program} " for program in PROGRAMS))]
    overrides = [f"python train.py {span}" for span in spans if OVERRIDE.match(span) and "://" not in span]
    return [command.replace("\\|", "|") for command in commands + overrides]


COMMANDS = [command for page in PAGES for command in commands_of(page)]


def test_the_commands_of_the_pages_are_found():
    assert len(COMMANDS) > 80
    assert any("data.classes=" in command for command in COMMANDS)
    assert any("--run" in command and "--out-of-fold" in command for command in COMMANDS)
    assert any("--config-dir" in command and "data=hospital" in command for command in COMMANDS)  # of a notebook


def arguments_in(shell, commands, folder):
    """Run commands in a shell in which each program prints its arguments; return those, and what the shell says."""
    stubs = "".join(f"{program}() {{ printf '%s\\n' \"$@\"; }}\n" for program in PROGRAMS)
    calls = "".join(f"( eval {shlex.quote(command)} ) 2>&1; echo '=== end'\n" for command in commands)
    flags = {"zsh": ["-f"], "bash": ["--norc", "--noprofile"]}[shell]
    done = subprocess.run([shell, *flags, "-c", stubs + calls], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [part.splitlines() for part in done.stdout.split("=== end\n")[:-1]]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_passes_each_documented_command_unchanged(shell, tmp_path):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    received = arguments_in(shell, COMMANDS, tmp_path)
    expected = [shlex.split(command, comments=True)[1:] for command in COMMANDS]
    wrong = {command: got for command, got, want in zip(COMMANDS, received, expected, strict=True) if got != want}
    assert not wrong


@pytest.mark.parametrize("command", ["python train.py data.classes=[benign,malignant]", "pip install -e .[tensorboard]",
                                     "python train.py ~logger", "make evaluate RUNS=runs/a/*"])  # fmt: skip
def test_the_check_notices_what_zsh_refuses(command, tmp_path):
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    (received,) = arguments_in("zsh", [command], tmp_path)
    assert received != shlex.split(command)[1:]


def texts_of(code):
    """List the texts in Python code, with X for what is filled in."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("folder", ["bus_lightning", "conf"])
def test_a_list_in_a_hint_is_quoted(folder):
    hint = re.compile(r"[\w./]=\[|pip install [^'\n]*\.\[|\bas \[|~[a-z]+\.?[a-z]+ removes")
    files = [file for file in (ROOT / folder).rglob("*") if file.suffix in (".py", ".yaml")]
    assert files
    unquoted = {}
    for file in files:
        content = file.read_text(encoding="utf-8")
        texts = texts_of(content) if file.suffix == ".py" else re.findall(r"#.*", content)
        for text in texts:
            # An odd number of quotes before the bracket means that it stands in quotes. A text of one word is no hint.
            hints = [match[0] for match in hint.finditer(text) if text[: match.start()].count("'") % 2 == 0]
            if hints and " " in text:
                unquoted.setdefault(str(file.relative_to(ROOT)), []).append(text)
    assert not unquoted


def test_a_list_that_was_given_comes_back_in_quotes(composed):
    with pytest.raises(UserError, match=r"trainer=ddp 'trainer\.devices=\[0,1\]'\.$"):
        check(composed("model=alexnet", "trainer.devices=[0,1]"))


def outputs_of(command):
    """List the files and folders that a command writes or that stand for what an earlier one has written."""
    words = shlex.split(command, comments=True)
    yield from (words[place + 1] for place, word in enumerate(words[:-1]) if word == "--out")
    yield from (word for word in words if re.fullmatch(r"(runs|bundles?|results|audit|report|data|wandb)/\S*", word))
    yield from (word.partition("=")[2] for word in words if word.startswith("BUNDLE="))


def test_git_ignores_what_the_documented_commands_write():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    of_make = re.findall(r"--out (\w+)", makefile) + re.findall(r"^DEMO := (\S+)", makefile, re.MULTILINE)
    outputs = {output for command in COMMANDS for output in outputs_of(command)} | {*of_make}
    outputs = {output for output in outputs if not output.startswith("/") and output != "folder"}
    assert {"results/", "bundle/", "audit", "bundles/demo"} <= outputs
    outputs.add(f"tests/kept/runs/joint/{SUMMARIES}/")  # runs that a report of a test may read
    git = subprocess.run(["git", "rev-parse", "--is-inside-work-tree"], cwd=ROOT, capture_output=True, check=False)
    if git.returncode:
        pytest.skip("not a git checkout")
    for output in sorted(outputs):
        path = output if Path(output).suffix else f"{output.rstrip('/')}/image.png"
        ignored = subprocess.run(["git", "check-ignore", "-q", "--no-index", path], cwd=ROOT, check=False)
        assert ignored.returncode == 0, f"git would add {output}"
