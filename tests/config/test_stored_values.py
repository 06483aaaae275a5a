"""The quick ways of reading a run's config give what OmegaConf and `check_kinds` give."""

from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf
from omegaconf._utils import get_yaml_loader

from bus_lightning.config.schema import check_kinds, fill_plain
from bus_lightning.config.stored import read_values
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.reading import parse_yaml
from bus_lightning.runs.finished import _STORED

ROOT = Path(__file__).parents[2]
KEPT = sorted((ROOT / "tests" / "kept" / "runs").rglob("config.yaml"))
VALUES = """
a: 1e-3
b: 1_000
c: 0o7
d: 2020-01-01
e: yes
f: ~
g: .5
h: 1.
i: 12:30
j: .inf
k: '1'
l: [1, 2e3, {m: -.nan}]
n: 0x1F
"o p": "\\u00e9"
"""


def test_yaml_has_the_values_that_omegaconf_reads():
    texts = [VALUES, *(path.read_text() for path in [*KEPT, *(ROOT / "conf").rglob("*.yaml")])]
    assert len(texts) > 20
    for text in texts:
        expected = yaml.load(text, Loader=get_yaml_loader())
        if isinstance(expected, dict):
            assert repr(parse_yaml(text, Path("x"))) == repr(expected)


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "a: [1\n", "a: !!python/name:os.getcwd\n", "a: &b 1\nc: *b\n"])
def test_yaml_that_omegaconf_refuses_is_damaged(text):
    with pytest.raises(DamagedError):
        parse_yaml(text, Path("x"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: "-".join(path.parts[-3:-1]))
def test_plain_values_are_filled_like_a_config(path):
    values = read_values(path)
    checked = OmegaConf.to_container(check_kinds(OmegaConf.create(values), _STORED, may_lack=True))
    filled = deepcopy(values)
    assert fill_plain(filled, _STORED)
    assert repr(filled) == repr(checked)


@pytest.mark.slow
def test_plain_values_of_the_wrong_kind_are_found_like_those_of_a_config():
    values = read_values(KEPT[0])
    wrong = 0
    for key in _STORED:
        *parents, name = key.split(".")
        for value in ("\0strange", -1.5, {"a": {"b": 1}}, [{"a": 1}]):
            changed = deepcopy(values)
            group = changed
            for parent in parents:
                group = group.get(parent) if isinstance(group, dict) else None
            if not isinstance(group, dict):
                continue
            group[name] = value
            try:
                check_kinds(OmegaConf.create(changed), _STORED, may_lack=True)
            except UserError:
                wrong += 1
                assert not fill_plain(changed, _STORED), (key, value)
            else:
                assert fill_plain(changed, _STORED), (key, value)
    assert wrong > 200
