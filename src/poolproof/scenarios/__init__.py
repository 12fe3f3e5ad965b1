"""Scenarios: a pool that is steady, harmed under load, healed, and must be steady again, judged by numbers.

See docs/scenarios.md.
"""

from poolproof.scenarios.data import Criteria, Load, Scenario, Step, load_file
from poolproof.scenarios.judging import Judgement
from poolproof.scenarios.library import SCENARIOS
from poolproof.scenarios.playing import Report
from poolproof.scenarios.running import play_on_stack, play_on_target

__all__ = [
    "SCENARIOS",
    "Criteria",
    "Judgement",
    "Load",
    "Report",
    "Scenario",
    "Step",
    "load_file",
    "play_on_stack",
    "play_on_target",
]
