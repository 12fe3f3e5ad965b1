"""Moved to poolproof.plan."""

from poolproof.plan import SCHEMA as SCHEMA
from poolproof.plan import FaultSpec as FaultSpec
from poolproof.plan import Plan as Plan
from poolproof.plan import Point as Point
from poolproof.plan import Target as Target
from poolproof.plan import load as load
from poolproof.plan import save as save
