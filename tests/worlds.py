"""The worlds of `parity.testing`, under the short name that these tests use."""

from parity.testing.worlds import SMALL as SMALL
from parity.testing.worlds import Maze as Maze
from parity.testing.worlds import Net as Net
from parity.testing.worlds import Raising as Raising
from parity.testing.worlds import WrongLogits as WrongLogits
from parity.testing.worlds import WrongValues as WrongValues
from parity.testing.worlds import maze_task as maze_task
