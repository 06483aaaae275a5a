"""Files that others may have made are opened in one place, which takes regular files only and bounds what it reads."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "bus_lightning"
OPENER = "core/reading.py"
# Functions that open a file by its name; given a stream that is open already, the last group is harmless.
READERS = {"read_text", "read_bytes"}
ALWAYS = {
    "cv2.imread",
    "cv2.VideoCapture",
    "np.fromfile",
    "np.loadtxt",
    "np.genfromtxt",
    "np.memmap",
    "load_file",
    "safe_open",
    "core.read_model",
    "OmegaConf.load",
    "shutil.copyfile",
    "os.open",
    "io.open",
    "codecs.open",
}
BY_NAME = {
    "Image.open",
    "np.load",
    "torch.load",
    "json.load",
    "yaml.load",
    "yaml.safe_load",
    "pickle.load",
    "pd.read_csv",
    "pd.read_json",
    "zipfile.ZipFile",
    "tarfile.open",
    "gzip.open",
    "dcmread",
}
STREAMS = {"stream", "source", "BytesIO", "StringIO", "checked"}  # names and calls that stand for an open stream
ALLOWED = {
    "core/cache.py: temporary.open": "hashes the file that it has just written",
    "core/output.py: os.open": "the null device, for output that nobody reads",
    "core/files.py: temporary.open": "syncs the file that it has just written",
    "config/data_sets.py: OmegaConf.load": "a file of conf/",
    "data/fingerprints.py: archive.open": "a member of an archive that is open already",
    "data/fingerprints.py: zipfile.ZipFile": "writes an archive",
    "data/fingerprints.py: shutil.copyfile": "copies a cached file whose checksum was checked",
    "data/pixels.py: np.memmap": "maps a cached file whose checksum was checked",
    "data/sources/workbooks.py: members.open": "a member of an archive that is open already",
    "data/audit_page.py: files(__package__).joinpath('audit_page.html.j2').read_text": "a file of the package",
    "diagnosis/decoding.py: reading.open": "another function of this name",
    "diagnosis/decoding_child.py: Path('/proc/self/statm').read_text": "the memory of this process, from Linux",
    "diagnosis/networks.py: core.read_model": "a bundle's file whose checksum was checked, and that is regular",
    "diagnosis/page/building.py: (FOLDER / name).read_text": "a file of the package",
    "diagnosis/page/folders.py: os.open": "opens a folder to lock it, never through a link",
    "diagnosis/page/local/serving.py: _TEMPLATE.read_text": "a file of the package",
    "diagnosis/page/local/serving.py: path.read_bytes": "files of the package, and others whose checksum was checked",
    "diagnosis/page/rendering.py: Path(__file__).with_name('parts.html.j2').read_text": "a file of the package",
    "diagnosis/video.py: cv2.VideoCapture": "takes the descriptor of a stream that is open already",
    "export/quantising.py: core.read_model": "a network in memory",
    "launch/command_line.py: Path(os.environ.get(JOBS, '')).read_text": "a temporary file of this command",
    "models/checkpoint_files.py: load_file": "the file was opened as a regular one just before",
    "paper/numbers.py: files(__package__).joinpath('numbers.csv').open": "a file of the package",
    "report/writing.py: files(__package__).joinpath(template).read_text": "a file of the package",
    "report/writing.py: path.read_bytes": "a table that the report has just written",
    "report/writing.py: svg.read_bytes": "a figure that the report has just written",
    "runs/lock.py: file.read_bytes": "a regular file, as it has just seen",
}


def is_stream(node):
    if isinstance(node, ast.Call):
        node = node.func
    return isinstance(node, ast.Name) and node.id in STREAMS


def writes(call):
    """Return whether a call of `open` has a mode that only writes."""
    values = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    modes = [value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)]
    return any(set(mode) <= set("wabxt") and set(mode) & set("wax") for mode in modes)


def opens(call):
    """Return whether a call opens a file by its name, to read it."""
    name = ast.unparse(call.func)
    if name in ALWAYS:
        return True
    if name in BY_NAME:
        return not (call.args and is_stream(call.args[0]))
    if isinstance(call.func, ast.Attribute):
        return call.func.attr in READERS or (call.func.attr == "open" and not writes(call))
    return name == "open" and not writes(call)


def found_in(text):
    return [ast.unparse(node.func) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and opens(node)]


def test_only_one_module_opens_files_of_others():
    places = {
        f"{file.relative_to(PACKAGE).as_posix()}: {name}"
        for file in sorted(PACKAGE.rglob("*.py"))
        if file.relative_to(PACKAGE).as_posix() != OPENER
        for name in found_in(file.read_text())
    }
    assert sorted(places - ALLOWED.keys()) == []
    assert sorted(ALLOWED.keys() - places) == []  # what is gone needs no exception


def test_a_call_that_opens_a_file_is_found_and_another_is_not():
    reading = [
        "open(p)",
        "open(p, 'rb')",
        "p.open()",
        "p.open('rb')",
        "p.open(mode='r')",
        "open(p, 'r+')",
        "p.read_text()",
        "p.read_bytes()",
        "Image.open(p)",
        "Image.open(str(p))",
        "np.load(p)",
        "torch.load(p, weights_only=True)",
        "pd.read_csv(p)",
        "cv2.imread(str(p))",
        "zipfile.ZipFile(p)",
        "os.open(p, 0)",
    ]
    others = [
        "open(p, 'w')",
        "p.open('ab')",
        "p.open('xb')",
        "open_regular(p)",
        "read_text(p)",
        "Image.open(stream)",
        "Image.open(BytesIO(data))",
        "np.load(stream)",
        "pd.read_csv(StringIO(text))",
        "p.write_text('')",
    ]
    assert [call for call in reading if not found_in(call)] == []
    assert [call for call in others if found_in(call)] == []
