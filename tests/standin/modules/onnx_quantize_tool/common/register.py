"""Functions under the names that the quantiser is told."""

from __future__ import annotations

from collections.abc import Callable

Function = Callable[..., object]


class Register(dict[str, Function]):
    """Functions by name."""

    def register(self, name: str) -> Callable[[Function], Function]:
        """A decorator that files a function under a name."""

        def file(function: Function) -> Function:
            self[name] = function
            return function

        return file


onnx_infer_func = Register()
pytorch_model = Register()
