"""Find onnxruntime-web, which runs the networks in the browser; npm brings it, and only known bytes are served."""

from pathlib import Path

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import checksum

VERSION = "1.30.0"
SHA256 = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
FOLDER = Path("node_modules") / "onnxruntime-web" / "dist"  # where npm puts it, in the present folder


def find_runtime(folder: Path) -> dict[str, Path]:
    """Return the files of onnxruntime-web in a folder: name -> path.

    Raises:
        UserError: When one is missing, or is not that of the version that was checked.
    """
    cure = f"npm install --ignore-scripts onnxruntime-web@{VERSION}"
    for name, expected in SHA256.items():
        try:
            found = checksum(folder / name)
        except UserError:
            raise UserError(f"{folder} has no {name} that can be read, which the page needs in the browser: {cure}, or "
                            "name its folder `dist` with --runtime.") from None  # fmt: skip
        if found != expected:
            raise UserError(f"{folder / name} is not that of onnxruntime-web {VERSION}: {cure}")
    return {name: folder / name for name in SHA256}
