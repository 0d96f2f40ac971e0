"""The commands of ``python -m harness``, one module each: ``TEXT``, ``declare(parser)`` and ``run(options)``."""
