"""Python imports this at its start where `cage.py` has put this folder on its path."""

from dreamgym_nb.course.cage import refuse_network

refuse_network()
