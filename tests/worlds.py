"""The worlds of `parity.testing`, under the short name that these tests use."""

from parity.testing.toy_envs import SMALL as SMALL
from parity.testing.toy_envs import Maze as Maze
from parity.testing.toy_envs import Net as Net
from parity.testing.toy_envs import Raising as Raising
from parity.testing.toy_envs import WrongLogits as WrongLogits
from parity.testing.toy_envs import WrongValues as WrongValues
from parity.testing.toy_envs import maze_task as maze_task
