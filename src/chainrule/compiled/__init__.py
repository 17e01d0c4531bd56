"""`torch.compile`: after two recordings that agree, a function is called without recording.

Recording a training step costs Python a few microseconds for each operation.  A compiled function
is recorded and watched until two recordings in a row agree in everything but the values of tensors,
random numbers and managed numbers (a learning rate, a count of steps).  From then on a call checks
that nothing has changed that the recording could have looked at, runs the program and binds its
outputs to the tensors that the step would have bound.

What an optimizer would run in a watched call is put off to its end: the first recording becomes a
program at once, which gives that call its values, and is the replays' if the next one agrees.
"""

from .api import Compiled, compile, compiler

__all__ = ["Compiled", "compile", "compiler"]
