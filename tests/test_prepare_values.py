"""What is prepared beside something that a process that was killed has left."""

from bus_lightning.data.phantom import MARKER
from bus_lightning.data.prepare import prepare_data


def test_a_leftover_that_cannot_be_removed_does_not_stop_the_drawing(data_config, tmp_path):
    root = tmp_path / "drawn"
    (tmp_path / ".drawn.123").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".drawn.456").symlink_to(tmp_path / "elsewhere")  # not followed, and not removed
    cache = f"data.cache={tmp_path / 'cache'}"
    prepare_data(data_config("data.phantom={images: 12, seed: 0}", cache, root=root).data, needs_masks=True)
    assert (root / MARKER).is_file()
    assert not (tmp_path / ".drawn.123").exists()
    assert (tmp_path / "elsewhere").is_dir()
