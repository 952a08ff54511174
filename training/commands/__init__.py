"""The commands of ``./kennel`` that this room has, a module each.

A command's module has ``add(commands, environment)``, which declares its arguments and names its
``run(options, environment)`` by ``set_defaults``. What takes seconds to import, PyTorch above all, is imported in
``run``: a mistake in an argument is told at once.
"""
