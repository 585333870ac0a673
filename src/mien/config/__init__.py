"""params.yaml as frozen, checked sections; nothing here imports the rest of mien."""

from mien.config.errors import MienError, out_of_room
from mien.config.params import Params, load_params, parse_section
from mien.config.section import Section
from mien.config.stage import run_stage

__all__ = ["MienError", "Params", "Section", "load_params", "out_of_room", "parse_section", "run_stage"]
