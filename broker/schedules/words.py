"""Words of cron expressions: shorthands, what is wrong with one, and one in plain English."""

import difflib

from cronsim import CronSim, CronSimError
