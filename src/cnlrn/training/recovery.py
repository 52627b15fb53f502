"""To which state a run goes back when its loss explodes."""

from lightning_fabric import Fabric

from cnlrn.errors import CnlrnError
from cnlrn.training.states import State, States

_RETURNS = 3
"""Times a run may go back to the same checkpoint before it tries an older one."""


class Recovery:
    """Chooses the last checkpoint or, where that has not helped several times, the one before it, and so on: the state
    of the last may have been exploding already.

    Attributes:
        origin: the step of the oldest state the run went back to, while it has got no further than before.
    """

    def __init__(self, states: States, fabric: Fabric) -> None:
        """Chooses among `states`; all processes of `fabric` ask together."""
        self.states, self.fabric = states, fabric
        self.origin: int | None = None
        self._returns = 0
        self._furthest = 0

    def state_after_explosion(self, step: int) -> State:
        """The state to go on from after the loss exploded at `step`; CnlrnError where none is left."""
        self._furthest = max(self._furthest, step)
        self._returns += 1
        return self.states.newest() if self._returns <= _RETURNS else self._older()

    def passed(self, step: int) -> None:
        """Note that the run has saved a state of `step`: past the explosion, the next one is another."""
        if step > self._furthest:
            self._returns, self._furthest, self.origin = 0, step, None

    def _older(self) -> State:
        oldest = self.states.newest()["step"] if self.origin is None else self.origin
        state = self.states.before(oldest)
        self.origin = oldest if state is None else state["step"]
        self.fabric.barrier()  # until all processes have read it
        if self.fabric.is_global_zero:
            self.states.return_to(self.origin)
        self.fabric.barrier()
        if state is None:
            raise CnlrnError(
                f"the loss exploded again and again, however far the run went back; lower optimiser.lr, and it resumes "
                f"from step {self.origin}"
            )
        self._returns = 1
        return state
