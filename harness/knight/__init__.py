"""The vendor's chain of guide 004: its command lines, its files and what it prints, read and written purely.

Two generations of the tools are known: a script with options (1.1 to 1.3), and ``Knight`` with a run configuration in
JSON (3.x). What lies between them, 2.x, is recognised and said to be neither. Sources, where a constant names none:
guide 004, the vendor's model zoo (tsingmicro-toolchain/ts.knight-modelzoo) and its manual (TSKnight-doc/knight-docs).
What none of these tells is not guessed: the code stops there and says so.
"""
