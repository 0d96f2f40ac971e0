"""What Ascend's tools print and write, as typed facts. Pure: text or bytes in, no process, no folder, no vendor import.

A text that is not what it claims to be raises ``Broken`` with what was expected and the line that was found: the tool
or its layout is not known here, which says nothing about the model. ``Refused`` is raised only where a tool that works
says that it does not take the model.
"""
