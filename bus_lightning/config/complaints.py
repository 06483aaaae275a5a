"""Describe in one line what is wrong with a command line, and how to fix it: the known names, or how to quote."""

import difflib
import re
import shlex
import sys
import traceback
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, QuotedString
from hydra.errors import ConfigCompositionException, HydraException, InstantiationException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException
from yaml import MarkedYAMLError

from bus_lightning.config import CONF
from bus_lightning.config.schema import TRAIN
from bus_lightning.config.targets import target_error
from bus_lightning.core.commands import name_program
from bus_lightning.core.errors import UserError

COMBINED = ("callbacks", "logger")  # groups of which a run may have several options
_GRAMMAR = "https://hydra.cc/docs/1.3/advanced/override_grammar/basic"
_AMBIGUOUS = re.compile(r"Ambiguous value for argument '(.*?)'\n", re.DOTALL)


def is_complaint(error: Exception) -> bool:
    """Tell whether an error is about the command line, so that a traceback would not help the user."""
    if isinstance(error, UserError | HydraException | OmegaConfBaseException | MarkedYAMLError):
        return True
    # Hydra raises a ValueError if flags exclude each other, and for `logger=null`.
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, ValueError) and "/hydra/_internal/" in frames[-1].filename.replace("\\", "/")


def describe(error: Exception) -> str:
    """Describe in one line what is wrong with a command line, and how to fix it."""
    cause = error.__cause__
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and isinstance(cause.parent_node, DictConfig):
        key, parent = str(cause.key), cause.parent_node
        known = [str(name) for name in parent if name != "hydra"]
        close = difflib.get_close_matches(key, known, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        above = str(cause.full_key).rpartition(".")[0]
        where = f"of {above}" if above else "at the top level"
        return f"'{cause.full_key}' does not exist.{hint} Keys {where}: {', '.join(known)}."
    if isinstance(error, MarkedYAMLError):  # of the user's own configs
        mark = error.problem_mark
        place = f"{mark.name}, line {mark.line + 1}," if mark else "a config"
        return f"{place} is not valid YAML ({error.problem}): correct the file."
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} has no value: set {error.full_key}=..."
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    if isinstance(error, ConfigCompositionException) and (ambiguous := _AMBIGUOUS.match(str(error))):
        argument = ambiguous[1]
        key, _, value = argument.partition("=")
        as_list = shlex.quote(f"{key}=[{value}]")
        grid = f"{argument}: several values make a grid, which needs -m"
        if key in COMBINED:
            return f"{grid}; to use them together, write {as_list}"
        if (CONF / key).is_dir():
            return f"{grid}: {name_program()} -m {argument}"
        return f"{grid}; write a list as {as_list}, and a single text as {quoted(argument) or argument}"
    if str(error).startswith("Config group override must be"):
        if without := [argument for argument in sys.argv[1:] if argument.startswith("=")]:
            return f"{without[0]}: give key=value."
        return "; ".join(f"{argument}: choose one of its options{_or_none(group)}" for argument, group in _no_names())
    if isinstance(error, InstantiationException):  # of the launcher or the sweeper
        return str(target_error(error))
    if not is_complaint(error):  # of the launcher
        return f"the grid was cut short by {type(error).__name__}: {' '.join(str(error).split())}"
    return " ".join(str(error).split())


def _no_names() -> list[tuple[str, str]]:
    """List the arguments that give a group no name of an option, such as null or true, with the group."""
    pairs = [(argument, argument.partition("=")[0].lstrip("+")) for argument in sys.argv[1:] if "=" in argument]
    chosen = [(argument, group) for argument, group in pairs if (CONF / group).is_dir()]
    parse = OverridesParser.create().parse_override
    return [pair for pair in chosen if not _names_options(parse(pair[0]).value())]


def _names_options(value: Any) -> bool:
    """Say whether a value is the name of an option, a list of names, or a grid of these."""
    members = value.list if isinstance(value, ChoiceSweep) else [value]
    return all(isinstance(member, str | list | QuotedString) for member in members)


def _or_none(group: str) -> str:
    """Say how to remove a group that is not required."""
    return "" if group in TRAIN and TRAIN[group].absent is ... else f", or remove it with '~{group}'"


def _unreadable(argument: str) -> str:
    key, equals, value = argument.partition("=")
    if not equals:
        return f"{argument}: write key=value ('~{key.lstrip('+~')}' removes a key)."
    if cure := quoted(argument):
        return f"{argument}: the value of {key.lstrip('+~')} needs quotes within quotes: write {cure}"
    if not re.fullmatch(r"[+~]*[A-Za-z_$][\w./@:$-]*", key, re.ASCII):
        return f"{argument}: '{key}' is not a key; keys are words with dots, such as data.root."
    return f"{argument}: the value '{value}' cannot be parsed; {_GRAMMAR} explains how to write values."


def quoted(argument: str) -> str | None:
    """Quote `key=value` for a shell so that Hydra reads the value as it is; None if that is not possible.

    In a list, each member is quoted; in a group, such as `{image: File (new)}`, each value that needs it.
    """
    key, _, value = argument.partition("=")
    if value.startswith("{") and value.endswith("}"):
        return _quoted_group(key, value)
    texts = [value]
    if is_list := value.startswith("[") and value.endswith("]"):
        texts = [text.strip() for text in value[1:-1].split(",")]
    inner = [f'"{_escaped(text.strip(chr(34)))}"' for text in texts]
    candidate = f"{key}=[{','.join(inner)}]" if is_list else f"{key}={inner[0]}"
    try:
        read: Any = OverridesParser.create().parse_override(candidate).value()
    except HydraException:
        return None
    members = read if is_list else [read]
    wanted = [text.strip('"') for text in texts]
    return shlex.quote(candidate) if [str(member).strip('"') for member in members] == wanted else None


def _quoted_group(key: str, value: str) -> str | None:
    """Quote the values of a group, and the members of its lists, that hold more than letters, digits and spaces."""
    pairs = [pair.partition(":") for pair in re.split(r""",(?=[^,:"'{}\[\]]+:)""", value[1:-1])]
    written = []
    for name, _, text in pairs:
        text = text.strip()
        is_list = text.startswith("[") and text.endswith("]")
        if text.startswith("{") or (text.startswith("[") and (not is_list or '"' in text or "'" in text)):
            return None  # a group within a group, a bracket that is not closed, or commas that may be in quotes
        members = [_quoted_word(member) for member in (text[1:-1].split(",") if is_list else [text])]
        written.append(f"{name.strip()}: {'[' + ', '.join(members) + ']' if is_list else members[0]}")
    candidate = f"{key}={{{', '.join(written)}}}"
    try:
        OverridesParser.create().parse_override(candidate)
    except HydraException:
        return None
    return shlex.quote(candidate)


def _quoted_word(text: str) -> str:
    text = text.strip()
    is_plain = re.fullmatch(r"[\w.-]+( +[\w.-]+)*", text, re.ASCII)
    return text if is_plain else f'"{_escaped(text.strip(chr(34) + chr(39)))}"'


def _escaped(text: str) -> str:
    """Escape quotes, and the backslashes before them or at the end, as Hydra's grammar requires."""
    return re.sub(r'(\\*)("|$)', lambda match: match[1] * 2 + ("\\" if match[2] else "") + match[2], text)
