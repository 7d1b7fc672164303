"""The drives of a run: simulated ones, made once in its work folder, and recorded ones."""

from __future__ import annotations

from pathlib import Path

from kdmos_ros.train.config.data_recipe import VALIDATION_SEED, DataRecipe, SourceRecipe
from kdmos_ros.train.data.simulated_drives import SimulatedDrive, simulate_drives
from kdmos_ros.train.data.training_drives import StoredDrive, TrainingDrive, recorded_drives
from kdmos_ros.train.parallel.distributed import Team


class RunDrives:
    """Makes what is not there yet; of several processes on a machine, one does, the others wait.

    Args:
        data: the recipe's part.
        work: gets drives/, validation/ and recorded/.
        team: the processes that train together.
    """

    def __init__(self, data: DataRecipe, work: Path, team: Team) -> None:
        self._data, self._work, self._team = data, work, team
        self._opened: dict[tuple[SourceRecipe, ...], list[TrainingDrive]] = {}

    def to_learn_from(self) -> list[TrainingDrive]:
        """The training drives."""
        data = self._data
        if not data.cache:
            seeds = range(data.first_drive, data.first_drive + data.drives)
            simulated: list[TrainingDrive] = [SimulatedDrive(data, seed) for seed in seeds]
        else:
            simulated = self._simulated("drives", data, data.drives, data.first_drive)
        return simulated + self._recorded(data.sources)

    def held_out(self) -> list[TrainingDrive]:
        """The validation drives."""
        data = self._data
        recorded = self._recorded(data.held_out())
        if recorded and not data.drives:
            return recorded
        shared = data.to_validate(), data.validation_drives, VALIDATION_SEED
        return self._simulated("validation", *shared) + recorded

    def _simulated(
        self, folder: str, data: DataRecipe, n: int, first_seed: int
    ) -> list[TrainingDrive]:
        path = self._work / folder
        if self._team.local_rank == 0:
            simulate_drives(data, path, n, first_seed)
        self._team.wait()
        made = simulate_drives(data, path, n, first_seed)
        return [StoredDrive(drive) for drive in made]

    def _recorded(self, sources: tuple[SourceRecipe, ...]) -> list[TrainingDrive]:
        if not sources:
            return []
        if sources not in self._opened:
            # One process of each machine cuts what must be cut; the others find it done.
            for turn in (True, False):
                if (self._team.local_rank == 0) == turn:
                    found = recorded_drives(sources, self._data, self._work / "recorded")
                self._team.wait()
            self._opened[sources] = found
        return self._opened[sources]
